/** Changes as they happen: server-sent events (WHATWG HTML, section 9.2), or the same as lines of JSON. */
import { formatETag } from '../../api/etag.ts';
import { problem, type Problem } from '../../api/errors.ts';
import type { WatchEnd, WatchSink } from '../../cluster/watch/watcher.ts';
import type { WatchOutcome } from '../../cluster/watch/hub.ts';
import type { Change } from '../../kv/changes.ts';
import type { AnswerStream } from '../answer-stream.ts';
import type { Exchange } from '../exchange.ts';
import { failure, type Failure } from '../failure.ts';
import type { FrontContext } from '../front-context.ts';
import { outcomeFailure } from '../outcome-failure.ts';
import { splitTarget } from '../target.ts';
import { asText } from '../utf8.ts';
import { parseWatch } from '../watch-query.ts';
import type { Route } from './route.ts';

export const watchRoute: Route = { path: '/v1/watch', operation: 'watch', methods: ['GET'], answer: answerWatch };

const ndjson = 'application/x-ndjson';
const eventStream = 'text/event-stream';

async function answerWatch({ node, config }: FrontContext, exchange: Exchange): Promise<void> {
  const { headers, url = '' } = exchange.request;
  const call = parseWatch({ headers, query: splitTarget(url).query }, config.limits);
  if (call.type === 'failure') return exchange.problem(call);
  const format = headers.accept?.includes(ndjson) === true ? asLine : asEvent;
  const { target, from, timeoutMs } = call;
  const { connection } = exchange;
  // What comes behind it on the connection would wait for its end.
  connection.closing = true;
  const begin = (): WatchSink => {
    const type = format === asLine ? ndjson : eventStream;
    // Proxies are not to gather it, nor to keep it.
    const stream = exchange.stream([
      'Content-Type',
      type,
      'Cache-Control',
      'no-store',
      'X-Accel-Buffering',
      'no',
      'Vary',
      'Accept',
    ]);
    exchange.detach();
    // Its client knows that it has begun, whatever comes first and when.
    exchange.response.flushHeaders();
    if (format === asEvent) stream.send(`retry: ${retryMs}\n\n`);
    return sinkOf(stream, format, exchange.requestId());
  };
  const outcome = await node.watch({ target, from, deadlineAt: node.nowMs() + timeoutMs, begin });
  if (outcome.type !== 'watching') return exchange.problem(refusalOf(outcome));
  connection.whenClosed(outcome.close);
}

/** So long a browser waits before it comes back. */
const retryMs = 500;

function refusalOf(outcome: Exclude<WatchOutcome, { type: 'watching' }>): Failure {
  switch (outcome.type) {
    case 'too_old':
      return expired(outcome.detail);
    case 'bad_cursor':
      return failure('invalid_request', `The cursor can't be used: ${outcome.detail}.`);
    case 'too_many':
      return failure('overloaded', `${outcome.detail}.`, { headers: ['Retry-After', '1'] });
    case 'failed':
      return outcomeFailure(outcome.outcome, 'read', '');
  }
}

function expired(detail: string): Failure {
  return failure(
    'cursor_expired',
    `What came behind the cursor is not all there any more: ${detail}. Read the keys, then watch from now.`,
  );
}

/** One thing that is told; without a cursor for what is no place to go on from. */
type Format = (event: string, cursor: string | undefined, data: object | undefined) => string;

const asEvent: Format = (event, cursor, data) => {
  const id = cursor === undefined ? '' : `id: ${cursor}\n`;
  // An event without data is not told to anybody.
  return `${id}event: ${event}\ndata: ${JSON.stringify(data ?? {})}\n\n`;
};

const asLine: Format = (event, cursor, data) => `${JSON.stringify({ event, cursor, data })}\n`;

function sinkOf(stream: AnswerStream, format: Format, requestId: string): WatchSink {
  return {
    event: (change, partition, cursor) => stream.send(format(change.type, cursor, changeInJson(change, partition))),
    bookmark: (cursor) => stream.send(format('bookmark', cursor, undefined)),
    end: (end) => stream.end(format('end', undefined, problemOf(end, requestId))),
    queuedBytes: () => stream.queuedBytes,
    drained: () => stream.drained(),
  };
}

function changeInJson(change: Change, partition: number): object {
  const { incarnation, revision } = change;
  const key = asText(change.key);
  const value = change.type === 'put' ? asText(change.value) : undefined;
  const contentType = change.type === 'put' && change.contentType !== '' ? change.contentType : undefined;
  return {
    key: key.text,
    keyBase64: key.base64,
    value: value?.text,
    valueBase64: value?.base64,
    contentType,
    revision,
    etag: formatETag(incarnation, revision),
    partition,
  };
}

function problemOf(end: WatchEnd, requestId: string): Problem {
  switch (end.type) {
    case 'too_old': {
      const { code, detail } = expired(end.detail);
      return problem({ code, detail, requestId });
    }
    case 'no_contact':
      return problem({ code: 'no_leader', detail: `${end.detail}; go on at another node.`, requestId });
    case 'shutting_down':
      return problem({ code: 'shutting_down', detail: 'This node is shutting down; go on at another one.', requestId });
  }
}
