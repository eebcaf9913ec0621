/** The directory of a stopped node, from looking at it to the last line of the audit; and what a crash on the way leaves for the next run. */
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { defaults } from '../../src/config.ts';
import { decodeMapChange, givenUpNonce, incarnationOf } from '../../src/cluster/metadata/records.ts';
import { encodeConfiguration } from '../../src/raft/configuration.ts';
import { EntryKind, type Entry, type LogIndex, type ReplicaId, type Term } from '../../src/raft/types.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import { decide, type Decision } from '../../src/recovery/decide.ts';
import { openSurvivor, type Survivor } from '../../src/recovery/survivor.ts';
import { openIdentity, type OpenIdentity } from '../../src/storage/identity.ts';
import { openReplicaDoubts } from '../../src/storage/replica-doubts.ts';
import { openLevelStorage } from '../../src/storage/level-storage.ts';
import { appendAudit, auditFile, readAudit, unfinishedRecovery } from '../../src/storage/recovery-audit.ts';
import { markInDoubt } from '../../src/storage/set-aside.ts';
import { append, entries, hardState, logWrite, put, settled, stateOf } from '../storage/building.ts';
import { temporaryDirectory } from '../storage/directories.ts';
import { founded, founding, members, names } from './surveys.ts';

const n1 = 'n1' as NodeId;
const lost = names.filter((nodeId) => nodeId !== n1);
/** Those of which n1 holds a founder's replica, the metadata group perhaps among them. */
const held = [founded.metadata, ...founded.partitions].filter(({ replicas }) => replicas.some((r) => r.nodeId === n1));
const [first, second] = held.filter(({ id }) => id > 0).map(({ id }) => id) as [PartitionId, PartitionId];
const changed = members({ voters: { [ownId(second)]: 'n1', 9: 'n2', 10: 'n5' } });

function ownId(partition: PartitionId): number {
  return founded.partition(partition)!.replicas.find(({ nodeId }) => nodeId === n1)!.replicaId;
}

let directory: string;
beforeEach(async () => {
  directory = path.join(temporaryDirectory(), 'n1');
  await foundedNode();
});
afterEach(() => fs.rmSync(path.dirname(directory), { recursive: true }));

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close().catch(() => undefined);
});

function identityOf(): Promise<OpenIdentity> {
  return openIdentity({ directory, nodeId: n1, clusterName: 'dev' });
}

function onFailure(error: unknown): never {
  throw error;
}

/** A member of a cluster of five that has met n2; its first partition has applied three of five entries, of the second the members are about to change. */
async function foundedNode(): Promise<void> {
  const identity = await identityOf();
  identity.saveFormation({ phase: 'formed', clusterId: 'c'.repeat(32), founding });
  identity.savePeer('n2' as NodeId, { incarnation: 3, nonce: 'a' });
  const storage = await openLevelStorage({ directory, config: defaults.storage, incarnation: 1, onFailure });
  for (const { id } of held) {
    await append(storage, logWrite(id, { hardState: hardState(3, 2), entries: entries(1, 5, 3) }));
  }
  storage.stageState(first, [put('a', 'one')], stateOf({ a: 'one' }, 3, 3));
  const body = encodeConfiguration(changed);
  const change: Entry = { index: 6 as LogIndex, term: 3 as Term, kind: EntryKind.configuration, body };
  await append(storage, logWrite(second, { entries: [change] }));
  await settled(storage);
  await storage.close();
  await identity.close();
}

async function open(): Promise<Survivor> {
  const found = await openSurvivor(directory);
  if (found.type === 'refused') throw new Error(found.problem);
  opened.push(found.survivor);
  return found.survivor;
}

/** What the identity has of the lost ones. */
async function givenUp(): Promise<unknown[]> {
  const identity = await identityOf();
  const found = lost.map((nodeId) => identity.peer(nodeId));
  await identity.close();
  return found;
}

function decisionOf(survivor: Survivor): Decision {
  const decided = decide([survivor.survey], lost);
  if (decided.type === 'refused') throw new Error(decided.problems.join('; '));
  return decided;
}

test('what a node holds is seen with its ends, its members and what it knows of others', async () => {
  const { survey } = await open();
  expect(survey).toMatchObject({
    nodeId: 'n1',
    clusterName: 'dev',
    seen: [{ nodeId: 'n2', stay: 0 }],
    dead: [],
  });
  expect(survey.replicas.map(({ partition }) => partition)).toEqual(held.map(({ id }) => id));
  const [one, other] = [first, second].map((id) => survey.replicas.find(({ partition }) => partition === id)!);
  expect(one).toMatchObject({ currentTerm: 3, lastIndex: 5, lastTerm: 3, appliedIndex: 3, keys: 1, votes: true });
  expect([...one!.configuration.hosts.values()]).toEqual(
    founded.partition(first)!.replicas.map(({ nodeId }) => nodeId),
  );
  expect(other).toMatchObject({ lastIndex: 6, configuration: changed });
});

