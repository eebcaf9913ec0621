/** The replicas of one partition, those to come among them, and its configurations. */
import { ConfigurationFormatError, decodeConfiguration } from '../../raft/configuration.ts';
import type { Configuration, Entry, LogIndex, ReplicaId, Term } from '../../raft/types.ts';
import type { NodeId, PartitionId, ReplicaDescriptor } from '../../replica/ports.ts';
import { Violation } from '../violation.ts';
import { wrongStep } from './configuration-steps.ts';
import { named, type KnownEntry } from './entries.ts';
import { KnownConfiguration } from './known-configuration.ts';
import { ReplicaRecord } from './replica-record.ts';

export class Roster {
  readonly #partition: PartitionId;
  readonly #founding: KnownConfiguration;
  readonly #wholeVotersMin: number;
  readonly #replicas = new Map<ReplicaId, ReplicaRecord>();
  /** The highest one that any configuration ever gave out, rolled back or not. */
  #replicaIdMax: number;

  constructor(partition: PartitionId, founders: readonly ReplicaDescriptor[], wholeVotersMin: number) {
    this.#partition = partition;
    this.#wholeVotersMin = wholeVotersMin;
    for (const { replicaId, nodeId } of founders) {
      const replica = this.#named(replicaId);
      replica.nodeId = nodeId;
      replica.name = nodeId;
    }
    const content = foundingConfiguration(founders);
    const at = { index: 0 as LogIndex, term: 0 as Term, body: undefined, previous: undefined };
    this.#founding = new KnownConfiguration({ ...at, content }, (replicaId) => this.#named(replicaId));
    this.#replicaIdMax = content.replicaIdMax;
  }

  /** All that have come into being or that a configuration names. */
  all(): Iterable<ReplicaRecord> {
    return this.#replicas.values();
  }

  /** In force in a log that ends with `entry`. */
  inForce(entry: KnownEntry): KnownConfiguration {
    return entry.configuration ?? this.#founding;
  }

  replica(id: ReplicaId): ReplicaRecord | undefined {
    return this.#replicas.get(id);
  }

  /** Whether one that lived there was destroyed. */
  isAnyGoneFrom(nodeId: NodeId): boolean {
    return [...this.#replicas.values()].some((replica) => replica.gone && replica.nodeId === nodeId);
  }

  /**
   * The replica that (re)starts on a node. An id stands for one stay on one node, and a node hosts one replica of a
   * partition at a time. Whom no configuration names yet must have an id above all that were given.
   */
  hosted(id: ReplicaId, nodeId: NodeId): ReplicaRecord {
    const known = this.#replicas.get(id);
    if (known === undefined && id <= this.#replicaIdMax) {
      this.#fail('replica ids', `replica ${id} comes into being on ${nodeId}, and that id was given to nobody`);
    }
    const replica = known ?? this.#named(id);
    this.#replicaIdMax = Math.max(this.#replicaIdMax, id);
    if (replica.nodeId !== undefined && replica.nodeId !== nodeId) {
      this.#fail('replica ids', `replica ${id} comes into being on ${nodeId} and lives on ${replica.nodeId} already`);
    }
    for (const other of this.#replicas.values()) {
      if (other === replica || other.nodeId !== nodeId || !other.up) continue;
      this.#fail('replica ids', `${nodeId} starts replica ${id} of a partition beside its replica ${other.replicaId}`);
    }
    if (replica.nodeId === undefined) replica.name = `${nodeId} as replica ${id}`;
    replica.nodeId = nodeId;
    return replica;
  }

  /** What a configuration entry brings when it is first seen: only what may follow the one in force before it. */
  configured({ index, term, body }: Entry, previous: KnownEntry, node: string): KnownConfiguration {
    const before = this.inForce(previous);
    const content = this.#decoded(body, `${node} has entry ${index} of term ${term}`);
    const wrong = wrongStep(before, content);
    if (wrong !== undefined) {
      this.#fail(wrong.rule, `${node} has the configuration ${named({ index, term })}: ${wrong.why}`);
    }
    this.#replicaIdMax = Math.max(this.#replicaIdMax, content.replicaIdMax);
    const at = { index, term, body, previous: before };
    const configuration = new KnownConfiguration({ ...at, content }, (replicaId) => this.#named(replicaId));
    this.#checkRedundancy(before, configuration);
    return configuration;
  }

  /** Whoever moves replicas lets none go before another is there in its place, but for those that have lost their disk. */
  #checkRedundancy(before: KnownConfiguration, configuration: KnownConfiguration): void {
    const whole = configuration.wholeVoters(before);
    if (whole >= Math.min(this.#wholeVotersMin, before.wholeVoters())) return;
    const what = `${named(configuration)} leaves ${whole} voters that have their disks: ${configuration.spelled}`;
    this.#fail('redundancy', `${what}, after ${before.spelled}`);
  }

  #decoded(body: Uint8Array, what: string): Configuration {
    try {
      return decodeConfiguration(body);
    } catch (error) {
      if (!(error instanceof ConfigurationFormatError)) throw error;
      this.#fail('joint steps', `${what}, which is no configuration: ${error.message}`);
    }
  }

  #named(id: ReplicaId): ReplicaRecord {
    let replica = this.#replicas.get(id);
    if (replica === undefined) {
      replica = new ReplicaRecord(id);
      this.#replicas.set(id, replica);
    }
    return replica;
  }

  #fail(judge: string, message: string): never {
    throw new Violation(judge, message, this.#partition);
  }
}

function foundingConfiguration(founders: readonly ReplicaDescriptor[]): Configuration {
  const voters = founders.map(({ replicaId }) => replicaId);
  const hosts = new Map(founders.map(({ replicaId, nodeId }) => [replicaId, nodeId]));
  const replicaIdMax = Math.max(0, ...voters) as ReplicaId;
  return { voters, votersOutgoing: [], learners: [], replicaIdMax, incarnation: 1, hosts };
}
