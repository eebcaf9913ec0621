/** Comparing the states of replicas, and reading them from the disk for it: this node's part in it, of all its groups. */
import type { Config } from '../config.ts';
import type { Logger } from '../logger.ts';
import type { Clock, NodeId, PartitionId, Storage, Transport } from '../replica/ports.ts';
import type { Replica } from '../replica/replica.ts';
import { DigestRounds } from './digest-rounds.ts';
import { DigestTakings } from './digest-takings.ts';
import { stepDown } from './step-down.ts';

export interface DigestHostOptions {
  readonly config: Pick<Config, 'scrub' | 'raft'>;
  readonly nodeId: NodeId;
  readonly storage: Pick<Storage, 'trapState'>;
  readonly transport: Pick<Transport, 'request'>;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly logger: Logger;
  readonly replica: (partition: PartitionId) => Replica | undefined;
  readonly replicas: () => Iterable<Replica>;
  /** The replica here holds something else than a majority, and leads no more if that could be had. */
  readonly onDiffers: (partition: PartitionId, reason: string) => void;
  readonly onFailure: (error: unknown) => void;
}

export class DigestHost {
  readonly #options: DigestHostOptions;
  readonly #takings: DigestTakings;
  readonly #rounds: DigestRounds;
  #stopped = false;

  constructor(options: DigestHostOptions) {
    const { config, transport, nodeId, replicas } = options;
    const limits = config.scrub;
    this.#options = options;
    this.#takings = new DigestTakings({
      ...options,
      limits,
      onCompared: (partition) => this.#rounds.compared(partition),
    });
    this.#rounds = new DigestRounds({
      ...options,
      limits,
      request: (to, kind, payload, timeoutMs) => transport.request(to, kind, payload, timeoutMs),
      led: () => [...replicas()].filter((replica) => replica.leader()?.nodeId === nodeId),
      takeOwn: (replica, index) => this.#takings.take(replica, index),
      onLeaderDiffers: (replica, heirs, reason) => this.#leaderDiffers(replica, heirs, reason),
    });
  }

  /** Raft has begun. */
  start(): void {
    this.#rounds.start();
  }

  handle(from: NodeId, kind: string, payload: unknown): Promise<unknown> {
    return Promise.resolve(this.#takings.handle(from, kind, payload));
  }

  /** The replica here is no more. */
  end(partition: PartitionId): void {
    this.#takings.end(partition);
    this.#rounds.forget(partition);
  }

  /** Resolves once storage may be closed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#rounds.stop();
    await this.#takings.stop();
  }

  async #leaderDiffers(replica: Replica, heirs: readonly NodeId[], reason: string): Promise<void> {
    const { clock, config, logger, onDiffers } = this.#options;
    const { partition } = replica;
    const attemptMs = config.raft.electionTicksMin * config.raft.tickMs;
    const gone = await stepDown({ clock, replica, heirs, attemptMs });
    if (!gone) logger.warn({ partition, heirs }, 'nobody took over from a leader whose state is in doubt');
    // Another one may live here by now.
    if (!this.#stopped && this.#options.replica(partition) === replica) onDiffers(partition, reason);
  }
}
