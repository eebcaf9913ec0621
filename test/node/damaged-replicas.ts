/** Three nodes with a damaged record or two in the tables of some of them. */
import { Random } from '../../src/sim/random.ts';
import { Clients } from './clients.ts';
import { Nodes } from './world.ts';

export const scrub = {
  everyMs: 1000,
  retryMs: 200,
  askEveryMs: 50,
  trapTimeoutMs: 500,
  askTimeoutMs: 300,
  silenceMs: 1000,
};

/** Of three, with forty keys, all in tables. */
export async function startDamageable(): Promise<Nodes> {
  const nodes = await Nodes.start({ settings: { scrub } });
  await new Clients(nodes, new Random(1, 'clients')).write(40);
  await nodes.run(500);
  for (const { nodeId } of nodes.all) await nodes.restart(nodeId);
  await nodes.lead('n1');
  return nodes;
}

/** Whoever reads it finds that it is not as it was written. */
export function turnBit(nodes: Nodes, name: string, key = 'key-7'): void {
  nodes.rot(name, key, (stored) => {
    const turned = Buffer.from(stored);
    turned.writeUInt8(turned.readUInt8(3) ^ 1, 3);
    return turned;
  });
}

/** Who answers it. */
export async function staleRead(nodes: Nodes, at: string, key: string): Promise<string> {
  nodes.world.scheduler.promisesMove();
  const request = { type: 'stale', key: Buffer.from(key), stalenessMsMax: Infinity } as const;
  const asked = nodes.node(at).execute(request, { route: 'forward', deadlineAt: nodes.now() + 1500, hops: 0 });
  const origins: string[] = [];
  void asked.then((answer) => origins.push('origin' in answer ? answer.origin.nodeId : answer.type));
  await nodes.until(() => origins.length > 0);
  return origins[0] ?? '';
}
