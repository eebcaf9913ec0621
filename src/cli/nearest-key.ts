import { configKeys, configSchema, environmentName } from './config-schema.ts';

/** The known key (or variable) that `name` was most likely meant to be. */
export function nearest(name: string): string {
  const spell = name.startsWith('FLOTILLA_') ? environmentName : (path: string): string => path;
  const lastPart = (path: string): string => path.slice(path.lastIndexOf('.') + 1);
  const distance = (path: string): number => {
    const whole = editDistance(name.toLowerCase(), spell(path).toLowerCase());
    // A key under the wrong section, or under none, is nearer to its namesake than to a neighbour that only looks alike.
    const namesake = editDistance(lastPart(name).toLowerCase(), spell(lastPart(path)).toLowerCase());
    return Math.min(whole, 0.5 + namesake);
  };
  const paths = [...configKeys.keys(), ...Object.keys(configSchema.properties)];
  return spell(paths.reduce((best, path) => (distance(path) < distance(best) ? path : best)));
}

/** Levenshtein's distance: how many characters to insert, delete or replace (Wagner and Fischer 1974). */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let line = 1; line <= from.length; line += 1) {
    const next = [line];
    for (let column = 1; column <= to.length; column += 1) {
      const replaced = (row[column - 1] ?? 0) + (from[line - 1] === to[column - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
