/** Changes of keys as they happen: what a loop takes is what it is told next. */
import { closedRefusal } from './answers.ts';
import { valueOf } from './batch.ts';
import { FlotillaError, invalidArgument } from './flotilla-error.ts';
import { bytesOf, jsonBytes, keyBytes } from './request-parts.ts';
import { WatchLines, type WatchLine, type WatchParts, type WatchRequest } from './watch-lines.ts';
import type { WatchBookmark, WatchChange, WatchOptions } from './watch-options.ts';

type WatchEvent = WatchChange | WatchBookmark;

/** As nodes write it. */
interface JsonChange {
  readonly key?: string;
  readonly keyBase64?: string;
  readonly value?: string;
  readonly valueBase64?: string;
  readonly contentType?: string;
  readonly revision: number;
  readonly etag: string;
  readonly partition: number;
}

/** All watches of a store. */
export class Watches {
  readonly #parts: WatchParts;
  readonly #open = new Set<AbortController>();
  #closed = false;

  constructor(parts: WatchParts) {
    this.#parts = parts;
  }

  /** It begins when the first event is asked for. */
  begin(options: WatchOptions, timeoutMs: number): AsyncIterableIterator<WatchEvent> {
    const stop = new AbortController();
    const events = this.#events(options, timeoutMs, stop);
    return {
      [Symbol.asyncIterator]() {
        return this;
      },
      next: () => events.next(),
      return: () => {
        // By itself it would wait for the event that is asked for now.
        stop.abort();
        return events.return(undefined);
      },
    };
  }

  /** All end with an error. */
  close(): void {
    this.#closed = true;
    for (const stop of this.#open) stop.abort();
  }

  async *#events(
    options: WatchOptions,
    timeoutMs: number,
    stop: AbortController,
  ): AsyncGenerator<WatchEvent, void, undefined> {
    const { signal, bookmarks = false } = options;
    const request = requestOf(options, timeoutMs);
    const abort = (): void => stop.abort();
    if (this.#closed || signal?.aborted === true) abort();
    signal?.addEventListener('abort', abort);
    this.#open.add(stop);
    try {
      for await (const line of new WatchLines(this.#parts, request, stop.signal).all()) {
        const event = eventOf(line);
        if (event !== undefined && (bookmarks || event.type !== 'bookmark')) yield event;
        if (stop.signal.aborted) break;
      }
    } finally {
      stop.abort();
      this.#open.delete(stop);
      signal?.removeEventListener('abort', abort);
    }
    if (this.#closed && signal?.aborted !== true) throw new FlotillaError(closedRefusal);
  }
}

function requestOf({ prefix, key, from }: WatchOptions, timeoutMs: number): WatchRequest {
  if (prefix !== undefined && key !== undefined) {
    throw invalidArgument('Either a key or a prefix is watched, not both; without either all keys are.');
  }
  if (from !== undefined && !/^[\x21-\x7e]+$/.test(from)) {
    throw invalidArgument('from is the cursor of an event or a bookmark, as it came.');
  }
  const what =
    key !== undefined ? jsonBytes('key', keyBytes(key)) : jsonBytes('prefix', bytesOf(prefix ?? '', 'prefix'));
  return { path: `/v1/watch?${new URLSearchParams(what).toString()}`, from, timeoutMs };
}

/** Undefined for a kind that this version does not know. */
function eventOf({ event: type, cursor = '', data }: WatchLine): WatchEvent | undefined {
  if (type === 'bookmark') return { type, cursor };
  if (type !== 'put' && type !== 'delete' && type !== 'expire') return undefined;
  const { revision, etag, partition, contentType = 'application/octet-stream', ...change } = data as JsonChange;
  const key = change.key ?? Buffer.from(change.keyBase64 ?? '', 'base64');
  const told = { key, revision, etag, partition, cursor };
  return type === 'put' ? { type, ...told, ...valueOf(change), contentType } : { type, ...told };
}
