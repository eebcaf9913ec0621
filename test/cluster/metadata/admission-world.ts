/** Nodes that wait at the door of a cluster, and the part of the controller that lets them in. */
import { expect } from 'vitest';
import { Admission } from '../../../src/cluster/metadata/admission.ts';
import type { NodeRecord } from '../../../src/cluster/metadata/records.ts';
import type { NodeAddition } from '../../../src/cluster/types.ts';
import type { NodeId } from '../../../src/replica/ports.ts';
import { MetadataWorld, type Joiner } from './metadata-world.ts';
import { nodeRecord, partitionRecord } from './samples.ts';

export function addition(name: string, changes: Partial<NodeAddition> = {}): NodeAddition {
  const { nodeId, http, peer } = nodeRecord(name);
  return { nodeId, http, peer, labels: { zone: 'a' }, weight: 2, ...changes };
}

export class AdmissionWorld extends MetadataWorld {
  readonly admission = new Admission(this.ports());

  static async start(): Promise<AdmissionWorld> {
    const world = new AdmissionWorld();
    world.state.replaced();
    await world.clock.advance(0);
    return world;
  }

  async check(node: NodeAddition): Promise<unknown> {
    const found = await this.clock.until(this.admission.check(node, this.clock.monotonicMs() + 60_000), 60_000);
    return 'refused' in found.outcome ? found.outcome.refused : found.outcome.state;
  }

  async begin(node: NodeAddition, joiner: Joiner): Promise<boolean> {
    const revision = this.state.nodes.get(node.nodeId)?.revision ?? 0;
    return (await this.clock.until(this.admission.begin(node, { state: joiner.state, revision }, Infinity), 5000))
      .outcome;
  }

  async step(): Promise<void> {
    await this.clock.until(this.admission.step(), 60_000);
  }

  /** n4 waits to be let in, and was asked for. */
  async asked(name = 'n4', joiner = this.join(name)): Promise<Joiner> {
    expect(await this.begin(addition(name), joiner)).toBe(true);
    this.written.length = 0;
    return joiner;
  }

  known(name = 'n4'): NodeRecord | undefined {
    return this.state.nodes.get(name as NodeId)?.record;
  }

  /** n3 lives nowhere any more, by the directory and by the groups themselves. */
  async purge(name = 'n3'): Promise<void> {
    for (const [partition, group] of this.groups) {
      const staying = [...group.voters].filter(([, host]) => host !== name);
      group.apply({ type: 'changeVoters', voters: staying.map(([replicaId]) => replicaId as never) });
      await this.record({ type: 'partition', record: partitionRecord(partition, 2, staying) });
      const move = this.state.moves.get(partition);
      if (move === undefined) continue;
      const { record, revision } = move;
      await this.writer.write([{ type: 'delete', record: { type: 'move', record }, revision }], Infinity);
    }
    this.written.length = 0;
  }
}
