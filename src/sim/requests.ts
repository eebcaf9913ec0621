/**
 * What clients ask for: single operations, several in one command, and transactions on keys of one partition, with conditions, times to
 * live and idempotency keys. Each request says which operations the history will have of it.
 *
 * A command on several keys is one operation on each of them in the history, all with the same interval. Each key is checked by itself;
 * whoever is linearizable as a whole is so on each key, so this never refuses too much. What it leaves out, that the keys change
 * together, `transaction-judge.ts` checks.
 */
import { keyHash } from '../cluster/hash.ts';
import type { PartitionMap } from '../cluster/partition-map.ts';
import type { KvRequest } from '../cluster/types.ts';
import type { Operation } from '../history/types.ts';
import { dedupDigestBytes, encodeCommand } from '../kv/command.ts';
import {
  unconditional,
  type BatchItem,
  type Command,
  type Conditions,
  type Dedup,
  type Operation as KvOperation,
  type Version,
} from '../kv/types.ts';
import type { Random } from './random.ts';
import type { Swarm } from './swarm.ts';

/** An operation as the history will have it, before its answer. */
export type Part = Pick<Operation, 'op' | 'key' | 'input' | 'condition' | 'ttl'>;

export interface Asked {
  readonly what: 'single' | 'batch' | 'pair' | 'count';
  /** In the order of their results. */
  readonly parts: readonly Part[];
  /** Of a transaction whose comparison fails: what it does instead. */
  readonly otherwise: readonly Part[];
  /** Anew for each time that it is asked: the leader writes into it. */
  readonly encode: () => KvRequest;
  /** It may be asked again: it is done once. */
  readonly named: boolean;
}

/** What of a key was told last. */
export interface Seen {
  readonly version: Version;
  readonly value: string | undefined;
}

const ttlMsMin = 50;
const ttlMsMax = 4000;
const batchKeysMax = 4;
/** Keys that lie together: two that are always written together, and a counter. */
const groups = ['{g1}', '{g2}'] as const;

export class Requests {
  readonly #random: Random;
  readonly #swarm: Swarm;
  readonly #together = new Map<string, readonly string[]>();
  /** Of each key that anyone was told of. */
  readonly seen = new Map<string, Seen>();
  #values = 0;
  #names = 0;

