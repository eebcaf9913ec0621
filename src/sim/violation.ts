import type { PartitionId } from '../replica/ports.ts';

/** A promise of the store was broken, or a rule that the promises rest on. Always a bug, of the store or of the simulator. */
export class Violation extends Error {
  override readonly name = 'Violation';
  /** Which rule, in a word or two. */
  readonly judge: string;
  readonly partition: PartitionId | undefined;

  constructor(judge: string, message: string, partition?: PartitionId) {
    super(message);
    this.judge = judge;
    this.partition = partition;
  }

  /** Whatever a node threw that it should not have: an assertion of its own is a judge too. */
  static of(error: unknown): Violation {
    if (error instanceof Violation) return error;
    const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
    const violation = new Violation(name === 'AssertionError' ? 'assertion' : name, message);
    if (stack !== undefined) violation.stack = stack;
    return violation;
  }
}
