import type { Command } from './types.ts';

/** Every key that a command names, as often as it does. */
export function keysOf(command: Command): readonly Uint8Array[] {
  switch (command.type) {
    case 'put':
    case 'delete':
      return [command.key];
    case 'batch':
      return command.items.map(({ operation }) => operation.key);
    case 'transaction':
      return [...command.compare, ...command.then, ...command.otherwise].map(({ key }) => key);
    case 'sweep':
      return command.expire.map(({ key }) => key);
  }
}