  /** `keys` are all that batches draw from. */
  constructor(random: Random, swarm: Swarm, map: PartitionMap, keys: readonly string[]) {
    this.#random = random;
    this.#swarm = swarm;
    const partitionOf = (key: string): number => map.partitionOf(keyHash(Buffer.from(key))).id;
    for (const key of keys) {
      this.#together.set(
        key,
        keys.filter((other) => partitionOf(other) === partitionOf(key)),
      );
    }
  }

  /** Of one key, without anything special. */
  plain(op: Operation['op'], key: string): Asked {
    return this.#single({ op, key, input: op === 'put' ? this.#value() : null }, undefined);
  }

  draw(op: Operation['op'], key: string): Asked {
    const { batched, transacted, named } = this.#swarm.data;
    const drawn = this.#random.next();
    if (drawn < batched) return this.#batch(op, key);
    if (drawn < batched + transacted) return this.#transaction();
    const part = this.#part(op, key);
    return this.#single(part, op !== 'get' && this.#random.chance(named) ? this.#name() : undefined);
  }

  #single(part: Part, dedup: Dedup | undefined): Asked {
    const key = Buffer.from(part.key);
    const operation = this.#operation(part);
    const encode = (): KvRequest =>
      operation.type === 'get' ? { type: 'read', key } : { type: 'write', key, body: encodeCommand(operation, dedup) };
    return { what: 'single', parts: [part], otherwise: [], encode, named: dedup !== undefined };
  }

  #batch(op: Operation['op'], key: string): Asked {
    const others = this.#random.shuffle(this.#together.get(key) ?? []).filter((other) => other !== key);
    const count = this.#random.whole(0, batchKeysMax - 1);
    // Each key once: all that a command writes has one revision.
    const parts = [this.#part(op, key)];
    for (const other of others.slice(0, count))
      parts.push(this.#part(this.#random.pick(['put', 'get', 'delete']), other));
    const named = this.#random.chance(this.#swarm.data.named);
    const items = parts.map((part): BatchItem => ({
      operation: this.#operation(part),
      dedup: named ? this.#name() : undefined,
    }));
    return { what: 'batch', parts, otherwise: [], encode: writing(key, { type: 'batch', items }), named };
  }

  #transaction(): Asked {
    const group = this.#random.pick(groups);
    const drawn = this.#random.next();
    if (drawn < 0.3) return this.#count(`${group}count`);
    const keys = [`${group}left`, `${group}right`] as const;
    const gets = keys.map((key): Part => ({ op: 'get', key, input: null }));
    if (drawn < 0.65) return this.#transact('pair', keys[0], undefined, gets, []);
    const [input] = [this.#value()];
    const revision = this.#random.chance(0.4) ? this.#seenRevision(keys[0]) : undefined;
    const puts = keys.map((key): Part => ({ op: 'put', key, input }));
    return this.#transact('pair', keys[0], revision, puts, gets);
  }

  /** Adds one, if nobody has done so since it was read; else it is read. */
  #count(key: string): Asked {
    const count = countOf(this.seen.get(key)?.value) + 1;
    const put: Part = { op: 'put', key, input: `${count} by ${this.#value()}` };
    return this.#transact('count', key, this.#seenRevision(key), [put], [{ op: 'get', key, input: null }]);
  }

  /** If `key` has `revision`, 0 for none. */
  #transact(
    what: 'pair' | 'count',
    key: string,
    revision: number | undefined,
    then: readonly Part[],
    otherwise: readonly Part[],
  ): Asked {
    const compared = { key: Buffer.from(key), exists: undefined, revision, version: undefined, value: undefined };
    const command: Command = {
      type: 'transaction',
      compare: revision === undefined ? [] : [compared],
      then: then.map((part) => this.#operation(part)),
      otherwise: otherwise.map((part) => this.#operation(part)),
    };
    const dedup = this.#random.chance(this.#swarm.data.named) ? this.#name() : undefined;
    const condition = revision === undefined ? {} : { condition: { revision: revision === 0 ? null : revision } };
    const parts = then.map((part) => (part.key === key && part.op !== 'get' ? { ...part, ...condition } : part));
    return { what, parts, otherwise, encode: writing(key, command, dedup), named: dedup !== undefined };
  }

  #seenRevision(key: string): number {
    return this.seen.get(key)?.version.revision ?? 0;
  }

  #part(op: Operation['op'], key: string): Part {
    const { conditional, timed } = this.#swarm.data;
    const part: Part = { op, key, input: op === 'put' ? this.#value() : null };
    if (op === 'get') return part;
    const condition = this.#random.chance(conditional) ? { condition: this.#condition(op, key) } : {};
    const isTimed = op === 'put' && this.#random.chance(timed);
    const ttl = isTimed ? { ttl: Math.floor(this.#random.magnitude(ttlMsMin, ttlMsMax)) } : {};
    return { ...part, ...condition, ...ttl };
  }

  #condition(op: Operation['op'], key: string): NonNullable<Part['condition']> {
    const seen = this.seen.get(key);
    if (seen !== undefined && this.#random.chance(0.7)) return { revision: seen.version.revision };
    return { revision: op === 'put' && this.#random.chance(0.7) ? null : 'any' };
  }

  #operation({ op, key: name, input, condition, ttl }: Part): Exclude<KvOperation, { type: 'never' }> {
    const key = Buffer.from(name);
    if (op === 'get') return { type: 'get', key };
    const conditions = this.#conditions(name, condition);
    if (op === 'delete') return { type: 'delete', key, conditions };
    const value = Buffer.from(input ?? '');
    return { type: 'put', key, value, contentType: 'text/plain', ttlMs: ttl ?? 0, conditions };
  }

  #conditions(key: string, condition: Part['condition']): Conditions {
    if (condition === undefined) return unconditional;
    const { revision } = condition;
    if (revision === null) return { match: undefined, noneMatch: 'any' };
    if (revision === 'any') return { match: 'any', noneMatch: undefined };
    const incarnation = this.seen.get(key)?.version.incarnation ?? 0;
    return { match: [{ revision, incarnation }], noneMatch: undefined };
  }

  #value(): string {
    this.#values += 1;
    return `v${this.#values}`;
  }

  #name(): Dedup {
    this.#names += 1;
    const name = Buffer.from(`name-${this.#names}`);
    return { name, digest: Buffer.alloc(dedupDigestBytes, name) };
  }
}

/** Of a counter's value. */
export function countOf(value: string | undefined): number {
  return value === undefined ? 0 : Number.parseInt(value, 10);
}

function writing(key: string, command: Command, dedup?: Dedup): () => KvRequest {
  return () => ({ type: 'write', key: Buffer.from(key), body: encodeCommand(command, dedup) });
}
