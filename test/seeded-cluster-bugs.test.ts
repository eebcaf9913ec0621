/**
 * Each seeded bug of a cluster that changes in the shortest story that shows it, told without the bug and with it: an emptied node that could
 * vote twice, a group with fewer members than it should have, a directory that says what is not so.
 */
import { afterEach, expect, test } from 'vitest';
import { nextStep } from '../src/cluster/metadata/move.ts';
import type { ReplicaId } from '../src/raft/types.ts';
import { plant } from '../src/seeded-bugs.ts';
import { openMemoryStorage } from '../src/storage/memory-storage.ts';
import { AdmissionWorld } from './cluster/metadata/admission-world.ts';
import { fourNodes } from './cluster/metadata/controller-world.ts';
import { FakeGroup, promotionLagMax, viewOf } from './cluster/metadata/move-world.ts';
import { names } from './cluster/metadata/samples.ts';
import { JoinWorld, p1 as joined } from './node/join-world.ts';
import { append, bytes, hardState, logWrite, p1 } from './storage/building.ts';
import { staleRead, startDamageable, turnBit } from './node/damaged-replicas.ts';
import { told } from './told.ts';

afterEach(() => plant(undefined));

test('emptied-let-in-unpurged: a node that has forgotten its votes is let in while it is a voter', async () => {
  const story = async () => {
    const world = await AdmissionWorld.start();
    const joiner = await world.asked('n3');
    await world.step();
    return joiner.admissions.length > 0 && world.group(1).hosts().includes('n3');
  };
  expect(await told('emptied-let-in-unpurged', story)).toEqual({ without: false, planted: true });
});

test('emptied-not-buried: let in again, a node does not know which of its replicas are dead', async () => {
  const story = async () => {
    const world = await JoinWorld.start();
    await world.admit();
    return (await world.storage.crash({ automatic: true })).dead(joined).through;
  };
  expect(await told('emptied-not-buried', story)).toEqual({ without: 5, planted: 0 });
});

test('destroyed-without-tombstone: what was removed is as if it had never been', async () => {
  const story = async () => {
    const storage = await openMemoryStorage({ automatic: true });
    await append(storage, logWrite(p1, { hardState: hardState(1), entries: [] }));
    await storage.destroyGroup(p1, { replicaId: 1 as ReplicaId, configuration: bytes('without 1') });
    return (await storage.crash()).dead(p1).through;
  };
  expect(await told('destroyed-without-tombstone', story)).toEqual({ without: 1, planted: 0 });
});

test('directory-before-group: a change of voters that may yet be undone is taken for done', async () => {
  const story = () => {
    const outgoing = { 1: 'n1', 2: 'n2', 3: 'n3' };
    const view = viewOf({ voters: { 1: 'n1', 2: 'n2', 4: 'n4' }, outgoing, committed: false });
    return nextStep(view, names('n1', 'n2', 'n4'), { promotionLagMax, isLow: () => false }).type;
  };
  expect(await told('directory-before-group', story)).toEqual({ without: 'wait', planted: 'done' });
});

test('source-leaves-first: while it is moved a group bears the loss of one node less', async () => {
  const story = () => {
    const group = new FakeGroup(['n1', 'n2', 'n3']);
    group.quick = true;
    const next = () => nextStep(group.view(), names('n1', 'n2', 'n4'), { promotionLagMax, isLow: () => false });
    for (let step = next(); step.type === 'change'; step = next()) group.apply(step.change);
    return `${group.hosts().join(' ')}, ${group.fewestVoters} at the least`;
  };
  expect(await told('source-leaves-first', story)).toEqual({
    without: 'n1 n2 n4, 3 at the least',
    planted: 'n1 n2 n4, 2 at the least',
  });
});

test('retired-before-empty: nobody is left to tell a drained node what it still has to destroy', async () => {
  const story = async () => {
    const world = await fourNodes();
    world.clinging.add('n3');
    await world.remove('n3');
    await world.rest();
    return world.standing('n3');
  };
  expect(await told('retired-before-empty', story)).toEqual({ without: 'draining', planted: 'removed' });
});

test('in-doubt-until-restart: a replica whose records can not be believed makes a majority again', async () => {
  const story = async () => {
    const nodes = await startDamageable();
    nodes.node('n2').kill();
    await nodes.run(50);
    turnBit(nodes, 'n3');
    await staleRead(nodes, 'n3', 'key-7');
    for (const name of ['n1', 'n3']) {
      nodes.node(name).kill();
      nodes.node(name).start();
    }
    await nodes.run(5000);
    return nodes.leaders();
  };
  const { without, planted } = await told('in-doubt-until-restart', story);
  expect(without).toEqual([]);
  expect(planted).toMatch(/is in doubt, and sends a/);
});
