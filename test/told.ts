import { plant, type SeededBug } from '../src/seeded-bugs.ts';

/** What the story comes to without the bug and with it; where it ends in an error, that error's message. */
export async function told<Outcome>(bug: SeededBug, story: () => Outcome | Promise<Outcome>) {
  const without = await story();
  plant(bug);
  try {
    return { without, planted: await story() };
  } catch (error) {
    return { without, planted: (error as Error).message };
  }
}
