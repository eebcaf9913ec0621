/** The commands. Wrong usage and a wrong configuration end in exit code 2, one line for each mistake, never a stack trace. */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import type { Config } from '../config.ts';
import { loadConfiguration, type ConfigurationResult, type Flag } from './configuration.ts';
import { reportProblems, usageExitCode } from './report.ts';

/** What a node is started with. */
export interface NodeStart {
  readonly config: Config;
  readonly notices: readonly string[];
}

/** `runNode` is given, not imported: only `start` needs a node's parts, and they take longer to load than all else. */
export async function runCommandLine(
  words: readonly string[],
  runNode: (start: NodeStart) => Promise<void>,
): Promise<void> {
  const program = new Command('flotilla')
    .description('A strongly consistent, partitioned key-value store')
    .exitOverride()
    .configureOutput({ outputError: (message, write) => write(message.replace(/^error: /, 'flotilla: ')) });
  addStart(program, runNode);
  addConfig(program);
  addDev(program);
  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    process.exitCode = error.exitCode === 0 ? 0 : usageExitCode;
  }
}

function addStart(program: Command, runNode: (start: NodeStart) => Promise<void>): void {
  nodeOptions(program.command('start'))
    .description('start one node; without --config a one-node store')
    .action(async (options: NodeOptions) => {
      const loaded = configurationOf(options);
      if (loaded.type === 'ok') await runNode(loaded);
    });
}

function addConfig(program: Command): void {
  nodeOptions(program.command('config'))
    .description('print each configuration value and where it came from; starts nothing')
    .action((options: NodeOptions) => {
      const loaded = configurationOf(options);
      if (loaded.type === 'bad') return;
      for (const notice of loaded.notices) process.stderr.write(`flotilla: ${notice}\n`);
      const rows = loaded.settings.map(({ path, value, source }) => [path, JSON.stringify(value), source] as const);
      const widths = [0, 1].map((column) => Math.min(60, Math.max(...rows.map((row) => (row[column] ?? '').length))));
      for (const [path, value, source] of rows) {
        process.stdout.write(`${path.padEnd(widths[0] ?? 0)}  ${value.padEnd(widths[1] ?? 0)}  ${source}\n`);
      }
    });
}

function addDev(program: Command): void {
  program
    .command('dev')
    .description('run a whole cluster on this machine: what npm start does')
    .addOption(new Option('--nodes <count>', 'how many nodes').choices(['1', '3', '5', '7']).default('3'))
    .option('--port <port>', 'HTTP port of the first node; the others follow, peers are 100 above', wholeNumber, 7001)
    .option('--data <directory>', 'where the nodes keep their data (default: data)')
    .option('--ephemeral', 'keep data in a temporary directory and remove it at the end')
    .addOption(setOption())
    .action(async (options: DevWords) => {
      if (options.ephemeral === true && options.data !== undefined) {
        program.error('flotilla: --ephemeral keeps no data: leave out --data');
      }
      const { runDev } = await import('./dev.ts');
      await runDev({
        nodes: Number(options.nodes),
        port: options.port,
        dataDir: options.ephemeral === true ? undefined : (options.data ?? 'data'),
        flags: options.set,
      });
    });
}

interface DevWords {
  readonly nodes: string;
  readonly port: number;
  readonly data?: string;
  readonly ephemeral?: boolean;
  readonly set: readonly Flag[];
}

interface NodeOptions {
  readonly config?: string;
  readonly port?: string;
  readonly host?: string;
  readonly peerPort?: string;
  readonly data?: string;
  readonly nodeId?: string;
  readonly set: readonly Flag[];
}

function nodeOptions(command: Command): Command {
  return command
    .option('--config <file>', 'JSON configuration file')
    .option('--port <port>', 'HTTP port (http.port)')
    .option('--host <host>', 'address to bind the HTTP port to (http.host)')
    .option('--peer-port <port>', 'port for the other nodes (peer.port)')
    .option('--data <directory>', 'data directory (dataDir)')
    .option('--node-id <id>', "this node's name (nodeId)")
    .addOption(setOption());
}

function setOption(): Option {
  return new Option('--set <path=value>', 'any other configuration key, like raft.tickMs=20; repeatable')
    .default([], 'none')
    .argParser((text: string, previous: readonly Flag[]) => {
      const at = text.indexOf('=');
      if (at < 1) throw new InvalidArgumentError('Expected path=value, like raft.tickMs=20.');
      return [...previous, { name: '--set', path: text.slice(0, at), text: text.slice(at + 1) }];
    });
}

function wholeNumber(text: string): number {
  if (!/^[0-9]{1,5}$/.test(text)) throw new InvalidArgumentError('Expected a port number.');
  return Number(text);
}

/** A flag with a name of its own wins over `--set`. */
function configurationOf(options: NodeOptions): ConfigurationResult {
  const named: readonly (readonly [string, string, string | undefined])[] = [
    ['--port', 'http.port', options.port],
    ['--host', 'http.host', options.host],
    ['--peer-port', 'peer.port', options.peerPort],
    ['--data', 'dataDir', options.data],
    ['--node-id', 'nodeId', options.nodeId],
  ];
  const flags = named.flatMap(([name, path, text]) => (text === undefined ? [] : [{ name, path, text }]));
  const loaded = loadConfiguration({
    file: options.config,
    flags: [...options.set, ...flags],
    environment: process.env,
  });
  if (loaded.type === 'bad') reportProblems(loaded.problems);
  return loaded;
}
