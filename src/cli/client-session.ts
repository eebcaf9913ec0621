/** What all commands that speak to a cluster share: a store for as long as they run, what they print, and how they end. */
import { connect, FlotillaError, type Store } from '../client/connect.ts';
import { usageExitCode } from './report.ts';

export interface ClientWords {
  readonly server: string;
  /** In ms. */
  readonly timeout: number;
  readonly json?: boolean;
}

export const exitCodes = { other: 1, notFound: 3, conflict: 4, unavailable: 5 } as const;

/** Nobody waits for a command that can reach no one: it fails at once. */
export async function withStore(
  { server, timeout }: ClientWords,
  work: (store: Store) => Promise<unknown>,
): Promise<void> {
  let store: Store | undefined;
  try {
    store = connect(server, { timeoutMs: timeout, failFast: true });
    await work(store);
  } catch (error) {
    if (!(error instanceof FlotillaError)) throw error;
    refuse(error);
  } finally {
    await store?.close();
  }
}

function refuse(error: FlotillaError): void {
  const { code, detail, idempotencyKey } = error;
  const hint = code === 'unreachable' ? ' Name another with --server or FLOTILLA_SERVER.' : '';
  // Who types a command has no error object to take it from.
  const said =
    idempotencyKey === undefined
      ? detail
      : detail.replace(/: repeat it with the idempotencyKey.*$/, '; read it to find out.');
  process.stderr.write(`flotilla: ${said.replaceAll(/\s+/g, ' ')}${hint}\n`);
  process.exitCode = exitCodeOf(error);
}

function exitCodeOf({ code, status = 0 }: FlotillaError): number {
  switch (code) {
    case 'key_not_found':
    case 'not_found':
      return exitCodes.notFound;
    case 'precondition_failed':
    case 'change_refused':
      return exitCodes.conflict;
    case 'invalid_argument':
    case 'invalid_request':
    case 'invalid_key':
    case 'invalid_ttl':
      return usageExitCode;
    case 'unreachable':
    case 'deadline_exceeded':
    case 'not_leader':
    case 'overloaded':
    case 'disk_full':
    case 'request_in_progress':
      return exitCodes.unavailable;
    default:
      return status === 503 || status === 504 ? exitCodes.unavailable : exitCodes.other;
  }
}

/** Resolves once it is taken; false when whoever reads has gone, which is their right (`| head`). */
export function print(chunk: string | Uint8Array): Promise<boolean> {
  return new Promise((resolve) => {
    process.stdout.write(chunk, (error) => resolve(error === undefined || error === null));
  });
}

export function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
