/** What can happen to a disk, and to the power. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Response, TestNode } from '../testing/cluster.ts';
import type { FaultyDisks } from './disk.ts';
import type { FaultMaker } from './faults.ts';
import type { Rig } from './rig.ts';

const MiB = 1024 * 1024;

/** A node whose disk fails ends within this time, or it would never. */
const stopsWithinMs = 10_000;
/** Once a disk is low, some write is refused within this time, or none would be. */
const refusesWithinMs = 10_000;
/** A callback that takes longer is no event loop's. */
const blockedMsMax = 2000;
/** Names of keys, so many that some of them lie where the disk is low. */
const probes = 20;

export const diskFaults = {
  'power cut': async (rig, random) => {
    const all = random.chance(0.5);
    const victims = all ? rig.nodes : (await rig.byLeading()).slice(0, 1);
    const asideBefore = new Set(victims.flatMap((victim) => rig.setAside(victim)));
    return {
      words: victims.map(({ nodeId }) => nodeId).join(', '),
      lastsMs: random.magnitude(20, 500),
      begin: async () => {
        // The slower the disk, the more lies between written and synced.
        const syncDelayMs = random.whole(5, 60);
        for (const { nodeId } of victims) disksOf(rig).set(nodeId, { syncDelayMs });
        await delay(random.whole(100, 300));
        await rig.kill(victims);
        for (const { nodeId, dataDir } of victims) {
          disksOf(rig).cutPower(dataDir);
          disksOf(rig).set(nodeId, {});
        }
      },
      end: async () => {
        await rig.restart(victims);
        // All that was ever promised had been synced: a node that finds something missing had promised too early.
        const aside = victims.flatMap((victim) => rig.setAside(victim)).filter((name) => !asideBefore.has(name));
        if (aside.length > 0) throw new Error(`a power cut left what could not be believed: ${aside.join(', ')}`);
      },
    };
  },
  'slow disk': disk(async (rig, victim, random) => {
    const syncDelayMs = Math.round(random.magnitude(5, 400));
    disksOf(rig).set(victim.nodeId, { syncDelayMs });
    return `${victim.nodeId}, ${syncDelayMs} ms each fsync`;
  }),
  'disk stall': disk(async (rig, victim) => {
    disksOf(rig).set(victim.nodeId, { stalled: true });
    return victim.nodeId;
  }),
  'full disk': disk(async (rig, victim, random) => {
    // Below what a node keeps free, and far above where it stops: whatever is under way has room.
    const freeMiB = random.whole(500, 1000);
    disksOf(rig).set(victim.nodeId, { freeBytes: freeMiB * MiB });
    await refusesOnlyWrites(rig);
    return `${victim.nodeId}, ${freeMiB} MiB left`;
  }),
  'blocked event loop': disk(async (rig, victim) => {
    disksOf(rig).set(victim.nodeId, { loopBlocked: true });
    return victim.nodeId;
  }, blockedMsMax),
  'failing fsync': async (rig, random) => {
    const victim = random.pick(rig.nodes);
    return {
      words: victim.nodeId,
      lastsMs: 50,
      begin: async () => {
        disksOf(rig).set(victim.nodeId, { failing: true });
        await stopped(victim);
        await rig.gone([victim]);
      },
      end: async () => {
        disksOf(rig).set(victim.nodeId, {});
        await rig.restart([victim]);
      },
    };
  },
} satisfies Record<string, FaultMaker>;

function disk(
  change: (rig: Rig, victim: TestNode, random: Parameters<FaultMaker>[1]) => Promise<string>,
  lastsMsMax = 5000,
): FaultMaker {
  return async (rig, random) => {
    const [leader, ...others] = await rig.byLeading();
    const victim = random.chance(0.6) ? leader : random.pick(others);
    if (victim === undefined) throw new Error('a cluster has nodes');
    let words = victim.nodeId;
    return {
      get words() {
        return words;
      },
      lastsMs: random.magnitude(lastsMsMax / 10, lastsMsMax),
      begin: async () => {
        words = await change(rig, victim, random);
      },
      end: async () => disksOf(rig).set(victim.nodeId, {}),
    };
  };
}

/** Resolves once a write was refused for lack of room, under a key that can be read and deleted even so. Throws when it is otherwise. */
async function refusesOnlyWrites(rig: Rig): Promise<void> {
  const startedAt = performance.now();
  for (let probe = 0; performance.now() - startedAt < refusesWithinMs; probe += 1) {
    const key = `/v1/kv/room-${probe % probes}`;
    const ask = (method: string): Promise<Response> =>
      rig.cluster.request(method, key, { redirectsMax: 2, ...(method === 'PUT' ? { body: 'x' } : {}) });
    if ((await ask('PUT')).status !== 507) continue;
    for (const method of ['GET', 'DELETE']) {
      const answer = await ask(method);
      if (answer.status !== 200 && answer.status !== 404)
        throw new Error(`on a full disk ${method} was answered ${answer.status}: ${answer.text()}`);
    }
    return;
  }
  throw new Error(`no write was refused within ${refusesWithinMs} ms, though a disk was low`);
}

/** Resolves when the node has ended by itself. Throws when it goes on although its disk fails. */
async function stopped(node: TestNode): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const why = `${node.nodeId} still runs ${stopsWithinMs} ms after its fsyncs began to fail`;
    timer = setTimeout(() => reject(new Error(why)), stopsWithinMs);
  });
  try {
    await Promise.race([node.exited(), late]);
  } finally {
    clearTimeout(timer);
  }
}

function disksOf({ disks }: Rig): FaultyDisks {
  if (typeof disks === 'string') throw new Error(disks);
  return disks;
}
