/** When a process of ours is to stop: by a signal, by its parent's word, or because its parent is gone. */
import { constants } from 'node:os';
import { performance } from 'node:perf_hooks';

/** npm passes the terminal's Ctrl-C on to a child that already had it: within this time it is one keystroke. */
const sameKeystrokeMs = 500;

/** What a parent process of ours sends over the IPC channel. */
export const stopMessage = 'stop';

export interface StopHandlers {
  /** Called once: finish what is under way, then exit. */
  stop(reason: string): void;
  /** Asked again by a signal: exit at once. `exitCode` is 128 plus the signal's number. */
  stopAtOnce(exitCode: number): void;
}

export function onStopRequest(handlers: StopHandlers): void {
  let askedAtMs: number | undefined;
  const stop = (reason: string): void => {
    if (askedAtMs !== undefined) return;
    askedAtMs = performance.now();
    handlers.stop(reason);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (askedAtMs === undefined) stop(signal);
      else if (performance.now() - askedAtMs > sameKeystrokeMs) handlers.stopAtOnce(128 + constants.signals[signal]);
    });
  }
  if (!process.connected) return;
  process.on('message', (message) => {
    if (message === stopMessage) stop('the parent process asked');
  });
  // The kernel closes the channel however the parent ended, SIGKILL included.
  process.on('disconnect', () => stop('the parent process is gone'));
}
