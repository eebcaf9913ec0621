/** The judge and changes of members: who counts, who may change them, who was left out. */
import { describe, expect, it } from 'vitest';
import { EntryKind, type Message, type Term } from '../../src/raft/types.ts';
import { JudgeHistory, keyOf, partition, stateAfter, type Told, type ToldMembers } from './judge-history.ts';
import { expectViolation } from './judge-verdict.ts';

const first: readonly Told[] = [
  [1, 1],
  [2, 1, 'a'],
  [3, 1, 'b'],
];
/** Replica 4 is learning. */
const learning: Told = [4, 1, { voters: [1, 2, 3], learners: [4] }];
/** It is to take the place of replica 3. */
const joint: Told = [5, 1, { voters: [1, 2, 4], outgoing: [1, 2, 3], hosts: new Map([[4, 'n4']]) }];
const swapped: Told = [6, 1, { voters: [1, 2, 4] }];

/** Replica 1 leads term 1, has committed three entries, and replica 4 is a learner that holds them all. */
function grown(): JudgeHistory {
  const history = JudgeHistory.replicated();
  history.append(1, 2, 1, { after: [3, 1], entries: [learning], commit: 3 });
  history.come(4);
  history.append(1, 4, 1, { after: [0, 0], entries: [...first, learning], commit: 3 });
  history.save(4, { term: 1, entries: [...first, learning] });
  for (const replica of [1, 2]) history.save(replica, { entries: [learning] });
  for (const replica of [2, 4]) history.success(replica, 1, 1, 4);
  history.heartbeat(1, 2, 1, 4);
  return history;
}

/** The same, and the change is done: replica 3 is left out, which replicas 1, 2 and 4 hold and 3 does not. */
function changed(): JudgeHistory {
  const history = grown();
  history.replicate(1, [2, 4], 1, { after: learning, entries: [joint], commit: 4 });
  history.replicate(1, [2, 4], 1, { after: joint, entries: [swapped], commit: 5 });
  history.append(1, 2, 1, { after: swapped, commit: 6 });
  return history;
}

function appends(history: JudgeHistory, index: number, members: ToldMembers): () => void {
  return () => history.write(1, { entries: [[index, 1, members]] });
}

function removed(history: JudgeHistory, from: number, to: number): void {
  history.send(from, to, { type: 'ReplicaRemoved', term: 1 as Term });
}

const asks: Omit<Extract<Message, { type: 'PreVoteRequest' }>, 'from' | 'to'> = {
  type: 'PreVoteRequest',
  term: 3 as Term,
  lastLogIndex: 0 as never,
  lastLogTerm: 0 as Term,
};

