import type { Problem } from './config-checks.ts';
import { configKeys, configSchema, isSection } from './config-schema.ts';
import { nearest } from './nearest-key.ts';

/** One key of the result. */
export interface Setting {
  readonly path: string;
  readonly value: unknown;
  /** `default`, `derived`, `file <path>`, the name of the variable, or the flag. */
  readonly source: string;
}

/** The configuration while it is put together. Only keys of the schema are ever set: `__proto__` is just an unknown one. */
export class Draft {
  readonly notices: string[] = [];
  readonly #problems: Problem[] = [];
  readonly #values = new Map<string, { readonly value: unknown; readonly source: string }>();

  set(path: string, value: unknown, source: string): void {
    if (value !== undefined) this.#values.set(path, { value, source });
  }

  get(path: string): unknown {
    return this.#values.get(path)?.value;
  }

  has(path: string): boolean {
    return this.#values.has(path);
  }

  /** A key refused already isn't refused a second time for having no, or another, value because of that. */
  add(problem: Problem): void {
    if (!this.#problems.some(({ path }) => path === problem.path)) this.#problems.push(problem);
  }

  hasProblems(): boolean {
    return this.#problems.length > 0;
  }

  /** One line for each: the key, what was expected, what was found and where. */
  problemLines(): string[] {
    // What follows from a wrong value is not a mistake of its own.
    const own = this.#problems.filter(({ path }) => this.#sourceOf(path) !== 'derived');
    const shown = own.length > 0 ? own : this.#problems;
    return shown.map((problem) => this.#describe(problem));
  }

  settings(): Setting[] {
    return [...configKeys.keys()].flatMap((path) => {
      const entry = this.#values.get(path);
      return entry === undefined ? [] : [{ path, value: entry.value, source: entry.source }];
    });
  }

  toObject(): Record<string, unknown> {
    const sections = Object.entries(configSchema.properties).filter(([, schema]) => isSection(schema));
    const result: Record<string, unknown> = Object.fromEntries(sections.map(([name]) => [name, {}]));
    for (const [path, { value }] of this.#values) {
      const [first = '', second] = path.split('.');
      if (second === undefined) result[first] = value;
      else result[first] = { ...(result[first] as Record<string, unknown>), [second]: value };
    }
    return result;
  }

  #sourceOf(path: string): string | undefined {
    return this.#values.get(path.replace(/\[.*$/, ''))?.source; // `bootstrap.nodes[0].peer` is within `bootstrap.nodes`.
  }

  #describe({ path, expected, found, source }: Problem): string {
    const place = source ?? this.#sourceOf(path);
    const subject = place === undefined ? path : `${path} (${place})`;
    if (expected === undefined) return `${subject}: no such key, did you mean ${nearest(path)}?`;
    return `${subject}: expected ${expected}, found ${found === undefined ? 'nothing' : shorten(JSON.stringify(found))}`;
  }
}

function shorten(json: string): string {
  return json.length > 120 ? `${json.slice(0, 117)}...` : json;
}
