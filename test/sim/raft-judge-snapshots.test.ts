/** The judge and what replicas forget: the beginning of a log, or all of it in favour of a snapshot. */
import { describe, expect, it } from 'vitest';
import type { LogReader } from '../../src/raft/types.ts';
import { JudgeHistory, keyOf, partition, stateAfter, type Told } from './judge-history.ts';
import { expectViolation } from './judge-verdict.ts';

const first: readonly Told[] = [
  [1, 1],
  [2, 1, 'a'],
  [3, 1, 'b'],
];
const voted = { term: 1, vote: 1 };

/** All three entries are committed; replica 1 has applied them, and its state is durable up to 2. */
function applied(): JudgeHistory {
  const history = JudgeHistory.replicated();
  history.heartbeat(1, 2, 1, 3);
  for (const index of [1, 2, 3]) history.apply(1, index, 1);
  history.flush(1, 2);
  return history;
}

/** Replica 1 has forgotten its log up to 2; replica 3 is to get a snapshot, and has entries that never were committed. */
function behind(): JudgeHistory {
  const history = applied();
  history.save(1, { compactThrough: 2 });
  history.save(3, { term: 1, entries: [[1, 0], [2, 0]] }); // prettier-ignore
  return history;
}

describe('a right history', () => {
  it('passes: a log is compacted, a follower gets a snapshot, both crash and go on', () => {
    const history = behind();
    history.append(1, 2, 1, { after: [2, 1], entries: [[3, 1, 'b']], commit: 3 });
    history.stage(3, [2, 1]);
    const install = history.write(3, { install: [2, 1], entries: [[3, 1, 'b']] });
    history.apply(3, 3, 1);
    history.durable(3, install);
    history.success(3, 1, 1, 3);
    history.heartbeat(1, 3, 1, 3);
    history.replicate(1, [3], 1, { after: [3, 1], entries: [[4, 1, 'c']], commit: 3 });
    history.crash(3);
    const disk = { term: 1, entries: [...first, [4, 1, 'c'] as Told] };
    history.restart(3, { ...disk, first: 3, state: stateAfter(3, 1) });
    history.apply(1, 4, 1);
    history.heartbeat(1, 3, 1, 4);
    history.apply(3, 4, 1);
    history.crash(1);
    history.restart(1, { ...disk, ...voted, first: 3, state: stateAfter(3, 1) });
    history.apply(1, 4, 1);
    expect(history.judge.committed(partition)).toBe(4);
  });

  it('passes: a snapshot replaces a log that ends where it does', () => {
    const history = applied();
    history.save(3, { term: 1, entries: first });
    history.stage(3, [3, 1]);
    history.save(3, { install: [3, 1] });
    history.success(3, 1, 1, 3);
  });

  it('passes: a crash undoes a compaction that was under way, or does not', () => {
    for (const left of [1, 3]) {
      const history = applied();
      history.write(1, { compactThrough: 2 });
      history.crash(1);
      history.restart(1, { ...voted, entries: first, first: left, state: stateAfter(2, 1) });
    }
  });

  it('passes: a crash undoes an install that was under way, with all that was applied after it, or does not', () => {
    const installing = (): JudgeHistory => {
      const history = behind();
      history.stage(3, [2, 1]);
      history.write(3, { install: [2, 1], entries: [[3, 1, 'b']] });
      history.apply(3, 3, 1);
      history.crash(3);
      return history;
    };
    const old = { term: 1, entries: [[1, 0], [2, 0]] as Told[] }; // prettier-ignore
    const whole = { term: 1, entries: first, first: 3 };
    const undone = installing();
    undone.restart(3, old);
    undone.stage(3, [2, 1]);
    undone.save(3, { install: [2, 1] });
    installing().restart(3, { ...whole, state: stateAfter(2, 1) });
    installing().restart(3, { ...whole, state: stateAfter(3, 1) });
    // Never a mixture: the old log with the new state, the new log with the old one, or the half of either.
    const gone = 'had applied no more than 0';
    expectViolation('recovered state', gone, () => installing().restart(3, { ...old, state: stateAfter(2, 1) }));
    expectViolation('recovered state', 'its log begins at 3', () => installing().restart(3, whole));
    expectViolation('durable log', '1 writes under way', () => installing().restart(3, { ...old, first: 4 }));
    expectViolation('durable log', '1 writes under way', () => installing().restart(3, { ...whole, first: 1 }));
  });
});