describe('a right history', () => {
  it('passes: a newcomer takes the place of a replica, which is told and destroyed, and its node hosts another', () => {
    const history = changed();
    // The one left out gets the news first, by the log.
    history.append(1, 3, 1, { after: [0, 0], entries: [...first, learning, joint, swapped], commit: 6 });
    history.save(3, { term: 1, entries: [...first, learning, joint, swapped] });
    for (const index of [1, 2, 3]) history.apply(3, index, 1);
    for (const entry of [learning, joint, swapped]) history.applyConfiguration(3, entry);
    removed(history, 1, 3);
    history.destroy(3);
    const again: Told = [7, 1, { voters: [1, 2, 4], learners: [5], hosts: new Map([[5, 'n3']]) }];
    history.replicate(1, [2, 4], 1, { after: swapped, entries: [again], commit: 6 });
    history.come(5, 'n3');
    history.append(1, 5, 1, { after: [0, 0], entries: [...first, learning, joint, swapped, again], commit: 7 });
    history.save(5, { term: 1, entries: [...first, learning, joint, swapped, again] });
    history.success(5, 1, 1, 7);

    // The leader dies. Replica 4 votes now, and a majority of 1, 2 and 4 is enough.
    history.crash(1);
    history.elect(4, 2, [4, 2], again);
    expect(history.judge.committed(partition)).toBe(7);
    expect(history.judge.counts.elections).toBe(2);
  });

  it('passes: a learner gets a snapshot with the configuration that it covers', () => {
    const history = changed();
    for (const index of [1, 2, 3]) history.apply(1, index, 1);
    for (const entry of [learning, joint]) history.applyConfiguration(1, entry);
    history.flush(1, 5);
    history.save(1, { compactThrough: 5 });
    const next: Told = [7, 1, { voters: [1, 2, 4], learners: [5] }];
    history.replicate(1, [2], 1, { after: swapped, entries: [next], commit: 6 });
    history.come(5);
    history.stage(5, [5, 1], joint);
    history.save(5, { term: 1, install: [5, 1] });
    history.success(5, 1, 1, 5);
    history.save(5, { entries: [swapped, next] });
    history.crash(5);
    const disk = { term: 1, entries: [...first, learning, joint, swapped, next], first: 6, state: stateAfter(5, 1) };
    const wrong = [undefined, learning, swapped, [4, 1, joint[2]] as Told, [5, 1, { voters: [1, 2, 3] }] as Told];
    for (const configuration of wrong) {
      expectViolation('stored configuration', 'n5 as replica 5 takes', () =>
        history.restart(5, { ...disk, ...(configuration && { configuration }) }),
      );
    }
    history.restart(5, { ...disk, configuration: joint });
    history.applyConfiguration(5, swapped);
  });

  it('passes: a leader goes back to the configuration before when its change is rolled back', () => {
    const history = grown();
    history.save(1, { entries: [joint] });
    history.elect(2, 2, [2, 3], learning);
    history.save(4, { term: 2 });
    history.replicate(2, [4], 2, { after: learning, entries: [[5, 2]] });
    history.save(1, { term: 2, truncateFrom: 5, entries: [[5, 2]] });
    history.success(1, 2, 2, 5);
    history.elect(1, 3, [1, 3], [5, 2]);
  });

  it('passes: an entry is announced that was counted before the change of members that follows it', () => {
    const history = grown();
    history.replicate(1, [2], 1, { after: learning, entries: [[5, 1, 'c']], commit: 4 });
    const next: Told = [6, 1, { voters: [4], outgoing: [1, 2, 3], hosts: new Map([[4, 'n4']]) }];
    history.save(1, { entries: [next] });
    history.append(1, 3, 1, { after: [5, 1], commit: 5 });
    // What follows the change counts by it: replica 4 alone is one of its two majorities.
    history.save(2, { entries: [next] });
    expectViolation('commit quorum', 'announces 6 of term 1', () =>
      history.append(1, 3, 1, { after: [5, 1], commit: 6 }),
    );
    history.save(4, { entries: [[5, 1, 'c'], next] });
    history.append(1, 3, 1, { after: [5, 1], commit: 6 });
  });

  it('passes: the leader that left itself out goes on until that is committed, and the only voter left follows it', () => {
    const history = new JudgeHistory();
    // It had voted for itself in this term, and lost.
    history.save(2, { term: 1, vote: 2 });
    history.elect(1, 1, [1, 3]);
    history.replicate(1, [2, 3], 1, { after: [0, 0], entries: [[1, 1]] });
    const leaving: Told = [2, 1, { voters: [2], outgoing: [1, 2, 3] }];
    const left: Told = [3, 1, { voters: [2], max: 3 }];
    history.replicate(1, [2, 3], 1, { after: [1, 1], entries: [leaving], commit: 1 });
    history.append(1, 2, 1, { after: leaving, entries: [left, [4, 1, 'more']], commit: 2 });
    history.save(1, { entries: [left] });
    history.save(2, { entries: [left] });
    history.save(2, { entries: [[4, 1, 'more']] });
    history.append(1, 2, 1, { after: left, commit: 3 });
    history.save(2, { term: 2, vote: 2 });
    history.save(2, { entries: [[5, 2]] });
    history.apply(2, 1, 1);
    expect(history.judge.counts.elections).toBe(2);
  });
});

