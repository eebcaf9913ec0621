/** What can happen to a machine, each as something that begins, lasts, and is over. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../sim/random.ts';
import type { TestNode } from '../testing/cluster.ts';
import { diskFaults } from './disk-faults.ts';
import { fileFaults } from './file-faults.ts';
import type { Rig } from './rig.ts';
import { trafficFaults } from './traffic-faults.ts';

export interface Fault {
  /** To whom, and how. */
  readonly words: string;
  /** From when it has begun until it is to end, ms. */
  readonly lastsMs: number;
  begin(): Promise<void>;
  /** Resolves when what was broken is whole again. */
  end(): Promise<void>;
}

/** May ask the cluster who leads. */
export type FaultMaker = (rig: Rig, random: Random) => Promise<Fault>;

const kill = (choose: (rig: Rig) => Promise<readonly TestNode[]>): FaultMaker => {
  return async (rig, random) => {
    const victims = await choose(rig);
    return {
      words: names(victims),
      lastsMs: random.magnitude(50, 2000),
      begin: () => rig.kill(victims),
      end: () => rig.restart(victims),
    };
  };
};

/** `change` is made to the links once it begins; all heal at its end. */
function network(
  change: (rig: Rig, victim: TestNode, random: Random) => string | Promise<string>,
  [shortestMs, longestMs] = [500, 5000] as readonly [number, number],
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
      lastsMs: random.magnitude(shortestMs, longestMs),
      begin: async () => {
        words = await change(rig, victim, random);
      },
      end: async () => rig.links.heal(),
    };
  };
}

const processFaults = {
  'kill leader': kill(async (rig) => (await rig.byLeading()).slice(0, 1)),
  'kill follower': kill(async (rig) => (await rig.byLeading()).slice(-1)),
  'kill majority': kill(async (rig) => (await rig.byLeading()).slice(0, Math.floor(rig.nodes.length / 2) + 1)),
  'kill all': kill(async (rig) => rig.nodes),
  'kill at start': async (rig, random) => {
    const victim = random.pick(rig.nodes);
    return {
      words: victim.nodeId,
      lastsMs: random.magnitude(50, 500),
      begin: async () => {
        await rig.kill([victim]);
        // Into whatever it does then: it has not said yet that it is ready.
        const started = rig.restart([victim]).catch(() => undefined);
        await delay(random.magnitude(20, 800));
        await rig.kill([victim]);
        await started;
      },
      end: () => rig.restart([victim]),
    };
  },
  terminate: async (rig, random) => {
    const victim = random.pick(rig.nodes);
    return {
      words: victim.nodeId,
      lastsMs: random.magnitude(10, 1000),
      begin: () => rig.kill([victim], 'SIGTERM'),
      end: () => rig.restart([victim]),
    };
  },
  pause: async (rig, random) => {
    const [leader, ...others] = await rig.byLeading();
    const victim = random.chance(0.7) ? leader : random.pick(others);
    if (victim === undefined) throw new Error('a cluster has nodes');
    return {
      words: victim.nodeId,
      lastsMs: random.magnitude(100, 30_000),
      begin: async () => victim.pause(),
      end: async () => victim.resume(),
    };
  },
} satisfies Record<string, FaultMaker>;

const networkFaults = {
  isolate: network((rig, victim) => {
    rig.cutOff(victim, 'both');
    return victim.nodeId;
  }),
  'lose incoming': network((rig, victim) => {
    rig.cutOff(victim, 'in');
    return `to ${victim.nodeId}`;
  }),
  'lose outgoing': network((rig, victim) => {
    rig.cutOff(victim, 'out');
    return `from ${victim.nodeId}`;
  }),
  'partial partition': network((rig, victim, random) => {
    const other = random.pick(rig.others(victim));
    rig.links.set(victim.nodeId, other.nodeId, { lost: true });
    rig.links.set(other.nodeId, victim.nodeId, { lost: true });
    return `${victim.nodeId} and ${other.nodeId}`;
  }),
  bridge: network((rig, victim, random) => {
    // All see the victim, and the others fall into two halves.
    const others = random.shuffle(rig.others(victim));
    const half = others.length >> 1;
    for (const { nodeId: one } of others.slice(0, half)) {
      for (const { nodeId: other } of others.slice(half)) {
        rig.links.set(one, other, { lost: true });
        rig.links.set(other, one, { lost: true });
      }
    }
    return `over ${victim.nodeId}`;
  }),
  flapping: network(async (rig, victim, random) => {
    const other = random.pick(rig.others(victim));
    for (let turn = 0; turn < 10; turn += 1) {
      rig.links.set(victim.nodeId, other.nodeId, { lost: turn % 2 === 0 });
      if (turn % 2 === 0) rig.reset(victim, other);
      await delay(random.magnitude(20, 300));
    }
    return `${victim.nodeId} and ${other.nodeId}`;
  }),
  delay: network((rig, victim, random) => {
    const delayMs = Math.round(random.magnitude(5, 300));
    for (const { nodeId } of rig.others(victim)) {
      rig.links.set(nodeId, victim.nodeId, { delayMs });
      rig.links.set(victim.nodeId, nodeId, { delayMs });
    }
    return `${victim.nodeId}, ${delayMs} ms each way`;
  }),
  'slow link': network((rig, victim, random) => {
    const bytesPerSecond = Math.round(random.magnitude(2000, 1_000_000));
    for (const { nodeId } of rig.others(victim)) rig.links.set(victim.nodeId, nodeId, { bytesPerSecond });
    return `from ${victim.nodeId}, ${bytesPerSecond} bytes/s`;
  }),
  reset: network(
    (rig, victim) => {
      for (const other of rig.others(victim)) rig.reset(victim, other);
      return victim.nodeId;
    },
    [50, 500],
  ),
  'flipped bit': network(
    (rig, victim, random) => {
      const other = random.pick(rig.others(victim));
      rig.links.damageNext(victim.nodeId, other.nodeId, 'flip');
      return `from ${victim.nodeId} to ${other.nodeId}`;
    },
    [200, 1000],
  ),
  'cut frame': network(
    (rig, victim, random) => {
      const other = random.pick(rig.others(victim));
      rig.links.damageNext(victim.nodeId, other.nodeId, 'cut');
      return `from ${victim.nodeId} to ${other.nodeId}`;
    },
    [200, 1000],
  ),
} satisfies Record<string, FaultMaker>;

export const faults = { ...processFaults, ...networkFaults, ...diskFaults, ...fileFaults, ...trafficFaults };

export type FaultKind = keyof typeof faults;
export const faultKinds = Object.keys(faults) as readonly FaultKind[];

/** Those that take a disk made for it (`disk.ts`). */
export const needsDisks: ReadonlySet<string> = new Set(Object.keys(diskFaults));

function names(nodes: readonly TestNode[]): string {
  return nodes.map(({ nodeId }) => nodeId).join(', ');
}
