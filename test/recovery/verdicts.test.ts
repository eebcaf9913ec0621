/** What becomes of one partition when nodes are lost for good, from what the others hold of it. */
import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../src/replica/ports.ts';
import type { Survey, SurveyedDead } from '../../src/recovery/survey.ts';
import { verdictOf, type Beginning, type Verdict } from '../../src/recovery/verdicts.ts';
import { founded, members, replica, survey } from './surveys.ts';

const partition = founded.partition(1 as never)!;
const five = members({ voters: { 1: 'n1', 2: 'n2', 3: 'n3', 4: 'n4', 5: 'n5' } });
const three = members({ voters: { 1: 'n1', 2: 'n2', 3: 'n3' } });

interface Told {
  readonly lost: readonly string[];
  readonly beginnings?: readonly (readonly [string, number])[];
}

function verdict(surveys: readonly Survey[], { lost, beginnings = [] }: Told): Verdict {
  return verdictOf({
    surveys,
    lost: new Set(lost as NodeId[]),
    partition,
    beginnings: new Map(beginnings.map(([nodeId, count]) => [nodeId as NodeId, count])),
  });
}

function beginning(found: Verdict): Beginning {
  if (!('beginning' in found)) throw new Error(`nothing begins: ${found.type}`);
  return found.beginning;
}

/** Where it begins anew, in a word, or what else becomes of it. */
function outcome(found: Verdict): string {
  return 'beginning' in found ? `${found.type} on ${found.beginning.nodeId}` : found.type;
}

describe('whether a majority is left', () => {
  test('two of three can go on, and are not touched', () => {
    const left = ['n1', 'n2'].map((nodeId, i) =>
      survey(nodeId, { replicas: [replica(1, i + 1, { configuration: three })] }),
    );
    expect(outcome(verdict(left, { lost: ['n3'] }))).toBe('alive');
  });

  test('a voter whose node is there and whose data are not is none that is left', () => {
    const left = [survey('n1', { replicas: [replica(1, 1, { configuration: three })] }), survey('n2')];
    expect(outcome(verdict(left, { lost: ['n3'] }))).toBe('anew on n1');
  });

  test('learners are no part of a majority', () => {
    const configuration = members({ voters: { 1: 'n1', 2: 'n2', 3: 'n3' }, learners: { 4: 'n4' } });
    const left = [1, 4].map((id) => survey(`n${id}`, { replicas: [replica(1, id, { configuration })] }));
    expect(outcome(verdict(left, { lost: ['n2', 'n3'] }))).toBe('anew on n1');
  });

  test('within a change of voters both sets need one', () => {
    const joint = members({ voters: { 1: 'n1', 4: 'n4', 5: 'n5' }, outgoing: { 1: 'n1', 2: 'n2', 3: 'n3' } });
    const left = [1, 4, 5].map((id) => survey(`n${id}`, { replicas: [replica(1, id, { configuration: joint })] }));
    expect(outcome(verdict(left, { lost: ['n2', 'n3'] }))).toBe('anew on n1');
  });

  describe('a change of voters that only one replica has heard of, and whose newcomers are lost,', () => {
    const joint = members({ voters: { 1: 'n1', 4: 'n4', 5: 'n5' }, outgoing: { 1: 'n1', 2: 'n2', 3: 'n3' } });
    const ahead = survey('n1', { replicas: [replica(1, 1, { configuration: joint, end: [11, 2] })] });
    const behind = [2, 3].map((id) => survey(`n${id}`, { replicas: [replica(1, id, { configuration: three })] }));

    test('is undone by a majority of those before, which needs no help', () => {
      expect(outcome(verdict([ahead, ...behind], { lost: ['n4', 'n5'] }))).toBe('alive');
    });

    test('stands where the one that has it is needed: it votes for nobody that is behind it', () => {
      expect(outcome(verdict([ahead, ...behind.slice(0, 1)], { lost: ['n3', 'n4', 'n5'] }))).toBe('anew on n1');
    });
  });

  test('one that was left out votes no more, but what it holds is better than nothing', () => {
    const later = members({ voters: { 4: 'n4', 5: 'n5', 6: 'n3' } });
    const removed = replica(1, 1, { configuration: later, removed: true, votes: false });
    const left = [survey('n1', { replicas: [removed] })];
    expect(outcome(verdict(left, { lost: ['n3', 'n4', 'n5'] }))).toBe('anew on n1');
  });

  test('without a majority, and none of the voters named as lost, nothing is done: the lists may be wrong', () => {
    const left = [survey('n1', { replicas: [replica(1, 1, { configuration: three })] })];
    expect(outcome(verdict(left, { lost: ['n5'] }))).toBe('stuck');
  });
});