describe('election safety', () => {
  it('within a change both majorities are needed', () => {
    const told: Told = [5, 1, { voters: [4], outgoing: [1, 2, 3] }];
    const after = (): JudgeHistory => {
      const history = grown();
      history.replicate(1, [2, 4], 1, { after: learning, entries: [told], commit: 4 });
      return history;
    };
    const says = 'leads term 2 without a majority';
    expectViolation('election safety', says, () => after().elect(2, 2, [2, 1, 3], told));
    expectViolation('election safety', says, () => after().elect(2, 2, [2, 4], told));
    after().elect(2, 2, [2, 4, 1], told);
  });

  it('votes of learners, and of those left out, count for nothing', () => {
    const says = 'without a majority; durable votes: n2 for n2, n4 as replica 4 for n2; voters [n1, n2, n3]';
    expectViolation('election safety', says, () => grown().elect(2, 2, [2, 4], learning));
    expectViolation('election safety', 'without a majority', () => changed().elect(2, 2, [2, 3], swapped));
    changed().elect(2, 2, [2, 4], swapped);
  });

  it('half of the voters are no majority', () => {
    const four = new JudgeHistory(4);
    expectViolation('election safety', 'without a majority', () => four.elect(1, 1, [1, 2]));
    four.elect(3, 2, [3, 2, 4]);
  });

  it('a learner leads', () => {
    const says = 'n4 as replica 4 leads term 2 and is no voter';
    expectViolation('election safety', says, () => grown().elect(4, 2, [4, 2, 3], learning));
  });
});

describe('commit', () => {
  it('copies on learners count for nothing', () => {
    const history = grown();
    history.replicate(1, [4], 1, { after: learning, entries: [[5, 1, 'c']], commit: 4 });
    const commits = (): void => history.append(1, 2, 1, { after: learning, commit: 5 });
    expectViolation('commit quorum', 'durable only on [n1] of voters [n1, n2, n3]', commits);
    history.save(3, { term: 1, entries: [...first, learning, [5, 1, 'c']] });
    commits();
  });

  it('copies on those left out count for nothing', () => {
    const history = changed();
    history.append(1, 3, 1, { after: [0, 0], entries: [...first, learning, joint, swapped], commit: 6 });
    history.save(3, { term: 1, entries: [...first, learning, joint, swapped] });
    history.replicate(1, [3], 1, { after: swapped, entries: [[7, 1, 'c']], commit: 6 });
    expectViolation('commit quorum', 'durable only on [n1] of voters [n1, n2, n4 as replica 4]', () =>
      history.append(1, 2, 1, { after: swapped, commit: 7 }),
    );
  });

  it('the change itself does not count by the configuration before it', () => {
    const history = grown();
    const next: Told = [5, 1, { voters: [4], outgoing: [1, 2, 3] }];
    history.replicate(1, [2], 1, { after: learning, entries: [next], commit: 4 });
    expectViolation('commit quorum', 'and outgoing [n1, n2, n3]', () =>
      history.append(1, 2, 1, { after: next, commit: 5 }),
    );
  });

  it('within a change both majorities count towards the entry of the term that brings the older ones', () => {
    const history = grown();
    const told: Told = [5, 1, { voters: [4], outgoing: [1, 2, 3] }];
    history.replicate(1, [2, 4], 1, { after: learning, entries: [told], commit: 4 });
    history.elect(2, 2, [2, 4, 1], told);
    history.replicate(2, [4], 2, { after: told, entries: [[6, 2]] });
    const commits = (): void => history.append(2, 3, 2, { after: told, commit: 5 });
    expectViolation('commit quorum', 'announces 5 of term 1 as committed', commits);
    history.save(1, { entries: [[6, 2]] });
    commits();
  });

  it('what follows a change counts in the turn in which the change is committed, and not before', () => {
    const history = grown();
    const told: Told = [5, 1, { voters: [1, 4], outgoing: [1, 2, 3] }];
    const more: Told = [6, 1, 'c'];
    history.replicate(1, [4], 1, { after: learning, entries: [told, more], commit: 4 });
    // Replicas 1 and 4 hold 6, which is enough as soon as 5 is committed: that takes one more of the outgoing ones.
    const commits = (): void => history.append(1, 2, 1, { after: more, commit: 6 });
    expectViolation('commit quorum', 'announces 6 of term 1 as committed', commits);
    history.save(3, { term: 1, entries: [...first, learning, told] });
    commits();
  });

  it('a configuration that came after its leadership makes nothing of it committed', () => {
    const history = grown();
    history.replicate(1, [4], 1, { after: learning, entries: [[5, 1, 'c']], commit: 4 });
    // Had replica 1 appended this one, 4 and itself would be enough.
    history.elect(2, 2, [2, 3], learning);
    expectViolation('applied uncommitted', 'n1, last leader of term 1, applies 5 of term 1 as committed', () => {
      for (const index of [1, 2, 3]) history.apply(1, index, 1);
      history.applyConfiguration(1, learning);
      history.apply(1, 5, 1);
    });
  });
});

