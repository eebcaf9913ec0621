/** One row of requests, each sent when the one before is answered, on keys that no other row touches. */
import assert from 'node:assert/strict';
import { expectJson, expectProblem } from '../../http/expect-answer.ts';
import type { Answer, Call } from '../../http/http-client.ts';
import type { SchemaName } from '../../../src/api/schemas.ts';
import type { ErrorCode } from '../../../src/api/errors.ts';
import { Model } from './model.ts';
import type { KeyPool } from './keys.ts';

export interface Plan {
  readonly request: Call;
  /** Throws when the answer is not what must be answered; otherwise notes what it has changed. */
  judge(answer: Answer): void;
  /** No answer to it is a redirect. */
  readonly neverRedirected?: true;
}

/** What is drawn; what exactly is sent depends on what is stored by then. */
export type Move = (stream: Stream) => Plan;

/** A write under an idempotency key, and what it came to. */
export interface NamedWrite {
  readonly request: Call;
  readonly answer: Answer;
  /** In batches it is each operation that is repeated. */
  readonly each: boolean;
}

export interface MortalValue {
  readonly value: Buffer;
  /** Not before it may the value be gone; on this process's clock. */
  readonly dueAt: number;
}

export class Stream {
  readonly pool: KeyPool;
  readonly model = new Model();
  readonly mortals = new Map<string, MortalValue>();
  readonly #name: string;
  #names = 0;
  named: NamedWrite | undefined;

  constructor(name: string, pool: KeyPool) {
    this.#name = name;
    this.pool = pool;
  }

  newName(): string {
    this.#names += 1;
    return `${this.#name}-${this.#names}`;
  }
}

export function pick<T>(from: readonly T[], index: number): T {
  const one = from[index % from.length];
  assert(one !== undefined, 'there is something to pick from');
  return one;
}

/** The body, of an answer with this status and schema. */
export function expectBody(answer: Answer, status: number, schema: SchemaName): Record<string, unknown> {
  assert.equal(answer.status, status, answer.body.toString('utf8', 0, 500));
  return expectJson(answer, schema) as Record<string, unknown>;
}

/** A problem with one of `codes`; without a body where HEAD was asked. */
export function expectRefusal(answer: Answer, codes: readonly ErrorCode[], ofHead = false): void {
  if (ofHead) {
    assert.equal(answer.body.length, 0);
    assert(answer.status >= 300, `status ${answer.status}`);
    return;
  }
  const told = (JSON.parse(answer.body.toString()) as { readonly code: ErrorCode }).code;
  assert(codes.includes(told), `expected ${codes.join(' or ')}, not ${answer.body.toString('utf8', 0, 500)}`);
  expectProblem(answer, told);
}

/** The very bytes of the key, from wherever JSON has them. */
export function expectKey(body: Record<string, unknown>, key: Buffer): void {
  const text = body['key'];
  const bytes = typeof text === 'string' ? Buffer.from(text) : Buffer.from(body['keyBase64'] as string, 'base64');
  assert.equal(bytes.toString('hex'), key.toString('hex'), 'the key is given back byte for byte');
}

export function expectBytes(given: Buffer, stored: Buffer): void {
  if (given.equals(stored)) return;
  const shown = (bytes: Buffer): string => `${bytes.length} bytes ${bytes.toString('hex', 0, 200)}`;
  assert.fail(`the value is not what was stored: ${shown(given)}, not ${shown(stored)}`);
}
