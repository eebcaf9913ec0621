/**
 * As Promise.all, but a failure is heard only once all have ended: nothing is still reading when the caller closes what they read, and
 * it can close those that came to be.
 */
export async function allOrNone<T extends readonly Promise<unknown>[] | []>(
  promises: T,
): Promise<{ -readonly [Position in keyof T]: Awaited<T[Position]> }> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}