describe('joint steps', () => {
  it('voters change at once, or not to what was announced', () => {
    const says = 'n1 has the configuration 5 of term 1: the voters change';
    expectViolation('joint steps', says, appends(grown(), 5, { voters: [1, 2, 4] }));
    expectViolation('joint steps', says, appends(grown(), 5, { voters: [1, 2], max: 4 }));
    const within = (): JudgeHistory => {
      const history = grown();
      history.replicate(1, [2, 4], 1, { after: learning, entries: [joint], commit: 4 });
      return history;
    };
    expectViolation('joint steps', 'the voters change', appends(within(), 6, { voters: [1, 2, 3], max: 4 }));
    expectViolation('joint steps', 'the outgoing voters change', appends(within(), 6, {
      voters: [1, 2, 4],
      outgoing: [1, 2],
    })); // prettier-ignore
    appends(within(), 6, { voters: [1, 2, 4], learners: [3] })();
  });

  it('a joint configuration is not made of the voters before, has none, or has one that was no learner', () => {
    expectViolation('joint steps', 'the outgoing voters are not those before', appends(grown(), 5, {
      voters: [1, 2, 4],
      outgoing: [1, 2],
    })); // prettier-ignore
    expectViolation('joint steps', 'nobody votes', appends(grown(), 5, { voters: [], outgoing: [1, 2, 3], max: 4 }));
    expectViolation('joint steps', 'replica 5 votes and was no learner before', appends(grown(), 5, {
      voters: [1, 2, 5],
      outgoing: [1, 2, 3],
    })); // prettier-ignore
  });

  it('the bytes are no configuration', () => {
    const history = grown();
    const entry = { index: 5, term: 1, kind: EntryKind.configuration, body: Buffer.from([9]) } as never;
    expectViolation('joint steps', 'n1 has entry 5 of term 1, which is no configuration', () =>
      history.judge.appended(keyOf(1), { partition, hardState: undefined, truncateFrom: undefined, entries: [entry] }),
    );
  });
});

describe('when a leader may change the members', () => {
  it('one change at a time', () => {
    const history = grown();
    history.save(1, { entries: [[5, 1, { voters: [1, 2, 3], max: 4 }]] });
    const next = appends(history, 6, { voters: [1, 2, 3], learners: [5] });
    expectViolation('one change at a time', 'n1 appends the configuration 6 of term 1, and the one before, 5', next);
    history.save(2, { entries: [[5, 1, { voters: [1, 2, 3], max: 4 }]] });
    next();
  });

  it('not in one message with the change before', () => {
    const history = grown();
    expectViolation('one change at a time', 'the configuration 6', () =>
      history.append(1, 2, 1, { after: learning, entries: [joint, swapped], commit: 4 }),
    );
  });

  it('only by the leader of the term', () => {
    const history = grown();
    history.save(3, { term: 1, entries: [...first, learning] });
    expectViolation('change without a committed entry in the term', 'n3 appends the configuration 5 of term 1', () =>
      history.write(3, { entries: [[5, 1, { voters: [1, 2, 3], max: 4 }]] }),
    );
  });

  it('not before an entry of its own term is committed', () => {
    const history = grown();
    history.elect(2, 2, [2, 3], learning);
    const change: Told = [6, 2, { voters: [1, 2, 3], max: 4 }];
    const says = 'n2 appends the configuration 6 of term 2';
    history.save(2, { entries: [[5, 2]] });
    const append = (): void => history.append(2, 3, 2, { after: [5, 2], entries: [change] });
    expectViolation('change without a committed entry in the term', says, append);
    history.save(3, { entries: [...first, learning, [5, 2]] });
    append();
    const silent = grown();
    silent.save(2, { term: 2, vote: 2 });
    expectViolation('change without a committed entry in the term', 'n2 appends', () =>
      silent.save(2, { entries: [[5, 2, { voters: [1, 2, 3], max: 4 }]] }),
    );
  });
});

