/** `flotilla recover`: what it takes on the command line. */
import { InvalidArgumentError, type Command } from 'commander';
import type { RecoverWords } from './recover-run.ts';

export function addRecover(program: Command): void {
  program
    .command('recover')
    .description(
      'begin partitions anew that lost their majority for good; without --unsafe it only shows what would be',
    )
    .requiredOption('--data <directory>', 'data directory of a node that is left, and stopped')
    .requiredOption('--lost <nodeIds>', 'the nodes that never come back, separated by commas', nodeIds)
    .option('--plan <file>', 'write what this node holds to a file, for the other nodes that are left; do nothing')
    .option('--plans <files...>', 'what the other nodes that are left hold, as --plan has written it')
    .option('--unsafe', 'do it: what the lost nodes alone had acknowledged is gone')
    .option('--begin-empty', 'let partitions of which nothing is left begin with nothing')
    .option('--cluster-name-is <name>', "the cluster's name, instead of typing it at the terminal")
    .action(async (words: RecoverWords) => {
      const { runRecover } = await import('./recover-run.ts');
      await runRecover(words);
    });
}

const nodeIdPattern = /^[A-Za-z0-9._-]{1,64}$/;

function nodeIds(text: string): readonly string[] {
  const ids = text.split(',').map((id) => id.trim());
  if (!ids.every((id) => nodeIdPattern.test(id))) throw new InvalidArgumentError('Expected names like n2,n3.');
  return ids;
}
