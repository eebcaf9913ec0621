/**
 * A node's configuration, layer over layer: flags over environment over file over default. Every key remembers where its
 * value came from, so that an error names the place to mend and `flotilla config` can show it.
 */
import { readFileSync } from 'node:fs';
import { defaults, type Config } from '../config.ts';
import { checkKeys, checkTogether, type Problem } from './config-checks.ts';
import { Draft, type Setting } from './config-draft.ts';
import { configKeys, configSchema, environmentName, isSection, type Leaf } from './config-schema.ts';
import { nearest } from './nearest-key.ts';

/** One value given on the command line. */
export interface Flag {
  /** As the user typed it: `--port`, `--set`. */
  readonly name: string;
  /** Dotted: `http.port`. */
  readonly path: string;
  readonly text: string;
}

export interface ConfigurationInput {
  /** Path of the JSON file; undefined when none was named. */
  readonly file: string | undefined;
  /** A later flag wins over an earlier one. */
  readonly flags: readonly Flag[];
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export type ConfigurationResult =
  | {
      readonly type: 'ok';
      readonly config: Config;
      readonly settings: readonly Setting[];
      /** What the user should hear though nothing is wrong: one line each. */
      readonly notices: readonly string[];
    }
  /** One line each: the key, what was expected, what was found and where. */
  | { readonly type: 'bad'; readonly problems: readonly string[] };

/** Variables of the same family that are not configuration of a node. */
const otherVariables = new Set(['FLOTILLA_SERVER']);

const bootstrapKeys = [...configKeys.keys()].filter((path) => path.startsWith('bootstrap.'));

export function loadConfiguration(input: ConfigurationInput): ConfigurationResult {
  const draft = new Draft();
  addDefaults(draft);
  if (input.file !== undefined && !addFile(draft, input.file)) return bad(draft);
  addEnvironment(draft, input.environment);
  for (const flag of input.flags) addFlag(draft, flag);
  derive(draft, input.file);
  const result = draft.toObject();
  // It founds nothing: without this, each of bootstrap's keys would be missed.
  if (draft.has('join') && !bootstrapKeys.some((path) => draft.has(path))) delete result['bootstrap'];
  for (const problem of checkKeys(result)) draft.add(problem);
  if (draft.hasProblems()) return bad(draft);
  for (const problem of checkTogether(result as unknown as Config)) draft.add(problem);
  if (draft.hasProblems()) return bad(draft);
  return { type: 'ok', config: toConfig(result), settings: draft.settings(), notices: draft.notices };
}

function bad(draft: Draft): ConfigurationResult {
  return { type: 'bad', problems: draft.problemLines() };
}

function addDefaults(draft: Draft): void {
  for (const path of configKeys.keys()) draft.set(path, valueAt(defaults, path), 'default');
}

/** False when there is nothing to go on with. */
function addFile(draft: Draft, file: string): boolean {
  const source = `file ${file}`;
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    draft.add({ path: 'config', expected: 'a readable JSON file', found: oneLine(error), source });
    return false;
  }
  if (!isPlainObject(content)) {
    draft.add({ path: 'config', expected: 'a JSON object', found: content, source });
    return false;
  }
  for (const [name, value] of Object.entries(content)) {
    const schema = Object.hasOwn(configSchema.properties, name) ? configSchema.properties[name] : undefined;
    if (schema === undefined) draft.add(unknownKey(name, source));
    else if (!isSection(schema)) draft.set(name, value, source);
    else if (!isPlainObject(value)) draft.add({ path: name, expected: 'an object', found: value, source });
    else {
      for (const [key, inner] of Object.entries(value)) {
        if (configKeys.has(`${name}.${key}`)) draft.set(`${name}.${key}`, inner, source);
        else draft.add(unknownKey(`${name}.${key}`, source));
      }
    }
  }
  return true;
}

function unknownKey(path: string, source: string): Problem {
  return { path, expected: undefined, found: undefined, source };
}

/**
 * An unknown variable is only pointed out: others name variables too (Kubernetes sets FLOTILLA_PORT for a service
 * called flotilla), and a node must not fail to start by that.
 */