describe('replica ids', () => {
  it('a configuration takes an id that was given, forgets that, or moves a replica', () => {
    const says = 'replica 3 is new, and ids up to 4 were given';
    expectViolation('replica ids', says, appends(changed(), 7, { voters: [1, 2, 4], learners: [3] }));
    expectViolation('replica ids', 'the highest replica id goes back from 4 to 3', appends(grown(), 5, {
      voters: [1, 2, 3],
    })); // prettier-ignore
    expectViolation('replica ids', 'replica 4 moves from n4 to n9', appends(grown(), 5, {
      voters: [1, 2, 3],
      learners: [4],
      hosts: new Map([[4, 'n9']]),
    })); // prettier-ignore
  });

  it('a replica comes into being under an id that is taken, was never given, or beside another', () => {
    const moved = grown();
    expectViolation('replica ids', 'replica 4 comes into being on n9 and lives on n4', () => moved.come(4, 'n9'));
    const jumped = new JudgeHistory();
    appends(JudgeHistory.replicated(), 4, { voters: [1, 2, 3], learners: [4], max: 9 });
    jumped.elect(1, 1, [1, 2]);
    jumped.replicate(1, [2], 1, { after: [0, 0], entries: [[1, 1]] });
    appends(jumped, 2, { voters: [1, 2, 3], max: 9 })();
    expectViolation('replica ids', 'replica 7 comes into being on n7, and that id was given to nobody', () =>
      jumped.come(7),
    );
    jumped.come(10);
    const beside = grown();
    expectViolation('replica ids', 'n3 starts replica 5 of a partition beside its replica 3', () =>
      beside.come(5, 'n3'),
    );
    beside.crash(3);
    beside.come(5, 'n3');
  });
});

