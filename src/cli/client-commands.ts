/** The commands that speak to a running cluster. The client behind them is loaded when one of them runs: a node needs none of it. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { PutWords, ScanWords } from './client-run.ts';
import type { ClientWords } from './client-session.ts';
import type { WatchWords } from './client-watch.ts';

export function addClientCommands(program: Command): void {
  addPut(program);
  addGet(program);
  addDel(program);
  addScan(program);
  addWatch(program);
  addStatus(program);
}

function addPut(program: Command): void {
  clientCommand(program, 'put')
    .description('store a value')
    .argument('<key>')
    .argument('<value>', '- for standard input')
    .option('--ttl <time>', 'how long it is to live: 1500ms, 60s, 1h30m, 1d, or seconds')
    .option('--if-match <etag>', 'replace only what has this ETag, in its quotes; * for whatever exists')
    .option('--if-none-match <etag>', '* to create only')
    .option('--content-type <type>', 'kept with the value (default: application/octet-stream)')
    .action(async (key: string, value: string, words: PutWords) => {
      const { runPut } = await import('./client-run.ts');
      await runPut(key, value, words);
    });
}

function addGet(program: Command): void {
  clientCommand(program, 'get')
    .description('print the value, and nothing else')
    .argument('<key>')
    .option('--stale', 'as any replica has it, even without a leader; stderr tells how old it may be')
    .action(async (key: string, words: ClientWords & { readonly stale?: boolean }) => {
      const { runGet } = await import('./client-run.ts');
      await runGet(key, words);
    });
}

function addDel(program: Command): void {
  clientCommand(program, 'del')
    .description('delete a key')
    .argument('<key>')
    .option('--if-match <etag>', 'only what has this ETag, in its quotes')
    .action(async (key: string, words: ClientWords & { readonly ifMatch?: string }) => {
      const { runDel } = await import('./client-run.ts');
      await runDel(key, words);
    });
}

function addScan(program: Command): void {
  clientCommand(program, 'scan')
    .description('list keys in order, one a line')
    .argument('[prefix]')
    .option('--values', 'print a tab and the value behind each key')
    .option('--keys-only', 'fetch no values: with --json')
    .option('--limit <count>', 'at most so many', countNumber)
    .option('--reverse', 'from the last to the first')
    .action(async (prefix: string | undefined, words: ScanWords) => {
      if (words.values === true && words.keysOnly === true) {
        program.error('flotilla: --values prints what --keys-only does not fetch: leave out one of them');
      }
      const { runScan } = await import('./client-run.ts');
      await runScan(prefix, words);
    });
}

function addWatch(program: Command): void {
  clientCommand(program, 'watch')
    .description('print changes as they happen, one a line, until Ctrl-C; then, on stderr, where to go on')
    .argument('[prefix]', 'only keys that begin so')
    .option('--key <key>', 'only this key')
    .option('--from <cursor>', 'go on where another watch of the same keys ended')
    .action(async (prefix: string | undefined, words: WatchWords) => {
      if (prefix !== undefined && words.key !== undefined) {
        program.error('flotilla: either a prefix or --key is watched: leave out one of them');
      }
      const { runWatch } = await import('./client-watch.ts');
      await runWatch(prefix, words);
    });
}

function addStatus(program: Command): void {
  clientCommand(program, 'status')
    .description('who is in the cluster and who leads what')
    .action(async (words: ClientWords) => {
      const { runStatus } = await import('./client-run.ts');
      await runStatus(words);
    });
}

/** A command of `program`, or of a group of it, with what all of them take. */
export function clientCommand(program: Command, name: string): Command {
  const server = new Option('--server <address>', 'host:port or URL of any node; several with commas between')
    .default('127.0.0.1:7001')
    .env('FLOTILLA_SERVER');
  return program
    .command(name)
    .addOption(server)
    .option('--timeout <time>', 'give up after so long: 500ms, 5s, or seconds', milliseconds, 5000)
    .option('--json', 'print JSON');
}

function milliseconds(text: string): number {
  const [, number, unit] = /^(\d{1,6}(?:\.\d{1,3})?)(ms|s|)$/.exec(text) ?? [];
  const ms = Number(number) * (unit === 'ms' ? 1 : 1000);
  if (ms >= 1 && ms <= 60_000) return ms;
  throw new InvalidArgumentError('Expected 1ms to 60s, such as 500ms or 5s.');
}

function countNumber(text: string): number {
  if (!/^[0-9]{1,9}$/.test(text) || Number(text) === 0) throw new InvalidArgumentError('Expected a number above 0.');
  return Number(text);
}