describe('compaction', () => {
  it('goes beyond what is committed, applied, or durable as state', () => {
    const committed = JudgeHistory.replicated();
    const forgets = (history: JudgeHistory, compactThrough: number) => () => history.save(1, { compactThrough });
    expectViolation('compaction', 'n1 forgets its log up to 1, and 0 is committed', forgets(committed, 1));
    committed.heartbeat(1, 2, 1, 3);
    committed.apply(1, 1, 1);
    expectViolation('compaction', 'up to 2, and has applied 1', forgets(committed, 2));
    expectViolation('compaction', 'up to 3, and its state is durable up to 2', forgets(applied(), 3));
    forgets(applied(), 2)();
    const flushed = applied();
    flushed.flush(1, 3);
    forgets(flushed, 3)();
  });

  it('state is called durable that was never there', () => {
    expectViolation('recovered state', 'n1 calls its state after 4 durable', () => applied().flush(1, 4));
  });

  it('a leader sends what follows an entry that it has forgotten', () => {
    const history = behind();
    history.append(1, 3, 1, { after: [2, 1], commit: 3 });
    expectViolation('compaction', 'names 1 of term 1 and sends what follows, but its log begins at 3', () =>
      history.append(1, 3, 1, { after: [1, 1], entries: [[2, 1, 'a']] }),
    );
  });

  it('comes undone once it was durable, or took more than it was told', () => {
    for (const left of [1, 2, 4]) {
      const history = behind();
      history.crash(1);
      expectViolation('recovered state', `the log ${left > 1 ? `from ${left} ` : ''}up to 3 of term 1; `, () =>
        history.restart(1, { ...voted, entries: first, first: left, state: stateAfter(3, 1) }),
      );
    }
  });

  it('leaves a gap behind, or another term before the first entry', () => {
    const crashed = (): JudgeHistory => {
      const history = applied();
      history.flush(1, 3);
      history.save(1, { compactThrough: 1 });
      history.crash(1);
      return history;
    };
    const log: LogReader = {
      firstIndex: () => 2 as never,
      lastIndex: () => 3 as never,
      term: () => 1 as never,
      entries: () => [{ index: 3, term: 1, kind: 1, body: Buffer.from('b') } as never],
    };
    const hardState = { currentTerm: 1, votedFor: 1 } as never;
    expectViolation('durable log', 'holds entry 3 of term 1', () =>
      crashed().judge.started(keyOf(1), { hardState, log, machineState: stateAfter(3, 1) }),
    );
    expectViolation('durable log', 'names 9 for 1, the last entry that it forgot', () =>
      crashed().restart(1, { ...voted, entries: [[1, 9], ...first.slice(1)], first: 2, state: stateAfter(3, 1) }),
    );
  });

  it('the state goes back behind the beginning of the log, or behind what was durable', () => {
    const crashed = (): JudgeHistory => {
      const history = behind();
      history.flush(1, 3);
      history.crash(1);
      return history;
    };
    const disk = { ...voted, entries: first, first: 3 };
    expectViolation('recovered state', 'the state after 1, and its log begins at 3', () =>
      crashed().restart(1, { ...disk, state: stateAfter(1, 1) }),
    );
    expectViolation('recovered state', 'the state after 2, and the state after 3 was durable', () =>
      crashed().restart(1, { ...disk, state: stateAfter(2, 1) }),
    );
    // A damaged disk may have gone back, and its node finds out by itself; it must not go on from there.
    const damaged = crashed();
    damaged.restart(1, { ...disk, state: stateAfter(1, 1) }, true);
    expectViolation('applied in order', 'n1 applies 2 of term 1, its log begins at 3', () => damaged.apply(1, 2, 1));
  });
});