describe('whoever was left out', () => {
  /** Replica 3 has all, and knows that it was left out, but for the last step. */
  function told(): JudgeHistory {
    const history = changed();
    history.append(1, 3, 1, { after: [0, 0], entries: [...first, learning, joint, swapped], commit: 6 });
    history.save(3, { term: 1, entries: [...first, learning, joint, swapped] });
    for (const index of [1, 2, 3]) history.apply(3, index, 1);
    for (const entry of [learning, joint]) history.applyConfiguration(3, entry);
    return history;
  }

  it('may lead by the votes of the others alone, as long as it need not know; not behind a later change', () => {
    told().elect(3, 2, [3, 1, 4], swapped);
    expectViolation('election safety', 'without a majority', () => told().elect(3, 2, [3, 1], swapped));

    const later: Told = [7, 1, { voters: [1, 2, 4], learners: [5], hosts: new Map([[5, 'n5']]) }];
    const behind = told();
    behind.replicate(1, [2, 4], 1, { after: swapped, entries: [later], commit: 6 });
    behind.append(1, 3, 1, { after: swapped, entries: [later], commit: 6 });
    behind.save(3, { entries: [later] });
    expectViolation('election safety', 'n3 leads term 2 and is no voter', () => behind.elect(3, 2, [3, 1, 4], later));
  });

  it('votes or campaigns though it has applied that', () => {
    const history = told();
    const votes = (vote: number) => () => history.write(3, { term: 3, vote });
    const campaigns = (): void => history.send(3, 1, asks);
    campaigns();
    history.save(3, { term: 2, vote: 2 });
    history.applyConfiguration(3, swapped);
    expectViolation('removed replica speaks', 'n3 votes for n2 in term 3', votes(2));
    expectViolation('removed replica speaks', 'n3 votes for n3 in term 3', votes(3));
    expectViolation('removed replica speaks', 'n3 campaigns', campaigns);
    // A vote that was given before is one, and a later term is nobody's secret.
    history.save(3, { term: 2, vote: 2 });
    history.save(3, { term: 3 });

    // Only what its disk remembers: once its state went back, and once it did not.
    const disk = { entries: [...first, learning, joint, swapped] };
    history.crash(3);
    history.restart(3, { ...disk, term: 3, state: stateAfter(5, 1), configuration: joint });
    history.save(3, { term: 3, vote: 2 });
    history.crash(3);
    history.restart(3, { ...disk, term: 3, vote: 2, state: stateAfter(6, 1), configuration: swapped });
    expectViolation('removed replica speaks', 'n3 votes for n2 in term 4', () =>
      history.write(3, { term: 4, vote: 2 }),
    );
  });

  it('learns it from a snapshot', () => {
    const history = changed();
    for (const index of [1, 2, 3]) history.apply(1, index, 1);
    for (const entry of [learning, joint, swapped]) history.applyConfiguration(1, entry);
    history.stage(3, [6, 1], swapped);
    history.save(3, { install: [6, 1], term: 1 });
    expectViolation('removed replica speaks', 'n3 votes for n2', () => history.write(3, { term: 2, vote: 2 }));
  });

  it('may vote before it has applied that', () => {
    told().save(3, { term: 2, vote: 2 });
  });

  it('a newcomer has not been left out by what was before it', () => {
    const history = grown();
    const earlier: Told = [5, 1, { voters: [1, 2, 3], max: 4 }];
    history.replicate(1, [2], 1, { after: learning, entries: [earlier], commit: 4 });
    const later: Told = [6, 1, { voters: [1, 2, 3], learners: [5] }];
    history.replicate(1, [2], 1, { after: earlier, entries: [later], commit: 5 });
    history.come(5);
    history.append(1, 5, 1, { after: [0, 0], entries: [...first, learning, earlier, later], commit: 6 });
    history.save(5, { term: 1, entries: [...first, learning, earlier, later] });
    for (const index of [1, 2, 3]) history.apply(5, index, 1);
    for (const entry of [learning, earlier]) history.applyConfiguration(5, entry);
    history.save(5, { term: 2, vote: 2 });
  });

  it('is told so before that is committed, or never was left out', () => {
    const history = grown();
    history.replicate(1, [2, 4], 1, { after: learning, entries: [joint], commit: 4 });
    history.append(1, 2, 1, { after: joint, entries: [swapped], commit: 5 });
    history.save(1, { entries: [swapped] });
    const tells = (): void => removed(history, 1, 3);
    expectViolation('told removed falsely', 'n1 tells n3 that it was left out, which is not committed', tells);
    expectViolation('told removed falsely', 'n1 tells n2', () => removed(history, 1, 2));
    expectViolation('told removed falsely', 'n1 tells a replica that never was', () => removed(history, 1, 8));
    // The leader alone knows that a majority holds it now.
    history.save(4, { entries: [swapped] });
    tells();
    history.destroy(3);
  });

  it('is destroyed before that is committed', () => {
    const says = 'n3 is destroyed, and no committed configuration leaves it out: voters [n1, n2, n3]';
    expectViolation('destroyed too early', says, () => grown().destroy(3));
    changed().destroy(3);
  });

  it('was destroyed, and does not come back empty', () => {
    const history = grown();
    history.save(3, { term: 1, entries: first });
    history.replicate(1, [2, 4], 1, { after: learning, entries: [joint], commit: 4 });
    history.replicate(1, [2, 4], 1, { after: joint, entries: [swapped], commit: 5 });
    history.append(1, 2, 1, { after: swapped, commit: 6 });
    history.destroy(3);
    expectViolation('durable term and vote', 'n3 came back with term 0', () => history.restart(3, {}));
    history.restart(3, { term: 1, entries: first });
  });
});

