/** What can happen to one file of a node's data directory: while the node is stopped, or behind its back. */
import {
  closeSync,
  copyFileSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../sim/random.ts';
import type { TestNode } from '../testing/cluster.ts';
import type { FaultMaker } from './faults.ts';
import type { Rig } from './rig.ts';

/** Between an old file and the new one in whose place it comes back. */
const olderByMs = 300;

export const fileFaults = {
  'damaged file': async (rig, random) => {
    const victim = random.pick(rig.nodes);
    let words = victim.nodeId;
    return {
      get words() {
        return words;
      },
      lastsMs: random.magnitude(20, 300),
      begin: async () => {
        rig.damagesFiles();
        const isRollBack = random.chance(0.2);
        const old = `${victim.dataDir}.before`;
        let file = '';
        if (isRollBack) {
          file = unlessGone(() => {
            const chosen = random.pick(filesOf(victim));
            copyFileSync(chosen, old);
            return chosen;
          });
          await delay(olderByMs);
        }
        await rig.kill([victim], random.chance(0.5) ? 'SIGKILL' : 'SIGTERM');
        if (isRollBack) {
          // Its name may be gone by now; then it is a file of long ago that is there again.
          copyFileSync(old, file);
          rmSync(old);
          words = `${victim.nodeId}: ${nameIn(victim, file)} as it was ${olderByMs} ms before`;
        } else words = `${victim.nodeId}: ${damage(victim, random.pick(filesOf(victim)), random)}`;
      },
      end: async () => {
        await rig.restart([victim]);
        await whole(rig, victim);
      },
    };
  },
  'damage while running': async (rig, random) => {
    const victim = random.pick(rig.nodes);
    let words = victim.nodeId;
    return {
      get words() {
        return words;
      },
      lastsMs: random.magnitude(300, 2000),
      begin: async () => {
        rig.damagesFiles();
        words = `${victim.nodeId}: ${unlessGone(() => damage(victim, random.pick(filesOf(victim)), random))}`;
      },
      end: async () => {
        // Unless it has died of it, as of a table cut short that it had mapped.
        if (victim.state === 'running') await rig.kill([victim], 'SIGTERM');
        else await rig.gone([victim]);
        await rig.restart([victim]);
        await whole(rig, victim);
      },
    };
  },
  'emptied disk': async (rig, random) => {
    const victim = random.pick(rig.nodes);
    return {
      words: victim.nodeId,
      lastsMs: random.magnitude(20, 1000),
      begin: async () => {
        rig.damagesFiles();
        await rig.kill([victim]);
        rmSync(victim.dataDir, { recursive: true });
      },
      end: async () => {
        await rig.restart([victim]);
        await whole(rig, victim);
      },
    };
  },
  'kill while filled': async (rig, random) => {
    const victim = random.pick(rig.nodes);
    const kills = random.whole(1, 3);
    return {
      words: `${victim.nodeId}, ${kills} times`,
      lastsMs: random.magnitude(20, 300),
      begin: async () => {
        rig.damagesFiles();
        await rig.kill([victim]);
        rmSync(victim.dataDir, { recursive: true });
        for (let killed = 0; killed < kills; killed += 1) {
          // Into whatever it does then: being let in, taking states, installing them.
          const started = rig.restart([victim]).catch(() => undefined);
          await delay(random.magnitude(200, 4000));
          await rig.kill([victim]);
          await started;
        }
      },
      end: async () => {
        await rig.restart([victim]);
        await whole(rig, victim);
      },
    };
  },
} satisfies Record<string, FaultMaker>;

/** LevelDB itself removes files all the time: where one has gone meanwhile, another is chosen. */
function unlessGone<T>(attempt: () => T): T {
  for (;;) {
    try {
      return attempt();
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    }
  }
}

/** Says what was done. A file of nothing stays as it is, unless it is removed. */
function damage(node: TestNode, file: string, random: Random): string {
  const name = nameIn(node, file);
  const { size } = statSync(file);
  const kind = random.pick(['flip', 'flip', 'run', 'cut', 'remove'] as const);
  if (kind === 'remove') {
    rmSync(file);
    return `${name} removed`;
  }
  if (size === 0) return `${name}, which is empty`;
  const at = random.whole(0, size - 1);
  if (kind === 'cut') {
    truncateSync(file, at);
    return `${name} cut from ${size} to ${at} bytes`;
  }
  const length = kind === 'flip' ? 1 : Math.min(size - at, Math.round(random.magnitude(2, 4096)));
  const bytes = Buffer.alloc(length);
  const descriptor = openSync(file, 'r+');
  try {
    readSync(descriptor, bytes, 0, length, at);
    if (kind === 'flip') bytes[0] = (bytes[0] ?? 0) ^ (1 << random.whole(0, 7));
    else bytes.fill(random.chance(0.5) ? 0 : 0xff);
    writeSync(descriptor, bytes, 0, length, at);
  } finally {
    closeSync(descriptor);
  }
  return kind === 'flip' ? `a bit of ${name} at ${at} of ${size}` : `${length} bytes of ${name} at ${at} of ${size}`;
}

/** All but those that are only locked. */
function filesOf({ dataDir }: TestNode): readonly string[] {
  return readdirSync(dataDir, { recursive: true, encoding: 'utf8' })
    .map((name) => join(dataDir, name))
    .filter((file) => basename(file) !== 'LOCK' && statSync(file, { throwIfNoEntry: false })?.isFile() === true);
}

function nameIn({ dataDir }: TestNode, file: string): string {
  return file.slice(dataDir.length + 1);
}

/** What it set aside is of no use any more: another disk would be full of it. */
async function whole(rig: Rig, node: TestNode): Promise<void> {
  await rig.ready(node);
  for (const directory of rig.setAside(node)) rmSync(directory, { recursive: true });
}
