/**
 * Each seeded bug in the shortest story that shows it: told twice, without the bug and with it. What a story comes to is what
 * must not happen: two leaders of a term, an acknowledged write that is gone, a stale read, a group without a leader.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { defaults } from '../src/config.ts';
import { encodeConfiguration } from '../src/raft/configuration.ts';
import { EntryKind } from '../src/raft/types.ts';
import type { NodeId } from '../src/replica/ports.ts';
import type { ReplicaOutcome } from '../src/replica/options.ts';
import { plant, planted, seededBugs } from '../src/seeded-bugs.ts';
import { openMemoryStorage } from '../src/storage/memory-storage.ts';
import {
  appendEntries,
  appended,
  at,
  command,
  configurationOf,
  entriesOfTerms,
  heartbeat,
  heartbeatAnswered,
  inTerm,
  limits,
  replica,
  TestMember,
  voted,
} from './raft/member.ts';
import { Network } from './raft/network.ts';
import { staleUnderUnknowingLeader } from './replica/stories.ts';
import { World } from './replica/world.ts';
import { entries, hardState, logWrite, machineState, p1, put, value } from './storage/building.ts';
import { told } from './told.ts';

afterEach(() => plant(undefined));

test('none is planted by default, and one at a time', () => {
  expect(seededBugs.filter(planted)).toEqual([]);
  plant('read-before-noop');
  plant('read-by-clock');
  expect(seededBugs.filter(planted)).toEqual(['read-by-clock']);
});

const [n1, n2, n3] = ['n1', 'n2', 'n3'] as NodeId[] as [NodeId, NodeId, NodeId];

function valueOf(outcome: ReplicaOutcome | undefined): string | undefined {
  return outcome?.type === 'value' && outcome.record ? Buffer.from(outcome.record.value).toString() : outcome?.type;
}

describe('elections', () => {
  test('vote-before-durable: a voter that loses its power votes again in the same term', async () => {
    const story = () => {
      const network = new Network();
      network.member(2).diskHeld = true;
      network.cut(1, 3);
      network.cut(3, 1);
      network.campaign(1);
      network.crash(2);
      network.restart(2);
      network.campaign(3);
      return network.leaders();
    };
    expect(await told('vote-before-durable', story)).toEqual({
      without: [3],
      planted: 'replicas 1 and 3 both lead in term 1',
    });
  });

  test('term-and-vote-apart: after the answer a crash leaves the term without its vote', async () => {
    const story = async () => {
      const storage = await openMemoryStorage({ automatic: false });
      let answered = false;
      storage.appendLog(logWrite(p1, { hardState: hardState(2, 3) }), () => {
        answered = true;
      });
      storage.flush();
      await storage.completeBatch('log');
      return { answered, stored: (await storage.crash()).group(p1).hardState };
    };
    expect(await told('term-and-vote-apart', story)).toEqual({
      without: { answered: true, stored: hardState(2, 3) },
      planted: { answered: true, stored: hardState(2, 0) },
    });
  });

  test('vote-erased-on-step-down: a member that asked in vain has forgotten whom it voted for', async () => {
    const story = () => {
      const member = new TestMember({ term: 2, votedFor: 3 });
      member.raft.campaign();
      member.receive(heartbeat({ from: 3, term: 2 }));
      return member.raft.status().votedFor;
    };
    expect(await told('vote-erased-on-step-down', story)).toEqual({ without: 3, planted: 'one vote per term (5.2)' });
  });

  test('duplicate-vote-counted: two of five elect a leader of their own', async () => {
    const story = () => {
      const network = new Network({ voters: [1, 2, 3, 4, 5] });
      for (const here of [1, 2]) {
        for (const there of [3, 4, 5]) {
          network.cut(here, there);
          network.cut(there, here);
        }
      }
      network.member(1).raft.campaign();
      network.settle(1);
      for (let message = network.mail.shift(); message !== undefined; message = network.mail.shift()) {
        network.deliver(message);
        network.deliver(message);
      }
      network.campaign(3);
      return network.leaders();
    };
    expect(await told('duplicate-vote-counted', story)).toEqual({
      without: [3],
      planted: 'replicas 1 and 3 both lead in term 1',
    });
  });

  test('pre-vote-refreshes-contact: a leader that was started anew keeps itself alive by asking', async () => {
    const story = async () => {
      const world = await World.start();
      await world.elect('n1');
      world.storages.set(n1, await world.storage('n1').crash({ incarnation: 2 }));
      world.host(n1);
      await world.ticks(200);
      return [n1, n2, n3].filter((name) => world.node(name).status().role === 'leader').length;
    };
    expect(await told('pre-vote-refreshes-contact', story)).toEqual({ without: 1, planted: 0 });
  });
});

describe('the log', () => {
  test('old-term-counted: what was committed by counting is replaced (figure 8)', async () => {
    const story = () => {
      const network = new Network({
        logs: { 1: entriesOfTerms([1, 2]), 2: entriesOfTerms([1]), 3: entriesOfTerms([1, 3]) },
        terms: { 1: 3, 2: 3, 3: 3 },
      });
      network.isolate(3);
      network.filter((message) => message.type !== 'AppendEntriesRequest' || message.entries[0]?.term !== 4);
      network.campaign(1);
      network.deliver(
        appendEntries({ from: 1, to: 2, term: 4, prev: [1, 1], entries: [command({ index: 2, term: 2 })] }),
      );
      network.run();
      network.crash(1);
      network.heal();
      network.pass(limits.electionTicksMin);
      // The first question is refused and teaches it the term, the second one counts.
      network.campaign(3);
      network.campaign(3);
      return network.leaders();
    };
    expect(await told('old-term-counted', story)).toEqual({
      without: [3],
      planted: 'the leader of term 5 lacks entry 2',
    });
  });

  test('matching-suffix-truncated: a repeated message removes what was committed since', async () => {
    const story = () => {
      const network = new Network();
      network.campaign(1);
      network.propose(1, 'one');
      const late = network.mail.find((message) => message.type === 'AppendEntriesRequest' && message.to === 2);
      network.propose(1, 'two');
      const lost = network.mail.findLast((message) => message.to === 3);
      network.filter((message) => message !== lost);
      network.run();
      network.deliver(late!);
      network.heal();
      network.isolate(1);
      network.pass(limits.electionTicksMin);
      network.campaign(3);
      return network.leaders().includes(3);
    };
    expect(await told('matching-suffix-truncated', story)).toEqual({
      without: false,
      planted: 'the leader of term 2 lacks entry 3',
    });
  });

  test('commit-beyond-verified: a follower applies what its old leader left behind', async () => {
    const story = () => {
      const network = new Network({
        logs: { 1: entriesOfTerms([1, 2, 2]), 2: entriesOfTerms([1, 3]), 3: entriesOfTerms([1, 3]) },
        terms: { 1: 3, 2: 3, 3: 3 },
      });
      network.isolate(1);
      network.campaign(2);
      network.heal();
      network.pass(3);
      return network.appliedTexts(1);
    };
    expect(await told('commit-beyond-verified', story)).toEqual({
      without: ['t1i1', 't3i2'],
      planted: 'replica 1 applied another entry at 2: 2 after 3',
    });
  });

  test('own-append-counted-early: an acknowledged write is gone when its leader loses power', async () => {
    const story = async () => {
      const world = await World.start();
      await world.elect('n1');
      world.stalled.add(n1);
      world.cut.add(n3);
      const asked = world.put('n1', 'a', 'one');
      await world.settle();
      const acknowledged = asked.outcomes.length > 0;
      world.storages.set(n1, await world.storage('n1').crash({ incarnation: 2 }));
      world.host(n1);
      world.stalled.clear();
      world.cut.clear();
      world.cut.add(n2);
      world.leaders.clear();
      await world.elect('n1');
      const get = world.get('n1', 'a');
      await world.settle();
      return { acknowledged, read: get.outcomes };
    };
    const gone = [{ type: 'value', term: 2, record: undefined, logTime: expect.any(Number) as number }];
    expect(await told('own-append-counted-early', story)).toEqual({
      without: { acknowledged: false, read: gone },
      planted: { acknowledged: true, read: gone },
    });
  });
});

describe('members', () => {
  test('change-before-noop: a new leader changes the members by what it knew as a follower', async () => {
    // Joint consensus still keeps the two majorities from missing each other: what is lost is the rule, not yet a write.
    const story = () => {
      const leader = new TestMember({ entries: entriesOfTerms([1, 1]) });
      leader.becomeLeader();
      const { type } = leader.raft.changeConfiguration({ type: 'changeVoters', voters: [1, 2].map(replica) });
      return { type, commitIndex: leader.raft.status().commitIndex };
    };
    expect(await told('change-before-noop', story)).toEqual({
      without: { type: 'refused', commitIndex: 0 },
      planted: { type: 'appended', commitIndex: 0 },
    });
  });

  test('removed-replica-votes: one that the newest configuration leaves out makes a leader', async () => {
    const story = () => {
      const body = encodeConfiguration(configurationOf([1, 4, 5]));
      const change = { index: at(1), term: inTerm(1), kind: EntryKind.configuration, body };
      const candidate = new TestMember({ configuration: configurationOf([1, 2, 3]), entries: [change] });
      candidate.raft.campaign();
      for (const from of [2, 3]) candidate.receive(voted({ pre: true, from, to: 1, term: 2, granted: true }));
      for (const from of [2, 3]) candidate.receive(voted({ from, to: 1, term: 2, granted: true }));
      return candidate.raft.status().role;
    };
    expect(await told('removed-replica-votes', story)).toEqual({ without: 'follower', planted: 'leader' });
  });

  test('transfer-to-lagging: leadership goes to one that can not win it, and the group is left without', async () => {
    const story = () => {
      const network = new Network();
      network.campaign(1);
      network.pass(1);
      network.filter((message) => message.type !== 'AppendEntriesRequest' || message.to !== 3);
      network.propose(1, 'a');
      network.run();
      network.member(1).raft.transferLeadership(replica(3));
      network.run();
      return network.leaders();
    };
    expect(await told('transfer-to-lagging', story)).toEqual({ without: [1], planted: [] });
  });

  test('compacted-prev-truncates: a late message removes what its receiver has answered for', async () => {
    const story = () => {
      const network = new Network();
      network.campaign(1);
      network.propose(1, 'a');
      const late = network.mail.find((message) => message.type === 'AppendEntriesRequest' && message.to === 2);
      network.propose(1, 'b', 'c');
      network.pass(2);
      network.propose(1, 'd');
      network.pass(2);
      network.compact(2);
      network.filter((message) => message.type !== 'AppendEntriesRequest' || message.to !== 3);
      network.propose(1, 'e', 'f');
      network.run();
      network.deliver(late!);
      network.heal();
      network.isolate(1);
      network.pass(limits.electionTicksMin);
      network.campaign(2);
      return network.appliedTexts(2);
    };
    expect(await told('compacted-prev-truncates', story)).toEqual({
      without: ['a', 'b', 'c', 'd', 'e', 'f'],
      planted: 'the leader of term 2 lacks entry 7',
    });
  });
});

describe('reads', () => {
  test('quiesced-reads-without-quorum: a silent leader answers with what another has overwritten', async () => {
    const story = () => {
      const network = new Network({ limits: { quiesceTicks: 3 } });
      network.campaign(1);
      network.pass(10);
      expect(network.member(1).raft.quiesced).toBe(true);
      network.isolate(1);
      for (const id of [2, 3]) network.member(id).raft.wake();
      network.pass(2 * limits.electionTicksMax);
      const [leader] = network.leaders().filter((id) => id !== 1);
      network.propose(leader!, 'new');
      network.run();
      network.member(1).raft.readIndex(1);
      network.run();
      return network.reads.map(({ index }) => index < network.judge.highestCommit);
    };
    expect(await told('quiesced-reads-without-quorum', story)).toEqual({ without: [], planted: [true] });
  });

  test('read-before-noop: a new leader answers as if nothing had ever been committed', async () => {
    const story = () => {
      const leader = new TestMember({ entries: entriesOfTerms([1, 1]) });
      leader.becomeLeader();
      leader.raft.readIndex(1);
      leader.settle();
      return leader.receive(heartbeatAnswered({ term: 2, readRound: 1 })).reads;
    };
    expect(await told('read-before-noop', story)).toEqual({ without: [], planted: [{ context: 1, index: 0 }] });
  });

  test('fresh-before-noop: a copy that lacks an acknowledged write is called a moment old', async () => {
    const story = async () => {
      const world = await World.start(undefined, { quiesceTicks: 0 });
      await world.elect('n1');
      const { value, stalenessMs } = await staleUnderUnknowingLeader(world);
      return `${value}, ${stalenessMs < 500 ? 'young' : 'old'}`;
    };
    expect(await told('fresh-before-noop', story)).toEqual({ without: 'one, old', planted: 'one, young' });
  });

  test('read-by-clock: a leader that was paused answers with what has been overwritten', async () => {
    const story = async () => {
      const world = await World.start();
      await world.elect('n1');
      world.put('n1', 'a', 'old');
      await world.settle();
      const paused = world.node('n1');
      world.replicas.delete(n1);
      await world.elect('n2');
      const put = world.put('n2', 'a', 'new');
      await world.settle();
      expect(put.outcomes).toHaveLength(1);
      world.replicas.set(n1, paused);
      world.cut.add(n1);
      const get = world.get('n1', 'a');
      await world.settle();
      return get.outcomes.map(valueOf);
    };
    expect(await told('read-by-clock', story)).toEqual({ without: [], planted: ['old'] });
  });

  test('old-heartbeat-confirms: a read is answered though nobody was asked since', async () => {
    const story = () => {
      const leader = new TestMember({ term: 1 });
      leader.becomeLeader();
      leader.receive(appended({ from: 3, term: 2, index: 1 }));
      leader.raft.readIndex(1);
      leader.settle();
      const follower = new TestMember({ id: 2, term: 2, votedFor: 1 });
      const { messages } = follower.receive(heartbeat({ from: 1, to: 2, term: 1, readRound: 1 }));
      return messages.flatMap((answer) => leader.receive(answer).reads);
    };
    expect(await told('old-heartbeat-confirms', story)).toEqual({ without: [], planted: [{ context: 1, index: 1 }] });
  });
});

describe('the disk', () => {
  test('applied-index-apart: a crash between two batches loses values for good', async () => {
    const story = async () => {
      const config = { ...defaults.storage, batchBytesMax: 10_000 };
      const storage = await openMemoryStorage({ automatic: false, config });
      storage.appendLog(logWrite(p1, { hardState: hardState(1), entries: entries(1, 2, 1) }), () => undefined);
      storage.flush();
      await storage.completeBatch('log');
      storage.stageState(p1, [put('a', 'x'.repeat(6000))], machineState(1));
      storage.stageState(p1, [put('b', 'y'.repeat(6000))], machineState(2));
      storage.flush();
      await storage.completeBatch('state');
      const after = await storage.crash();
      return { appliedIndex: after.group(p1).machineState.appliedIndex, b: value(after, p1, 'b') };
    };
    expect(await told('applied-index-apart', story)).toEqual({
      without: { appliedIndex: 1, b: undefined },
      planted: { appliedIndex: 2, b: undefined },
    });
  });

  test('fsync-error-swallowed: what is acknowledged is not there', async () => {
    const story = async () => {
      const seen: string[] = [];
      const storage = await openMemoryStorage({ automatic: false, onFailure: () => seen.push('failed') });
      storage.appendLog(logWrite(p1, { hardState: hardState(1), entries: entries(1, 1, 1) }), () =>
        seen.push('acknowledged'),
      );
      storage.flush();
      await storage.failBatch('log', new Error('input/output error'));
      const reopened = storage.crash().then(
        (after) => `opened at ${after.log(p1).lastIndex()}`,
        (error: unknown) => (error as Error).message,
      );
      return [...seen, await reopened];
    };
    expect(await told('fsync-error-swallowed', story)).toEqual({
      without: ['failed', 'opened at 0'],
      planted: ['acknowledged', 'log batches end at 0, and 1 was acknowledged'],
    });
  });
});
