/** Sends what was drawn to the nodes of a cluster, in several streams at once, and judges each answer. */
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { setTimeout as after } from 'node:timers/promises';
import fc from 'fast-check';
import { send, type Answer, type Call } from '../../http/http-client.ts';
import { hostileMoves } from './hostile.ts';
import { keyPools } from './keys.ts';
import { manyKeysMoves } from './many-keys.ts';
import { refusedMoves } from './refused.ts';
import { simpleMoves } from './simple-routes.ts';
import { singleKeyMoves } from './single-key.ts';
import { expectRefusal, Stream, type Move, type Plan } from './stream.ts';

const move: fc.Arbitrary<Move> = fc.oneof(
  ...[...singleKeyMoves, ...manyKeysMoves, ...simpleMoves, ...refusedMoves, ...hostileMoves],
);

export interface FuzzOptions {
  readonly nodes: readonly string[];
  readonly requests: number;
  readonly seed: number;
}

export interface FuzzReport {
  /** How many answers had each status; of a redirect it is the leader's answer that counts. */
  readonly statuses: ReadonlyMap<number, number>;
  readonly redirects: number;
}

const streamCount = 12;
const redirectsMax = 5;
const answerTimeoutMs = 30_000;
/** Values that are drawn at once are in memory at once. */
const drawnAtOnce = 50;

export async function fuzz({ nodes, requests, seed }: FuzzOptions): Promise<FuzzReport> {
  const agent = new Agent({ keepAlive: true, maxSockets: 2 * streamCount });
  const statuses = new Map<number, number>();
  const report = { statuses, redirects: 0 };
  const failed = new AbortController();
  const perStream = Math.ceil(requests / streamCount);
  const runStream = async (stream: Stream, number: number): Promise<void> => {
    let block: Move[] = [];
    for (let sent = 0; sent < perStream && !failed.signal.aborted; sent += 1) {
      // The same seed draws the same moves, a block at a time.
      if (sent % drawnAtOnce === 0)
        block = fc.sample(move, { seed: seed + number * 1_000_003 + sent, numRuns: drawnAtOnce });
      const plan = (block[sent % drawnAtOnce] as Move)(stream);
      const node = nodes[(sent + number) % nodes.length] as string;
      const asked = await askAndJudge(plan, { node, nodes, agent });
      if (asked.failure !== undefined) {
        failed.abort();
        throw described(asked.failure, {
          plan,
          node,
          answer: asked.answer,
          where: `seed ${seed}, stream ${number}, request ${sent}`,
        });
      }
      report.redirects += asked.redirects;
      const status = asked.answer?.status ?? 0;
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  try {
    const streams = keyPools(seed, streamCount).map((pool, number) =>
      runStream(new Stream(`${seed}-${number}`, pool), number),
    );
    const [broken] = (await Promise.allSettled(streams)).filter((one) => one.status === 'rejected');
    if (broken !== undefined) throw broken.reason;
    return report;
  } finally {
    agent.destroy();
  }
}

interface Asked {
  readonly answer: Answer | undefined;
  readonly redirects: number;
  readonly failure: unknown;
}

interface Way {
  readonly node: string;
  readonly nodes: readonly string[];
  readonly agent: Agent;
}

async function askAndJudge(plan: Plan, way: Way): Promise<Asked> {
  let answer: Answer | undefined;
  let redirects = 0;
  try {
    answer = await ask(way.node, plan.request, way.agent);
    while (answer.status === 307) {
      assert(plan.neverRedirected !== true, 'this route never answers with a redirect');
      redirects += 1;
      assert(redirects <= redirectsMax, 'the redirects do not come to an end');
      answer = await ask(leaderOf(answer, plan.request, way.nodes), plan.request, way.agent);
    }
    expectSound(answer, plan.request);
    plan.judge(answer);
    return { answer, redirects, failure: undefined };
  } catch (failure) {
    return { answer, redirects, failure: failure ?? new Error('failed') };
  }
}

async function ask(node: string, request: Call, agent: Agent): Promise<Answer> {
  const given = new AbortController();
  const late = after(answerTimeoutMs, undefined, { signal: given.signal, ref: false }).then(() => {
    throw new Error(`no answer within ${answerTimeoutMs} ms`);
  });
  late.catch(() => undefined);
  try {
    return await Promise.race([send(node, { ...request, agent }), late]);
  } finally {
    given.abort();
  }
}

/** Where it is to be asked again: the same target at one of the nodes. */
function leaderOf(answer: Answer, request: Call, nodes: readonly string[]): string {
  expectRefusal(answer, ['not_leader'], request.method === 'HEAD');
  const { location, 'flotilla-leader': leader } = answer.headers;
  const node = nodes.find((one) => location === `${one}${request.path}`);
  assert(node !== undefined && leader !== undefined, `a redirect to ${String(location)}`);
  return node;
}

/** What holds of every answer. */
function expectSound({ status, headers, body }: Answer, request: Call): void {
  assert(status >= 200 && status < 500, `status ${status}: ${body.toString('utf8', 0, 500)}`);
  assert(headers['flotilla-node'] !== undefined, 'every answer says which node gave it');
  if (status < 400 || request.method === 'HEAD') return;
  assert.equal(headers['content-type'], 'application/problem+json');
  assert(!/<html|<!doctype/i.test(body.toString('utf8', 0, 100)), 'an error is never HTML');
}

const shownBytesMax = 2000;

/** All that is needed to see it again: `FUZZ_SEED`, and the very request. */
function described(
  failure: unknown,
  { plan, node, answer, where }: { plan: Plan; node: string; answer: Answer | undefined; where: string },
): Error {
  const { method = 'GET', path, headers, body } = plan.request;
  const bytes = body === undefined ? undefined : Buffer.from(body);
  const shown =
    bytes === undefined ? 'none' : `${bytes.length} bytes, base64 ${bytes.toString('base64').slice(0, shownBytesMax)}`;
  const lines = [
    failure instanceof Error ? failure.message : String(failure),
    `${where} (replay with FUZZ_SEED)`,
    `${method} ${node}${path}`,
    `headers ${JSON.stringify(headers ?? {})}`,
    `body ${shown}`,
    answer === undefined
      ? 'no answer'
      : `answered ${answer.status} ${JSON.stringify(answer.headers)} ${answer.body.toString('utf8', 0, 1000)}`,
  ];
  return new Error(lines.join('\n'), { cause: failure });
}
