/** The commands. Wrong usage and a wrong configuration end in exit code 2, one line for each mistake, never a stack trace. */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import type { Config } from '../config.ts';
import { addClientCommands } from './client-commands.ts';
import { addClusterCommands } from './cluster-commands.ts';
import { addRecover } from './recover.ts';
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
  addClientCommands(program);
  addClusterCommands(program);
  addCheck(program);
  addSim(program);
  addChaos(program);
  addRecover(program);
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

function addSim(program: Command): void {
  program
    .command('sim')
    .description('run whole clusters in a simulated world, where everything goes wrong, and judge all that they do')
    .option('--seed <number>', 'run this one seed, the same on every machine', seedNumber)
    .option('--seeds <count>', 'run so many seeds of this commit (default: 200)', countNumber)
    .option('--from <number>', 'begin with this seed instead of the first of this commit', seedNumber)
    .option('--minutes <minutes>', 'run seeds of this commit for so long', countNumber)
    .option('--trace', 'print what happens, line by line (with --seed)')
    .option('--minimize', 'look for a shorter run that fails too (with --seed)')
    .option('--bug <name>', 'plant a bug that must be found (see flotilla mutants)')
    .option('--seconds <seconds>', 'let things go wrong for so many simulated seconds (default: 60)', countNumber)
    .option('--clients <count>', 'instead of ten', countNumber)
    .option('--nodes <count>', 'instead of what the seed draws; replication factor 3', countNumber)
    .option('--partitions <count>', 'instead of what the seed draws', countNumber)
    .option('--faults <kinds>', 'only these kinds of fault, separated by commas')
    .option('--workers <count>', 'threads (default: one for each core)', countNumber)
    .action(async (options: SimOptions) => {
      const { runSim, simWords } = await import('./sim.ts');
      const words = simWords(options);
      if (words.type === 'bad') return program.error(`flotilla: ${words.problem}`);
      await runSim(words.words);
    });
  program
    .command('mutants')
    .description('show that the simulator finds each of the bugs that can be planted')
    .option('--only <name>', 'only this bug')
    .option('--from <number>', 'begin with this seed instead of the first of this commit', seedNumber)
    .option('--workers <count>', 'threads (default: one for each core)', countNumber)
    .action(async (options: { readonly only?: string; readonly from?: number; readonly workers?: number }) => {
      const { runMutants, simWords } = await import('./sim.ts');
      const words = simWords(options.only === undefined ? {} : { bug: options.only });
      if (words.type === 'bad') return program.error(`flotilla: ${words.problem}`);
      const { bug: only } = words.words;
      await runMutants({ ...options, only });
    });
}

function addChaos(program: Command): void {
  program
    .command('chaos')
    .description('run a cluster of real nodes to which everything happens, and check all that it answered')
    .option('--minutes <minutes>', 'for so long', countNumber, 5)
    .option('--seed <number>', 'what happens, in which order', seedNumber, 1)
    .addOption(new Option('--nodes <count>', 'how many nodes').choices(['3', '5', '7']).default('3'))
    .option('--partitions <count>', 'how many partitions', countNumber, 12)
    .option('--rate <perSecond>', 'writes a second, and as many reads', countNumber, 300)
    .option('--faults <kinds>', 'only these kinds of fault, separated by commas')
    .option('--totals <file>', 'add to the counts in this file')
    .action(async (options: ChaosOptions) => {
      const { faultsNamed, runChaos } = await import('./chaos.ts');
      const named = faultsNamed(options.faults);
      if ('problem' in named) return program.error(`flotilla: ${named.problem}`);
      await runChaos({ ...options, ...named, nodes: Number(options.nodes), totals: options.totals });
    });
}

interface ChaosOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly nodes: string;
  readonly partitions: number;
  readonly rate: number;
  readonly faults?: string;
  readonly totals?: string;
}

interface SimOptions {
  readonly seed?: number;
  readonly seeds?: number;
  readonly from?: number;
  readonly minutes?: number;
  readonly trace?: boolean;
  readonly minimize?: boolean;
  readonly bug?: string;
  readonly seconds?: number;
  readonly clients?: number;
  readonly nodes?: number;
  readonly partitions?: number;
  readonly faults?: string;
  readonly workers?: number;
}

function addCheck(program: Command): void {
  program
    .command('check')
    .description('check a recorded history, one JSON operation a line, for linearizability')
    .argument('<history>', 'JSON lines file, - for standard input')
    .option('--seconds <seconds>', 'give up after so long, which is no pass', seconds, 60)
    .action(async (file: string, options: { readonly seconds: number }) => {
      const { runCheck } = await import('./check.ts');
      await runCheck({ file, seconds: options.seconds });
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
  readonly join?: readonly string[];
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
    .option('--join <address>', 'HTTP address of a member of the cluster to join; repeatable (join)', gather)
    .addOption(setOption());
}

function gather(text: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, text];
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

function seedNumber(text: string): number {
  if (!/^[0-9]{1,16}$/.test(text) || !Number.isSafeInteger(Number(text))) {
    throw new InvalidArgumentError('Expected a whole number up to 2^53 - 1.');
  }
  return Number(text);
}

function countNumber(text: string): number {
  if (!/^[0-9]{1,9}$/.test(text) || Number(text) === 0) throw new InvalidArgumentError('Expected a number above 0.');
  return Number(text);
}

function wholeNumber(text: string): number {
  if (!/^[0-9]{1,5}$/.test(text)) throw new InvalidArgumentError('Expected a port number.');
  return Number(text);
}

function seconds(text: string): number {
  if (!/^[0-9]{1,6}(\.[0-9]{1,3})?$/.test(text)) throw new InvalidArgumentError('Expected a number of seconds.');
  return Number(text);
}

/** A flag with a name of its own wins over `--set`. */
function configurationOf(options: NodeOptions): ConfigurationResult {
  const named: [string, string, string | undefined][] = [
    ['--port', 'http.port', options.port],
    ['--host', 'http.host', options.host],
    ['--peer-port', 'peer.port', options.peerPort],
    ['--data', 'dataDir', options.data],
    ['--node-id', 'nodeId', options.nodeId],
  ];
  if (options.join !== undefined) named.push(['--join', 'join', JSON.stringify(options.join)]);
  const flags = named.flatMap(([name, path, text]) => (text === undefined ? [] : [{ name, path, text }]));
  const loaded = loadConfiguration({
    file: options.config,
    flags: [...options.set, ...flags],
    environment: process.env,
  });
  if (loaded.type === 'bad') reportProblems(loaded.problems);
  return loaded;
}