function addEnvironment(draft: Draft, environment: ConfigurationInput['environment']): void {
  const known = new Set(otherVariables);
  for (const [path, leaf] of configKeys) {
    const name = environmentName(path);
    known.add(name);
    const given = environment[name];
    if (given !== undefined) addText(draft, { path, leaf, text: given, source: name });
  }
  for (const name of Object.keys(environment)) {
    if (name.startsWith('FLOTILLA_') && !known.has(name)) {
      draft.notices.push(`environment variable ${name} means nothing here, did you mean ${nearest(name)}?`);
    }
  }
}

function addFlag(draft: Draft, { name, path, text }: Flag): void {
  const leaf = configKeys.get(path);
  if (leaf !== undefined) {
    addText(draft, { path, leaf, text, source: name });
    return;
  }
  if (path.startsWith('labels.') && path !== 'labels.') {
    const before = draft.get('labels');
    draft.set('labels', { ...(isPlainObject(before) ? before : {}), [path.slice('labels.'.length)]: text }, name);
    return;
  }
  draft.add(unknownKey(path, name));
}

interface TextValue {
  readonly path: string;
  readonly leaf: Leaf;
  readonly text: string;
  readonly source: string;
}

function addText(draft: Draft, { path, leaf, text, source }: TextValue): void {
  const value = readText(leaf, text);
  if (value === undefined) draft.add({ path, expected: leaf.expected, found: text, source });
  else draft.set(path, value, source);
}

/** Undefined when the text is no such value; ranges are checked later. */
function readText(leaf: Leaf, text: string): unknown {
  switch (leaf.reads) {
    case 'text':
      return text;
    case 'number':
      return /^-?[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : undefined;
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : undefined;
    case 'json':
      try {
        return JSON.parse(text) as unknown;
      } catch {
        return undefined;
      }
  }
}

/** What follows from the rest. Without a file, `bootstrap` and `join` the node founds a store of its own. */
function derive(draft: Draft, file: string | undefined): void {
  const byItself = file === undefined && !draft.has('bootstrap.nodes');
  const alone = byItself && !draft.has('join');
  const fill = (path: string, value: unknown): void => {
    if (!draft.has(path)) draft.set(path, value, 'derived');
  };
  if (alone) fill('nodeId', 'n1');
  if (byItself && draft.has('nodeId')) {
    fill('dataDir', `data/${String(draft.get('nodeId'))}`);
    fill('http.port', 7001);
  }
  const httpPort = draft.get('http.port');
  if (byItself && typeof httpPort === 'number') fill('peer.port', httpPort + 100);
  fill('http.host', '127.0.0.1');
  fill('peer.host', '127.0.0.1');
  const listed = ownEntry(draft);
  fill('http.advertise', listed?.['http'] ?? reachable(draft, 'http', 'http://'));
  fill('peer.advertise', listed?.['peer'] ?? reachable(draft, 'peer', ''));
  for (const listener of ['http', 'peer']) {
    const host = draft.get(`${listener}.host`);
    if (draft.has(`${listener}.advertise`) || typeof host !== 'string' || !isWildcard(host)) continue;
    const expected = `an address that others can reach, because ${listener}.host is ${host}`;
    draft.add({ path: `${listener}.advertise`, expected, found: undefined });
  }
  if (!alone) return;
  fill('bootstrap.partitions', 12);
  fill('bootstrap.replicationFactor', 1);
  const self = { nodeId: draft.get('nodeId'), peer: draft.get('peer.advertise'), http: draft.get('http.advertise') };
  fill('bootstrap.nodes', [self]);
  draft.notices.push('a one-node store: replication factor 1, every value is on this disk only');
}

function ownEntry(draft: Draft): Record<string, unknown> | undefined {
  const founders = draft.get('bootstrap.nodes');
  if (!Array.isArray(founders)) return undefined;
  return (founders as unknown[]).filter(isPlainObject).find((founder) => founder['nodeId'] === draft.get('nodeId'));
}

/** The address others reach, when it is the one bound to; undefined for a wildcard, which says nothing to them. */
function reachable(draft: Draft, listener: 'http' | 'peer', scheme: string): string | undefined {
  const host = draft.get(`${listener}.host`);
  const port = draft.get(`${listener}.port`);
  if (typeof host !== 'string' || typeof port !== 'number' || isWildcard(host)) return undefined;
  return `${scheme}${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

function toConfig(checked: Record<string, unknown>): Config {
  return checked as unknown as Config;
}

function valueAt(root: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((value, name) => (isPlainObject(value) ? value[name] : undefined), root);
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function oneLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, ' ');
}
