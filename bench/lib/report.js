/** What every bench does with its flags and figures. */
import { writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';

/**
 * Reads `--name value` for each name in `defaults`; a value is taken as what its default is: number, text, or, for `false`,
 * a switch. `--out FILE` is understood by all. Throws at a number that is none.
 */
export function parseFlags(args, defaults) {
  const options = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [
      name,
      value === false ? { type: 'boolean', default: false } : { type: 'string', default: String(value) },
    ]),
  );
  const { values } = parseArgs({ args, options: { ...options, out: { type: 'string' } } });
  const flags = { ...values };
  for (const [name, value] of Object.entries(defaults)) {
    if (typeof value !== 'number') continue;
    flags[name] = Number(values[name]);
    if (!Number.isFinite(flags[name])) throw new Error(`--${name} takes a number, not "${values[name]}"`);
  }
  return flags;
}

/**
 * A table whose rows are printed as they come. A column is its title, then its width where that is wider than the title.
 * Numbers are aligned right, words left.
 */
export class Table {
  #columns;

  constructor(columns) {
    this.#columns = columns.map(([title, width = 0]) => ({ title, width: Math.max(width, title.length) }));
    this.#numeric = this.#columns.map(() => true);
  }

  #numeric;
  #headed = false;

  row(cells) {
    if (!this.#headed) {
      this.#numeric = cells.map((cell) => typeof cell === 'number' || /^[-\d]/.test(cell));
      this.#print(this.#columns.map(({ title }) => title));
      this.#headed = true;
    }
    this.#print(cells.map(String));
  }

  #print(texts) {
    const aligned = texts.map((text, i) =>
      this.#numeric[i] ? text.padStart(this.#columns[i].width) : text.padEnd(this.#columns[i].width),
    );
    console.log(aligned.join('  ').trimEnd());
  }
}

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Prints figures beside their bars and knows whether all were kept. */
export class Bars {
  kept = true;
  results = [];

  check(what, value, most, unit = '') {
    const kept = value <= most;
    this.#note({ what, value, most, kept }, `${figure(value)}${unit} (${kept ? 'within' : 'BEYOND'} ${most}${unit})`);
  }

  /** Of a figure that is to be large. */
  least(what, value, least, unit = '') {
    const kept = value >= least;
    this.#note({ what, value, least, kept }, `${figure(value)}${unit} (${kept ? 'above' : 'BELOW'} ${least}${unit})`);
  }

  #note(result, text) {
    this.kept &&= result.kept;
    this.results.push(result);
    console.log(`  ${result.what.padEnd(52)} ${text}`);
  }
}

function figure(value) {
  return Number.isInteger(value) ? String(value) : value.toFixed(Math.abs(value) < 10 ? 2 : 0);
}

export function machine() {
  return { cores: cpus().length, model: cpus()[0]?.model, memoryGiB: totalmem() / 2 ** 30, node: process.version };
}

/** Adds date, machine and flags to `report` and writes it where `--out` says; does nothing without it. */
export function writeReport(flags, report) {
  if (flags.out === undefined) return;
  const whole = { date: new Date().toISOString(), machine: machine(), flags, ...report };
  writeFileSync(flags.out, `${JSON.stringify(whole, undefined, 1)}\n`);
}

export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export function randomText(bytes) {
  let text = '';
  while (text.length < bytes) text += Math.random().toString(36).slice(2);
  return text.slice(0, bytes);
}
