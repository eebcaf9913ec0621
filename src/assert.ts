/** A broken assertion is a bug, never an operating error: nothing catches it, and the process stops. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** States what the code relies on. `message` says which rule broke; pass a function where building it costs something. */
export function assert(condition: unknown, message: string | (() => string)): asserts condition {
  if (condition) return;
  throw new AssertionError(typeof message === 'string' ? message : message());
}

/** Ends a switch over a tagged union: the compiler refuses it while a case is missing. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`);
}
