/** Which commands may leave more behind than they found: those that a disk that is nearly full does not take. */
import type { Command, Operation } from './types.ts';

/** A transaction counts as what it may come to. */
export function grows(command: Command): boolean {
  switch (command.type) {
    case 'put':
      return true;
    case 'delete':
    case 'sweep':
      return false;
    case 'batch':
      return command.items.some(({ operation }) => puts(operation));
    case 'transaction':
      return command.then.some(puts) || command.otherwise.some(puts);
  }
}

function puts({ type }: Operation): boolean {
  return type === 'put';
}
