/** Whether a seeded bug is on: all that the code that has one may see of them. */
export { planted } from './seeded-bugs.ts';
