/** Structured logs on stderr: JSON lines, or one readable line each when a person watches. */
import { pino, type Logger as PinoLogger } from 'pino';

export type Logger = PinoLogger;

export function createLogger(options: {
  readonly nodeId: string;
  readonly level: string;
  readonly pretty: boolean;
}): Logger {
  const base = { nodeId: options.nodeId };
  if (!options.pretty) return pino({ level: options.level, base }, pino.destination({ fd: 2, sync: true }));
  return pino({ level: options.level, base }, { write: (line) => process.stderr.write(readable(line)) });
}

/** Logs nothing: for tests of rooms that want a logger. */
export const silentLogger: Logger = pino({ level: 'silent' });

const levelNames = new Map([
  [20, 'debug'],
  [30, 'info'],
  [40, 'WARN'],
  [50, 'ERROR'],
  [60, 'FATAL'],
]);

function readable(line: string): string {
  const { level, time, nodeId, msg, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const clock = new Date(Number(time)).toISOString().slice(11, 23);
  const details = Object.entries(rest).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return `${clock} ${String(nodeId)} ${levelNames.get(Number(level)) ?? String(level)} ${String(msg)}${details.length ? `  ${details.join(' ')}` : ''}\n`;
}