describe('stored configuration', () => {
  it('is not the one of the entry, or is one for an entry that brings none', () => {
    const reached = (): JudgeHistory => {
      const history = grown();
      for (const index of [1, 2, 3]) history.apply(1, index, 1);
      return history;
    };
    const says = 'n1 takes the founding configuration for the one after 4 of term 1, and that of 4 of term 1 is';
    expectViolation('stored configuration', says, () => reached().apply(1, 4, 1));
    expectViolation('stored configuration', 'or its content differs', () =>
      reached().applyConfiguration(1, [4, 1, { voters: [1, 2, 3] }]),
    );
    reached().applyConfiguration(1, learning);
    expectViolation('stored configuration', 'n2 stores one with 1 of term 1, which brings none', () =>
      reached().applyConfiguration(2, [1, 1, { voters: [1] }]),
    );
  });

  it('of a snapshot is not the one that it covers', () => {
    const history = grown();
    for (const index of [1, 2, 3]) history.apply(1, index, 1);
    history.applyConfiguration(1, learning);
    for (const [point, configuration] of [[[4, 1]], [[3, 1], learning]] as const) {
      expectViolation('stored configuration', 'n3 takes', () => history.stage(3, point, configuration));
    }
    history.stage(3, [4, 1], learning);
    history.stage(3, [3, 1]);
  });
});

describe('transfer to a lagging target', () => {
  const transfer = (history: JudgeHistory, to: number) => () =>
    history.send(1, to, { type: 'TimeoutNow', term: 1 as Term });

  it('one that lacks an entry, or has it in memory only, or does not vote', () => {
    const history = grown();
    transfer(history, 2)();
    const rule = 'transfer to a lagging target';
    expectViolation(rule, 'n1 hands the leadership of term 1 to n3, which does not hold 4', transfer(history, 3));
    expectViolation(rule, 'n4 as replica 4, which does not vote', transfer(history, 4));
    expectViolation(rule, 'replica 9, which does not vote', transfer(history, 9));
    history.append(1, 2, 1, { after: learning, entries: [[5, 1, 'c']], commit: 4 });
    history.save(1, { entries: [[5, 1, 'c']] });
    const write = history.write(2, { entries: [[5, 1, 'c']] });
    expectViolation(rule, 'n2, which does not hold 5 of term 1 durably', transfer(history, 2));
    history.durable(2, write);
    transfer(history, 2)();
  });

  it('by one that does not lead', () => {
    expectViolation('election safety', 'n1 and n2 both lead in term 1', () =>
      grown().send(2, 1, { type: 'TimeoutNow', term: 1 as Term }),
    );
  });
});

describe('quiesce', () => {
  it('somebody lacks an entry, a learner perhaps, or it is not committed', () => {
    const history = grown();
    const quiesces = (commit: number) => () => history.heartbeat(1, 2, 1, commit, true);
    expectViolation('quiesce', 'with its log at 4 of term 1, which n3 does not hold durably', quiesces(4));
    history.save(3, { term: 1, entries: [...first, learning] });
    expectViolation('quiesce', 'and names 3 as committed', quiesces(3));
    quiesces(4)();
    history.append(1, 2, 1, { after: learning, entries: [[5, 1, 'c']], commit: 4 });
    history.save(1, { entries: [[5, 1, 'c']] });
    expectViolation('quiesce', 'and names 4 as committed', quiesces(4));
    for (const replica of [2, 3]) history.save(replica, { entries: [[5, 1, 'c']] });
    expectViolation('quiesce', 'which n4 as replica 4 does not hold durably', quiesces(5));
    history.save(4, { entries: [[5, 1, 'c']] });
    quiesces(5)();
  });
});
