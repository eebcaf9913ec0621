/** What users give to `store.watch` and get from it. */
import type { CallOptions, Key } from './options.ts';

/** `timeoutMs` is for the beginning: once it has begun, a watch goes on for as long as it takes. */
export interface WatchOptions extends CallOptions {
  /** Only keys that begin so. Default: all keys. */
  readonly prefix?: Key;
  /** Only this key. Not together with `prefix`. */
  readonly key?: Key;
  /**
   * The cursor of an event or bookmark of a watch of the same key or prefix: goes on right behind it. Default: begins now. Fails with
   * `cursor_expired` where what came since is not all there any more: read the keys, then watch from now.
   */
  readonly from?: string;
  /** Ends the loop when it is aborted, as if there were nothing more. */
  readonly signal?: AbortSignal;
  /** Also tell, every few seconds, how far it is. Default false. */
  readonly bookmarks?: boolean;
}

interface ChangeOfKey {
  /** Text where its bytes are UTF-8, else the bytes: either way what the other calls take. */
  readonly key: Key;
  /** Of the change; grows with every change of the key. */
  readonly revision: number;
  readonly etag: string;
  readonly partition: number;
  /** To go on from, behind this event: `from`. */
  readonly cursor: string;
}

export interface WatchPut extends ChangeOfKey {
  readonly type: 'put';
  readonly value: Uint8Array;
  /** The value as UTF-8. */
  readonly text: () => string;
  readonly contentType: string;
}

export interface WatchRemoval extends ChangeOfKey {
  /** `expire`: its time to live was over. */
  readonly type: 'delete' | 'expire';
}

export type WatchChange = WatchPut | WatchRemoval;

/** All that was acknowledged before the node was last sure of it has been told. The first comes at once: the watch has begun. */
export interface WatchBookmark {
  readonly type: 'bookmark';
  readonly cursor: string;
}