describe('snapshot point', () => {
  it('a snapshot of what is not committed', () => {
    const history = JudgeHistory.replicated();
    expectViolation('snapshot point', 'n3 is given a snapshot up to 2 of term 1, and only 0 is committed', () =>
      history.stage(3, [2, 1]),
    );
    expectViolation('snapshot point', 'up to 2 of term 0, and 2 of term 1 is committed', () =>
      behind().stage(3, [2, 0]),
    );
  });

  it('an install of what is not staged, not any more, or not that', () => {
    const install = (history: JudgeHistory) => () => history.write(3, { install: [2, 1] });
    const nothing = 'n3 installs a snapshot up to 2 of term 1, of which nothing is staged';
    const history = behind();
    expectViolation('snapshot point', nothing, install(history));
    history.stage(3, [3, 1]);
    expectViolation('snapshot point', 'and 3 of term 1 is what is staged', install(history));
    history.stage(3, [2, 1]);
    history.judge.snapshotDropped(keyOf(3));
    expectViolation('snapshot point', nothing, install(history));
    history.stage(3, [2, 1]);
    history.crash(3);
    history.restart(3, { term: 1, entries: [[1, 0], [2, 0]] }); // prettier-ignore
    expectViolation('snapshot point', nothing, install(history));
    history.stage(3, [2, 1]);
    install(history)();
  });

  it('an install that takes its replica back, or nowhere', () => {
    for (const index of [1, 2]) {
      const history = applied();
      history.apply(2, 1, 1);
      history.apply(2, 2, 1);
      history.stage(2, [index, 1]);
      expectViolation('snapshot point', `up to ${index} of term 1, and has applied 2`, () =>
        history.write(2, { install: [index, 1] }),
      );
    }
  });

  it('an install drops what follows it in a log that holds it', () => {
    const history = applied();
    history.save(3, { term: 1, entries: first });
    history.stage(3, [2, 1]);
    expectViolation('snapshot point', 'which it holds, and drops what follows in its log up to 3 of term 1', () =>
      history.write(3, { install: [2, 1] }),
    );
  });

  it('replica applies on from it, not before it', () => {
    const history = behind();
    history.stage(3, [2, 1]);
    history.save(3, { install: [2, 1], entries: [[3, 1, 'b']] });
    expectViolation('applied in order', 'n3 applies 2 after 2', () => history.apply(3, 2, 1));
    history.apply(3, 3, 1);
  });

  it('the state is not the one that others had there', () => {
    expectViolation('state machine safety', 'after applying 2, bytes is 7 on n3 and 0 on n1', () =>
      behind().judge.snapshotStaged(keyOf(3), { ...stateAfter(2, 1), bytes: 7 }, undefined),
    );
  });
});

describe('an install, by the rules that are older than it', () => {
  it('drops what the leader was told', () => {
    const history = applied();
    history.stage(2, [2, 1]);
    expectViolation('acknowledged entry lost', 'n2 installs a snapshot up to 2 of term 1 and truncates from 3', () =>
      history.write(2, { install: [2, 1] }),
    );
  });

  it('drops what a leader has in its log', () => {
    const history = JudgeHistory.replicated();
    history.heartbeat(1, 2, 1, 3);
    for (const index of [1, 2, 3]) history.apply(2, index, 1);
    history.stage(1, [2, 1]);
    expectViolation('leader append-only', 'n1 leads term 1 and removes entries 3 to 3', () =>
      history.write(1, { install: [2, 1] }),
    );
  });

  it('is spoken of before it is durable', () => {
    const history = behind();
    history.stage(3, [2, 1]);
    const write = history.write(3, { install: [2, 1] });
    const success = (): void => history.success(3, 1, 1, 2);
    expectViolation('spoke too early', 'n3 says in term 1 that it holds 2; only what comes up to 0', success);
    history.durable(3, write);
    success();
  });

  it('leaves entries that do not follow it', () => {
    const history = behind();
    history.stage(3, [2, 1]);
    expectViolation('log matching', 'n3 appends 4 of term 1 right after 2 of term 1', () =>
      history.write(3, { install: [2, 1], entries: [[4, 1, 'c']] }),
    );
  });
});
