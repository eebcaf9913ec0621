/** What `import … from 'flotilla'` finds: the built package, by its own name. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const root = new URL('../../', import.meta.url);

describe('the package', () => {
  it('offers connect under its own name, with types, and loads nothing of a node or of other packages', async () => {
    const { exports } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as {
      exports: Record<string, { types: string; default: string }>;
    };
    const entry = exports['.']!;
    const built = (await import(new URL(entry.default, root).href)) as Record<string, unknown>;
    expect(Object.keys(built).toSorted()).toEqual(['FlotillaError', 'connect']);
    expect(readFileSync(new URL(entry.types, root), 'utf8')).toContain('export declare function connect(');
    expect(import.meta.resolve('flotilla')).toBe(new URL(entry.default, root).href);
  });
});
