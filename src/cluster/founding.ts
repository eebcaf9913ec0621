/**
 * What the founders agree on, as one text. It is stored on every founder's disk and the partition map follows from it
 * alone, so its form is frozen: version 1 means exactly the placement of `partition-map.ts`.
 */
import type { BootstrapConfig, FounderConfig } from '../config.ts';
import { compareText } from './ring.ts';

const foundingVersion = 1;
/** More would make a node host thousands of groups before the first key is stored. */
const partitionsMax = 4096;
const replicationFactors: readonly number[] = [1, 3, 5, 7];
const nodeIdPattern = /^[A-Za-z0-9._-]{1,64}$/;

/** What is wrong with a bootstrap section, one line each; empty when nothing is. */
export function bootstrapProblems(bootstrap: BootstrapConfig): readonly string[] {
  const { partitions, replicationFactor, nodes } = bootstrap;
  const problems: string[] = [];
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > partitionsMax) {
    problems.push(`partitions is ${partitions}: expected a whole number from 1 to ${partitionsMax}`);
  }
  if (!replicationFactors.includes(replicationFactor)) {
    problems.push(
      `replicationFactor is ${replicationFactor}: expected 1, 3, 5 or 7 (an even number tolerates no more failures)`,
    );
  } else if (nodes.length < replicationFactor) {
    problems.push(`replicationFactor is ${replicationFactor}, but only ${nodes.length} founding nodes are named`);
  }
  for (const { nodeId } of nodes) {
    if (nodeIdPattern.test(nodeId)) continue;
    problems.push(`node id ${JSON.stringify(nodeId)}: expected 1 to 64 of A-Z, a-z, 0-9, ".", "_", "-"`);
  }
  problems.push(...repeated(nodes, 'nodeId'), ...repeated(nodes, 'peer'), ...repeated(nodes, 'http'));
  return problems;
}

function repeated(nodes: readonly FounderConfig[], field: 'nodeId' | 'peer' | 'http'): readonly string[] {
  return [...new Set(nodes.map((node) => node[field]))].flatMap((value) => {
    const sharing = nodes.filter((node) => node[field] === value).map(({ nodeId }) => nodeId);
    if (sharing.length === 1) return [];
    return field === 'nodeId'
      ? [`nodeId ${value} is named ${sharing.length} times`]
      : [`${field} ${value} is given to several nodes: ${sharing.join(', ')}`];
  });
}

/** The bootstrap section as canonical JSON: the same text whatever the order of nodes, labels or fields. */
export function canonicalFounding(bootstrap: BootstrapConfig): string {
  const nodes = bootstrap.nodes
    .toSorted((a, b) => compareText(a.nodeId, b.nodeId))
    .map(({ nodeId, peer, http, labels }) => ({ nodeId, peer, http, labels: sortedLabels(labels ?? {}) }));
  return JSON.stringify({
    version: foundingVersion,
    partitions: bootstrap.partitions,
    replicationFactor: bootstrap.replicationFactor,
    nodes,
  });
}

function sortedLabels(labels: Readonly<Record<string, string>>): readonly (readonly [string, string])[] {
  return Object.entries(labels).toSorted(([a], [b]) => compareText(a, b));
}

export type ParsedFounding =
  | { readonly type: 'founding'; readonly bootstrap: BootstrapConfig }
  | { readonly type: 'unreadable'; readonly reason: string };

/** Reads what `canonicalFounding` wrote, and nothing else: a text that would not be written again the same is refused. */
export function parseFounding(text: string): ParsedFounding {
  const founding = parseJson(text);
  if (!isRecord(founding)) return unreadable('it is not a JSON object');
  if (founding['version'] !== foundingVersion) {
    return unreadable(`its version is ${String(founding['version'])}, this node knows ${foundingVersion}`);
  }
  const { partitions, replicationFactor, nodes } = founding;
  if (typeof partitions !== 'number' || typeof replicationFactor !== 'number' || !Array.isArray(nodes)) {
    return unreadable('partitions, replicationFactor or nodes is missing');
  }
  const founders = nodes.map(parseFounder);
  if (!founders.every((founder) => founder !== undefined)) return unreadable('a node in it is malformed');
  const bootstrap = { partitions, replicationFactor, nodes: founders };
  const problems = bootstrapProblems(bootstrap);
  if (problems.length > 0) return unreadable(problems.join('; '));
  if (canonicalFounding(bootstrap) !== text) return unreadable('it is not in canonical form');
  return { type: 'founding', bootstrap };
}

function unreadable(reason: string): ParsedFounding {
  return { type: 'unreadable', reason };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function parseFounder(value: unknown): FounderConfig | undefined {
  if (!isRecord(value)) return undefined;
  const { nodeId, peer, http, labels } = value;
  if (typeof nodeId !== 'string' || typeof peer !== 'string' || typeof http !== 'string') return undefined;
  if (!Array.isArray(labels) || !labels.every(isLabel)) return undefined;
  return { nodeId, peer, http, labels: Object.fromEntries(labels) };
}

function isLabel(value: unknown): value is [string, string] {
  return Array.isArray(value) && value.length === 2 && value.every((part) => typeof part === 'string');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The first difference between two founders' lists in words, `ours` being this node's; undefined when they agree. */
export function foundingDifference(ours: string, theirs: string): string | undefined {
  if (ours === theirs) return undefined;
  const [mine, other] = [parseFounding(ours), parseFounding(theirs)];
  if (mine.type === 'unreadable') return `this node's founders' list can't be read: ${mine.reason}`;
  if (other.type === 'unreadable') return `the other's founders' list can't be read: ${other.reason}`;
  const [a, b] = [mine.bootstrap, other.bootstrap];
  for (const field of ['partitions', 'replicationFactor'] as const) {
    if (a[field] !== b[field]) return `${field} is ${a[field]} here and ${b[field]} there`;
  }
  const there = new Map(b.nodes.map((node) => [node.nodeId, node]));
  for (const node of a.nodes) {
    const twin = there.get(node.nodeId);
    if (twin === undefined) return `founding node ${node.nodeId} is named here and not there`;
    const difference = founderDifference(node, twin);
    if (difference !== undefined) return difference;
  }
  const here = new Set(a.nodes.map((node) => node.nodeId));
  const extra = b.nodes.find((node) => !here.has(node.nodeId));
  return `founding node ${extra?.nodeId ?? '?'} is named there and not here`;
}

function founderDifference(here: FounderConfig, there: FounderConfig): string | undefined {
  for (const field of ['peer', 'http'] as const) {
    if (here[field] !== there[field])
      return `${field} of ${here.nodeId} is ${here[field]} here and ${there[field]} there`;
  }
  const [ours, theirs] = [here, there].map((node) => JSON.stringify(sortedLabels(node.labels ?? {})));
  if (ours === theirs) return undefined;
  return `labels of ${here.nodeId} are ${JSON.stringify(here.labels)} here and ${JSON.stringify(there.labels)} there`;
}
