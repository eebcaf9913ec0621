/** The command line may plant a bug in a simulated world, and nowhere else. */
export { bugDescriptions, plant, seededBugs, type SeededBug } from '../seeded-bugs.ts';
