/**
 * Where changes of a partition come from: the replica here, or that of another node, which answers once there is something. Any replica will
 * do, since all have applied the same entries; a leader's log is not longer than others', but may reach further back.
 */
import type { WatchConfig } from '../../config.ts';
import type { ChangePoint, ChangesOutcome } from '../../replica/change-log.ts';
import type { Clock, NodeId, PartitionId, Transport } from '../../replica/ports.ts';
import { askingOrder, type Knowledge } from '../best-leader.ts';
import {
  changesRequest,
  decodeChanges,
  decodeQuestion,
  encodeChanges,
  encodeQuestion,
  type ChangesAnswer,
  type ChangesQuestion,
} from './changes-messages.ts';

/** The replicas of this node. */
export interface LocalChanges {
  /** Undefined when there is none that may tell. */
  changes(partition: PartitionId, after: ChangePoint, bytesMax: number): ChangesOutcome | undefined;
  /** Calls back once, when the replica has applied more, or is not there any more. Returns how to take that back. */
  onMore(partition: PartitionId, callback: () => void): () => void;
}

export interface ChangeSourcePorts extends Knowledge {
  readonly clock: Clock;
  readonly transport: Pick<Transport, 'request' | 'connected'>;
  readonly local: LocalChanges;
  readonly limits: Pick<WatchConfig, 'pageBytesMax' | 'pollMs' | 'pollReturnMs'>;
}

/** `nobody`: no node that holds the partition could be asked. */
export type Polled = ChangesOutcome | { readonly type: 'nobody' };

export interface PollOptions {
  /** How long to wait for something; 0 not at all. */
  readonly waitMs: number;
  /** The replica here has fallen behind, or is cut off: others are asked before it. */
  readonly distrustLocal: boolean;
}

export class ChangeSource {
  readonly #ports: ChangeSourcePorts;

  constructor(ports: ChangeSourcePorts) {
    this.#ports = ports;
  }

  /** What came behind `after`. `too_old` only if all that could be asked said so. */
  async poll(partition: PartitionId, after: ChangePoint, options: PollOptions): Promise<Polled> {
    const question = { partition, after, bytesMax: this.#ports.limits.pageBytesMax, waitMs: options.waitMs };
    let tooOld: ChangesOutcome | undefined;
    for (const nodeId of this.#candidates(partition, options.distrustLocal)) {
      const answer = nodeId === this.#ports.nodeId ? await this.#here(question) : await this.#ask(nodeId, question);
      if (answer?.type === 'changes') return answer;
      if (answer?.type === 'too_old') tooOld = answer;
    }
    return tooOld ?? { type: 'nobody' };
  }

  /** Serves a peer's question. */
  async handle(payload: unknown): Promise<unknown> {
    const question = decodeQuestion(payload);
    if (question === undefined) return { type: 'malformed' };
    const { pageBytesMax, pollMs } = this.#ports.limits;
    const bytesMax = Math.min(question.bytesMax, pageBytesMax);
    const waitMs = Math.min(question.waitMs, pollMs);
    return encodeChanges(await this.#here({ ...question, bytesMax, waitMs }));
  }

  /** This node first, as it costs nothing; then the leader, which has everything; then whoever else is in reach. */
  #candidates(partition: PartitionId, distrustLocal: boolean): readonly NodeId[] {
    const { nodeId, map, replicas, hints, transport } = this.#ports;
    const descriptor = map.partition(partition);
    if (descriptor === undefined) return [];
    const leader = (replicas.leader(partition) ?? hints.get(partition))?.nodeId;
    const others = askingOrder(this.#ports, descriptor).filter((id) => transport.connected(id) && id !== leader);
    const remote = leader === undefined || leader === nodeId ? others : [leader, ...others];
    if (!replicas.hosts(partition)) return remote;
    return distrustLocal && leader !== nodeId ? [...remote, nodeId] : [nodeId, ...remote];
  }

  async #here(question: ChangesQuestion): Promise<ChangesAnswer> {
    const { local } = this.#ports;
    const { partition, after, bytesMax, waitMs } = question;
    const read = (): ChangesAnswer => local.changes(partition, after, bytesMax) ?? { type: 'not_here' };
    const found = read();
    if (waitMs === 0 || found.type !== 'changes' || found.through.index > after.index) return found;
    await this.#more(partition, waitMs);
    return read();
  }

  #more(partition: PartitionId, waitMs: number): Promise<void> {
    const { local, clock } = this.#ports;
    return new Promise((resolve) => {
      const cancelTimer = clock.after(waitMs, () => {
        takeBack();
        resolve();
      });
      const takeBack = local.onMore(partition, () => {
        cancelTimer();
        resolve();
      });
    });
  }

  async #ask(nodeId: NodeId, question: ChangesQuestion): Promise<ChangesAnswer | undefined> {
    const { transport, limits } = this.#ports;
    const timeoutMs = question.waitMs + limits.pollReturnMs;
    try {
      return decodeChanges(await transport.request(nodeId, changesRequest, encodeQuestion(question), timeoutMs));
    } catch {
      // It is gone, or does not answer: the next one may.
      return undefined;
    }
  }
}
