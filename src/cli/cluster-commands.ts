/** The commands on the cluster itself: who is in it, what it consists of, what moves. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { clientCommand } from './client-commands.ts';
import type { ClientWords } from './client-session.ts';
import type { AddWords, ChangeWords } from './cluster-run.ts';

export function addClusterCommands(program: Command): void {
  const node = program.command('node').description('who is in the cluster: list, add, drain');
  addNodeList(node);
  addNodeAdd(node);
  addNodeDrain(node);
  const partition = program.command('partition').description('what the cluster consists of: list, move leaderships');
  addPartitionList(partition);
  addPartitionTransfer(partition);
  addRebalance(program);
  addOperations(program);
}

function addNodeList(node: Command): void {
  clientCommand(node, 'ls')
    .description('list the nodes')
    .action(async (words: ClientWords) => {
      const { runNodeList } = await import('./cluster-run.ts');
      await runNodeList(words);
    });
}

function addNodeAdd(node: Command): void {
  clientCommand(node, 'add')
    .description('take a node in and give it its share; prints the plan')
    .argument('<nodeId>')
    .requiredOption('--http <url>', 'where it serves clients, like http://10.0.0.4:7001')
    .requiredOption('--peer <host:port>', 'where it listens for the other nodes, like 10.0.0.4:7101')
    .addOption(labelOption())
    .option('--weight <number>', 'its share relative to others, up to 1000 (default: 1)', weightNumber)
    .addOption(dryRunOption())
    .action(async (nodeId: string, words: AddWords) => {
      const { runNodeAdd } = await import('./cluster-run.ts');
      await runNodeAdd(nodeId, words);
    });
}

function addNodeDrain(node: Command): void {
  clientCommand(node, 'drain')
    .alias('remove')
    .description('move all that a node holds elsewhere, then take it out of the cluster; prints the plan')
    .argument('<nodeId>')
    .addOption(dryRunOption())
    .action(async (nodeId: string, words: ChangeWords) => {
      const { runNodeDrain } = await import('./cluster-run.ts');
      await runNodeDrain(nodeId, words);
    });
}

function addPartitionList(partition: Command): void {
  clientCommand(partition, 'ls')
    .description('list the partitions, with who leads them and who lags')
    .action(async (words: ClientWords) => {
      const { runPartitionList } = await import('./cluster-run.ts');
      await runPartitionList(words);
    });
}

function addPartitionTransfer(partition: Command): void {
  clientCommand(partition, 'transfer')
    .description('let another of its replicas lead a partition')
    .argument('<id>', 'of the partition', partitionId)
    .argument('<nodeId>', 'that is to lead')
    .action(async (id: number, nodeId: string, words: ClientWords) => {
      const { runPartitionTransfer } = await import('./cluster-run.ts');
      await runPartitionTransfer({ partition: id, nodeId }, words);
    });
}

function addRebalance(program: Command): void {
  clientCommand(program, 'rebalance')
    .description('even out what the nodes hold and lead; prints the plan')
    .addOption(dryRunOption())
    .action(async (words: ChangeWords) => {
      const { runRebalance } = await import('./cluster-run.ts');
      await runRebalance(words);
    });
}

function addOperations(program: Command): void {
  clientCommand(program, 'ops')
    .description('what moves from node to node now, how far it is, and what holds it up')
    .action(async (words: ClientWords) => {
      const { runOperations } = await import('./cluster-run.ts');
      await runOperations(words);
    });
}

function dryRunOption(): Option {
  return new Option('--dry-run', 'change nothing, only print what would move');
}

function labelOption(): Option {
  return new Option('--label <name=value>', 'where it stands, like zone=a; repeatable')
    .default({}, 'none')
    .argParser((text: string, previous: Readonly<Record<string, string>>) => {
      const at = text.indexOf('=');
      if (at < 1) throw new InvalidArgumentError('Expected name=value, like zone=a.');
      return { ...previous, [text.slice(0, at)]: text.slice(at + 1) };
    });
}

function weightNumber(text: string): number {
  const weight = Number(text);
  if (/^[0-9]{1,4}(\.[0-9]{1,6})?$/.test(text) && weight > 0 && weight <= 1000) return weight;
  throw new InvalidArgumentError('Expected a number above 0, at most 1000.');
}

function partitionId(text: string): number {
  if (/^(?:0|[1-9][0-9]{0,9})$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected the number of a partition.');
}
