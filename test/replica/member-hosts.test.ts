/** For whom a node may speak: nobody's messages are taken from a node that he does not live on. */
import { expect, test } from 'vitest';
import type { Configuration, ReplicaId } from '../../src/raft/types.ts';
import { MemberHosts } from '../../src/replica/member-hosts.ts';
import type { NodeId } from '../../src/replica/ports.ts';

const id = (replicaId: number): ReplicaId => replicaId as ReplicaId;
const node = (nodeId: string): NodeId => nodeId as NodeId;

/** `givenOut`: by committed configurations, as far as this member knows. */
function founded(givenOut = 2): MemberHosts {
  const members = [
    { replicaId: id(1), nodeId: node('n1') },
    { replicaId: id(2), nodeId: node('n2') },
  ];
  return new MemberHosts(members, () => id(givenOut));
}

function configuration(hosts: readonly (readonly [number, string])[]): Configuration {
  const voters = hosts.map(([replicaId]) => id(replicaId));
  const byId = new Map(hosts.map(([replicaId, host]) => [id(replicaId), host]));
  const replicaIdMax = id(Math.max(...voters));
  return { voters, votersOutgoing: [], learners: [], replicaIdMax, incarnation: 1, hosts: byId };
}

test('a member is heard from its own node alone', () => {
  const hosts = founded();
  expect(hosts.accepts(id(2), node('n2'))).toBe(true);
  expect(hosts.accepts(id(2), node('n3'))).toBe(false);
  expect(hosts.hostOf(id(2))).toBe('n2');
});

test('a stranger is heard and can be answered, from then on from that node alone', () => {
  const hosts = founded();
  expect(hosts.hostOf(id(7))).toBeUndefined();
  expect(hosts.accepts(id(7), node('n4'))).toBe(true);
  expect(hosts.hostOf(id(7))).toBe('n4');
  expect(hosts.accepts(id(7), node('n3'))).toBe(false);
});

test('what a configuration says counts more than who spoke first', () => {
  const hosts = founded(7);
  hosts.accepts(id(7), node('n3'));
  hosts.learn(
    configuration([
      [1, 'n1'],
      [7, 'n4'],
    ]),
  );
  expect(hosts.hostOf(id(7))).toBe('n4');
  expect(hosts.accepts(id(7), node('n3'))).toBe(false);
  expect(hosts.accepts(id(7), node('n4'))).toBe(true);
});

test('the leader has given an id to another node than an entry here that never was committed: it is heard, and answered', () => {
  const hosts = founded();
  hosts.learn(
    configuration([
      [1, 'n1'],
      [3, 'n5'],
    ]),
  );
  expect(hosts.accepts(id(3), node('n2'))).toBe(true);
  expect(hosts.hostOf(id(3))).toBe('n2');
  expect(hosts.accepts(id(2), node('n5'))).toBe(false);
});

test('who was left out by a later configuration is still known, so that he can be told', () => {
  const hosts = founded();
  hosts.learn(configuration([[1, 'n1']]));
  expect(hosts.hostOf(id(2))).toBe('n2');
  expect(hosts.accepts(id(2), node('n2'))).toBe(true);
});

test('a node that invents replicas fills no memory, and shuts out no member', () => {
  const hosts = founded();
  for (let replicaId = 100; replicaId < 1100; replicaId += 1) hosts.accepts(id(replicaId), node('n4'));
  expect(hosts.accepts(id(1100), node('n4'))).toBe(false);
  expect(hosts.hostOf(id(1099))).toBeUndefined();
  hosts.learn(configuration([[1099, 'n3']]));
  expect(hosts.accepts(id(1099), node('n3'))).toBe(true);
  expect(hosts.accepts(id(1), node('n1'))).toBe(true);
});