describe('which replica it begins anew from', () => {
  const lost = ['n3', 'n4', 'n5'];
  const left = (
    one: Parameters<typeof replica>[2]['end'],
    other: Parameters<typeof replica>[2]['end'],
  ): readonly Survey[] => [
    survey('n1', { replicas: [replica(1, 1, { configuration: five, ...(one && { end: one }) })] }),
    survey('n2', { replicas: [replica(1, 2, { configuration: five, ...(other && { end: other }) })] }),
  ];

  test('the one with the longer log', () => {
    expect(outcome(verdict(left([10, 2], [11, 2]), { lost }))).toBe('anew on n2');
    expect(outcome(verdict(left([12, 2], [11, 2]), { lost }))).toBe('anew on n1');
  });

  test('but a later term weighs more than any length: what it lacks was never committed', () => {
    expect(outcome(verdict(left([99, 2], [11, 3]), { lost }))).toBe('anew on n2');
  });

  test('a learner, if it has most', () => {
    const configuration = members({ voters: { 1: 'n1', 3: 'n3', 5: 'n5' }, learners: { 2: 'n2' } });
    const found = [
      survey('n1', { replicas: [replica(1, 1, { configuration, end: [10, 2] })] }),
      survey('n2', { replicas: [replica(1, 2, { configuration, end: [11, 2] })] }),
    ];
    expect(outcome(verdict(found, { lost: ['n3', 'n5'] }))).toBe('anew on n2');
    const equal = found.map((one) => ({
      ...one,
      replicas: one.replicas.map((r) => ({ ...r, lastIndex: 9 as never })),
    }));
    expect(outcome(verdict(equal.toReversed(), { lost: ['n3', 'n5'] })), 'of equal ones, who votes').toBe('anew on n1');
  });

  test('of equal ones the one on the node where fewer begin, so that they share the work', () => {
    expect(outcome(verdict(left([10, 2], [10, 2]), { lost }))).toBe('anew on n1');
    expect(
      outcome(
        verdict(left([10, 2], [10, 2]), {
          lost,
          beginnings: [
            ['n1', 2],
            ['n2', 1],
          ],
        }),
      ),
    ).toBe('anew on n2');
  });
});

describe('as what it begins anew', () => {
  test('one voter with an id, a term and an incarnation that nobody had, right behind its log', () => {
    const found = beginning(
      verdict([survey('n1', { replicas: [replica(1, 1, { configuration: three, end: [10, 7] })] })], {
        lost: ['n2', 'n3'],
      }),
    );
    expect(found).toEqual({
      partition: 1,
      nodeId: 'n1',
      replicaId: 3 + 2 ** 16,
      incarnation: 2,
      index: 11,
      term: 7 + 2 ** 20,
      configuration: members({ voters: { [3 + 2 ** 16]: 'n1' }, incarnation: 2 }),
    });
  });

  test('its id lies above all that any survivor has heard of, dead ones too, and its term above all terms', () => {
    const knowing = members({ voters: { 1: 'n1', 2: 'n2', 3: 'n3' }, max: 9 });
    const dead: SurveyedDead = {
      partition: partition.id,
      through: 12 as never,
      replicaIdMax: 40 as never,
    };
    const surveys = [
      survey('n1', { replicas: [replica(1, 1, { configuration: three, end: [10, 7] })] }),
      survey('n4', { replicas: [replica(1, 8, { configuration: knowing, end: [3, 1], currentTerm: 30 as never })] }),
      survey('n5', { dead: [dead] }),
    ];
    const found = beginning(verdict(surveys, { lost: ['n2', 'n3'] }));
    expect([found.nodeId, found.replicaId, found.term]).toEqual(['n1', 40 + 2 ** 16, 30 + 2 ** 20]);
  });

  test('each time it is another incarnation, whoever remembers the last one', () => {
    const again = members({ voters: { 65539: 'n1' }, incarnation: 2 });
    const found = verdict([survey('n2', { replicas: [replica(1, 2, { configuration: again, votes: false })] })], {
      lost: ['n1'],
    });
    expect(beginning(found)).toMatchObject({ incarnation: 3, configuration: { incarnation: 3 } });
    const told = verdictOf({
      surveys: [survey('n2')],
      lost: new Set(partition.replicas.map(({ nodeId }) => nodeId)),
      partition: { ...partition, incarnation: 4 },
      beginnings: new Map(),
    });
    expect(beginning(told)).toMatchObject({ incarnation: 5, term: 4 * 2 ** 20 });
  });
});

describe('where nothing is left', () => {
  const lost = ['n1', 'n2', 'n3', 'n4', 'n5'];

  test('it begins empty, on the node where fewest begin', () => {
    const left = [survey('n6'), survey('n7')];
    const found = verdict(left, {
      lost,
      beginnings: [
        ['n6', 3],
        ['n7', 1],
      ],
    });
    expect(outcome(found)).toBe('empty on n7');
    expect(beginning(found)).toMatchObject({ index: 1, incarnation: 2, replicaId: 3 + 2 ** 16, term: 2 ** 20 });
  });

  test('but only where those that the map names were named as lost', () => {
    expect(outcome(verdict([survey('n6')], { lost: ['n7'] }))).toBe('stuck');
  });
});
