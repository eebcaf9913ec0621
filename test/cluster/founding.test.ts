/** The founders' list as text: one text for one meaning, nothing wrong with it goes unsaid. */
import { expect, test } from 'vitest';
import { bootstrapProblems, canonicalFounding, foundingDifference, parseFounding } from '../../src/cluster/founding.ts';
import { buildPartitionMap } from '../../src/cluster/partition-map.ts';
import type { BootstrapConfig } from '../../src/config.ts';
import { bootstrap } from './founders.ts';

test('the canonical text is frozen', () => {
  const list: BootstrapConfig = {
    replicationFactor: 1,
    partitions: 2,
    nodes: [
      { nodeId: 'n2', http: 'http://h2:1', peer: 'h2:2' },
      { nodeId: 'n1', peer: 'h1:2', http: 'http://h1:1', labels: { zone: 'a', host: 'x' } },
    ],
  };
  expect(canonicalFounding(list)).toBe(
    '{"version":1,"partitions":2,"replicationFactor":1,"nodes":[' +
      '{"nodeId":"n1","peer":"h1:2","http":"http://h1:1","labels":[["host","x"],["zone","a"]]},' +
      '{"nodeId":"n2","peer":"h2:2","http":"http://h2:1","labels":[]}]}',
  );
});

test('reading it back gives the same list; labels may be named like anything', () => {
  const list = bootstrap(3, () => ({ zone: 'a', __proto__x: 'y', 7: 'seven' }));
  const parsed = parseFounding(canonicalFounding(list));
  expect(parsed).toEqual({ type: 'founding', bootstrap: list });
});

test.each([
  ['not json', 'it is not a JSON object'],
  ['[]', 'it is not a JSON object'],
  ['{"version":2}', 'its version is 2, this node knows 1'],
  ['{"version":1}', 'partitions, replicationFactor or nodes is missing'],
  ['{"version":1,"partitions":1,"replicationFactor":1,"nodes":[{}]}', 'a node in it is malformed'],
  [canonicalFounding(bootstrap(3)).replace('"partitions":12', '"partitions":0'), 'partitions is 0: expected'],
  [` ${canonicalFounding(bootstrap(3))}`, 'it is not in canonical form'],
])('%s is not taken for a founding', (text, reason) => {
  const parsed = parseFounding(text);
  expect(parsed.type === 'unreadable' && parsed.reason).toContain(reason);
});

test('what is wrong with a list is said, all of it', () => {
  const [first, second] = bootstrap(2).nodes;
  if (!first || !second) throw new Error('two nodes expected');
  const wrong: BootstrapConfig = {
    partitions: 4097,
    replicationFactor: 3,
    nodes: [first, { ...second, peer: first.peer, http: first.http, nodeId: 'n 2' }],
  };
  expect(bootstrapProblems(wrong)).toEqual([
    'partitions is 4097: expected a whole number from 1 to 4096',
    'replicationFactor is 3, but only 2 founding nodes are named',
    'node id "n 2": expected 1 to 64 of A-Z, a-z, 0-9, ".", "_", "-"',
    'peer 127.0.0.1:7101 is given to several nodes: n1, n 2',
    'http http://127.0.0.1:7001 is given to several nodes: n1, n 2',
  ]);
  expect(() => buildPartitionMap(wrong)).toThrow('partitions is 4097');
});

test.each([0, 2, 4, 9, 1.5])('a replication factor of %d is refused with the reason', (replicationFactor) => {
  expect(bootstrapProblems({ ...bootstrap(9), replicationFactor })).toEqual([
    `replicationFactor is ${replicationFactor}: expected 1, 3, 5 or 7 (an even number tolerates no more failures)`,
  ]);
});

test('a node id named twice is refused', () => {
  const list = bootstrap(3);
  const nodes = list.nodes.map((node, i) => (i === 2 ? { ...node, nodeId: 'n1' } : node));
  expect(bootstrapProblems({ ...list, nodes })).toEqual(['nodeId n1 is named 2 times']);
});

test('a difference between two lists is named', () => {
  const ours = bootstrap(3);
  const changed = (change: Partial<BootstrapConfig['nodes'][number]>): BootstrapConfig => ({
    ...ours,
    nodes: ours.nodes.map((node, i) => (i === 1 ? { ...node, ...change } : node)),
  });
  const difference = (theirs: BootstrapConfig): string | undefined =>
    foundingDifference(canonicalFounding(ours), canonicalFounding(theirs));
  expect(difference(ours)).toBeUndefined();
  expect(difference({ ...ours, partitions: 24 })).toBe('partitions is 12 here and 24 there');
  expect(difference({ ...ours, replicationFactor: 1 })).toBe('replicationFactor is 3 here and 1 there');
  expect(difference(changed({ nodeId: 'n9' }))).toBe('founding node n2 is named here and not there');
  expect(difference(bootstrap(4))).toBe('founding node n4 is named there and not here');
  expect(difference(changed({ peer: 'h:1' }))).toBe('peer of n2 is 127.0.0.1:7102 here and h:1 there');
  expect(difference(changed({ labels: { zone: 'b' } }))).toBe('labels of n2 are {} here and {"zone":"b"} there');
  expect(foundingDifference(canonicalFounding(ours), 'junk')).toContain("the other's founders' list can't be read");
});
