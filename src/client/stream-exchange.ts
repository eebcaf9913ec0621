/** One request to one node whose answer comes bit by bit, for as long as it may take: lines, read no faster than they are taken. */
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http';
import {
  Attempt,
  beginRequest,
  reasonOf,
  type HttpAnswer,
  type HttpFailure,
  type HttpRequest,
} from './http-exchange.ts';
import { clientLimits } from './limits.ts';

export interface LineStream {
  readonly type: 'stream';
  readonly status: 200;
  /** Names in lower case. */
  readonly headers: IncomingHttpHeaders;
  /** Without their ends; what comes behind the last end is no line. Once it is left, the connection is closed. */
  readonly lines: AsyncGenerator<string, void, undefined>;
  /** Why it broke off, for a person, where it was not the node that ended it. */
  readonly broken: () => string | undefined;
}

/**
 * Never rejects. `request.timeoutMs` is for the answer's head; an answer other than 200 comes whole. Once `signal` is aborted the connection is closed.
 *
 * Each has a connection of its own: one that is kept would be taken from the calls for days.
 */
export function openLines(request: HttpRequest, signal: AbortSignal): Promise<LineStream | HttpAnswer | HttpFailure> {
  return new Promise((resolve) => {
    const outgoing = beginRequest(request, false);
    const attempt = new Attempt(outgoing, request);
    const stop = (): void => void outgoing.destroy(new Error('nobody waits for it any more'));
    signal.addEventListener('abort', stop, { once: true });
    outgoing.on('close', () => {
      attempt.end();
      signal.removeEventListener('abort', stop);
    });
    outgoing.on('error', (error) => resolve(attempt.failure(error)));
    outgoing.on('response', (incoming) => {
      const { statusCode: status = 0, headers } = incoming;
      // A break is met by whoever reads; between two reads nobody listens for it.
      incoming.on('error', () => undefined);
      if (status === 200) {
        attempt.end();
        const reader = new LineReader(outgoing, incoming);
        return resolve({ type: 'stream', status, headers, lines: reader.lines(), broken: () => reader.broken });
      }
      gather(incoming).then(
        (body) => resolve({ type: 'answer', status, headers, body }),
        (error: unknown) => resolve(attempt.failure(error as Error)),
      );
    });
    if (signal.aborted) stop();
    outgoing.end();
  });
}

async function gather(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > clientLimits.problemBytesMax) throw new Error('an answer of that size is none of a node');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const lineEnd = 0x0a;

class LineReader {
  readonly #outgoing: ClientRequest;
  readonly #incoming: IncomingMessage;
  broken: string | undefined;

  constructor(outgoing: ClientRequest, incoming: IncomingMessage) {
    this.#outgoing = outgoing;
    this.#incoming = incoming;
  }

  async *lines(): AsyncGenerator<string, void, undefined> {
    const chunks = this.#incoming[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>;
    // Kept apart until the line is whole: joined at every chunk, a long one would be copied again and again.
    let begun: Buffer[] = [];
    let begunBytes = 0;
    try {
      while (begunBytes <= clientLimits.watchLineBytesMax) {
        const chunk = await this.#next(chunks);
        if (chunk === undefined) return;
        let from = 0;
        for (let end = chunk.indexOf(lineEnd); end !== -1; end = chunk.indexOf(lineEnd, from)) {
          const line = Buffer.concat([...begun, chunk.subarray(from, end)]);
          [begun, begunBytes, from] = [[], 0, end + 1];
          yield line.toString();
        }
        begun.push(chunk.subarray(from));
        begunBytes += chunk.length - from;
      }
      this.broken = 'a line has no end';
    } finally {
      this.#outgoing.destroy();
    }
  }

  /** Undefined at the end. The time runs only while somebody waits: whoever takes long over an event does not make the node silent. */
  async #next(chunks: AsyncIterator<Buffer, undefined>): Promise<Buffer | undefined> {
    const { watchSilenceMs } = clientLimits;
    const silence = new Error(`nothing came for ${watchSilenceMs} ms`);
    const timer = setTimeout(() => this.#incoming.destroy(silence), watchSilenceMs);
    try {
      return (await chunks.next()).value;
    } catch (error) {
      this.broken = reasonOf(error as Error);
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }
}