test('what is no data directory, belongs to no member yet, or is in use is refused, and the last says what to do', async () => {
  const refused = async (where: string): Promise<string> => {
    const found = await openSurvivor(where);
    return found.type === 'refused' ? found.problem : 'opened';
  };
  expect(await refused(path.join(directory, 'none'))).toBe(`${directory}/none holds no node's data`);
  const fresh = path.join(path.dirname(directory), 'n9');
  await (await openIdentity({ directory: fresh, nodeId: 'n9' as NodeId, clusterName: 'dev' })).close();
  expect(await refused(fresh)).toBe('n9 is no member of a cluster yet: there is nothing here');
  expect(await refused(fresh), 'nothing is held on to').toBe('n9 is no member of a cluster yet: there is nothing here');
  markInDoubt(directory, { kind: 'damaged', reason: 'a record is not as it was written' });
  expect(await refused(directory)).toBe(`${directory} can't be believed: a record is not as it was written`);
  opened.push(await identityOf());
  expect(await refused(directory)).toBe(
    `data directory ${directory} is in use by another process: stop the node first`,
  );
});

test('a replica that is in doubt is nothing to go on from, though all its records are there', async () => {
  openReplicaDoubts(directory).put({
    partition: first,
    replicaId: ownId(first) as ReplicaId,
    reason: 'it differs',
    isGone: false,
  });
  const { survey } = await open();
  const surveyed = survey.replicas.map(({ partition }) => partition);
  expect(surveyed).not.toContain(first);
  expect(surveyed).toContain(second);
});

test('all begins anew, the lost ones are given up, and the audit says what was done', async () => {
  const survivor = await open();
  const decision = decisionOf(survivor);
  expect(await survivor.recover(decision, 'typed')).toBe(auditFile(directory));
  await survivor.close();

  const [begun, done] = readAudit(directory);
  expect(begun).toMatchObject({
    event: 'begun',
    decision: decision.name,
    cluster: 'dev',
    node: 'n1',
    confirmed: 'typed',
    lost: lost.map((nodeId) => ({ nodeId, stay: 0 })),
  });
  expect(done).toMatchObject({ event: 'done', decision: decision.name });
  expect(fs.statSync(auditFile(directory)).mode & 0o777).toBe(0o600);

  const { survey } = await open();
  expect(survey.replicas.map(({ partition, replicaId }) => [partition, replicaId])).toEqual(
    decision.beginnings.map(({ partition, replicaId }) => [partition, replicaId]),
  );
  for (const { configuration, votes } of survey.replicas) {
    expect([[...configuration.hosts.values()], configuration.incarnation, votes]).toEqual([['n1'], 2, true]);
  }
  const after = survey.replicas.find(({ partition }) => partition === first);
  expect(after, 'behind its log, and what it had applied is untouched').toMatchObject({
    lastIndex: 6,
    appliedIndex: 3,
    keys: 1,
  });
  expect(survey.seen, 'of those given up, the stay that is over').toEqual(lost.map((nodeId) => ({ nodeId, stay: 0 })));
  expect(decide([survey], lost)).toMatchObject({ type: 'refused' });
});

test('nodes that are given up are so in the identity, and are no members by the map, before the node starts', async () => {
  const survivor = await open();
  await survivor.recover(decisionOf(survivor), 'option');
  await survivor.close();
  const identity = await identityOf();
  opened.push(identity);
  expect(lost.map((nodeId) => identity.peer(nodeId))).toEqual(
    lost.map(() => ({ incarnation: incarnationOf(1), nonce: givenUpNonce })),
  );
  const { nodes = [], partitions = [] } = decodeMapChange(identity.map()) ?? {};
  expect(nodes.map(({ record: { nodeId, standing } }) => [nodeId, standing])).toEqual(
    lost.map((nodeId) => [nodeId, 'removed']),
  );
  expect(partitions).toHaveLength(founded.partitions.length + 1);
});

test('a crash before the batch has done nothing: the next run does all of it', async () => {
  const survivor = await open();
  const before = survivor.survey;
  await survivor.recover(decisionOf(survivor), 'typed');
  await survivor.close();
  // As if it had been the next run: of the first there is only the word that it begins.
  const [begun] = readAudit(directory);
  fs.rmSync(directory, { recursive: true });
  await foundedNode();
  if (begun !== undefined) appendAudit(directory, begun);

  const again = await open();
  expect(again.survey).toEqual(before);
  expect(again.unfinished).toBeUndefined();
  await again.recover(decisionOf(again), 'typed');
  expect(readAudit(directory).map(({ event }) => event)).toEqual(['begun', 'begun', 'done']);
});

test('behind the batch the next run gives up the lost ones, which is all that is missing', async () => {
  const identityFile = path.join(directory, 'identity.json');
  const identityBefore = fs.readFileSync(identityFile);
  const survivor = await open();
  await survivor.recover(decisionOf(survivor), 'typed');
  await survivor.close();
  // The crash: neither was the identity written, nor the last line, nor all of the one before it that is not ours.
  const counted = JSON.parse(fs.readFileSync(identityFile, 'utf8')) as object;
  fs.writeFileSync(identityFile, identityBefore);
  expect(counted).not.toEqual(JSON.parse(identityBefore.toString()));
  const [line] = fs.readFileSync(auditFile(directory), 'utf8').split('\n');
  fs.writeFileSync(auditFile(directory), `${line}\n{"event":"do`);
  expect(unfinishedRecovery(directory)).toBeDefined();

  // Counts a start, so that it is not below the one that wrote the batch.
  await (await identityOf()).close();
  const again = await open();
  expect(again.unfinished).toMatchObject({ event: 'begun' });
  again.finish(again.unfinished!);
  await again.close();
  expect(readAudit(directory).map(({ event }) => event)).toEqual(['begun', 'done']);
  const last = await open();
  expect(last.unfinished).toBeUndefined();
  await last.close();
  expect(await givenUp()).toEqual(lost.map(() => ({ incarnation: incarnationOf(1), nonce: givenUpNonce })));
});
