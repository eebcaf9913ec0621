/** Five founders, four partitions on three each. What is decided when some of the five are lost, and what the metadata group is to say then. */
import { describe, expect, test } from 'vitest';
import { LiveMap } from '../../src/cluster/live-map.ts';
import { decodeRecord, type MapChange } from '../../src/cluster/metadata/records.ts';
import { memberNodes } from '../../src/cluster/partition-map.ts';
import { decodeCommand } from '../../src/kv/command.ts';
import { revisionOf } from '../../src/kv/revision.ts';
import type { NodeId } from '../../src/replica/ports.ts';
import { decide, type Decision } from '../../src/recovery/decide.ts';
import { decodeSurvey, encodeSurvey } from '../../src/recovery/survey-file.ts';
import type { Survey } from '../../src/recovery/survey.ts';
import {
  asFounded,
  founded,
  members,
  names,
  nodeRecord,
  noRecords,
  partitionRecord,
  replica,
  survey,
} from './surveys.ts';

function left(...nodeIds: readonly string[]): readonly Survey[] {
  return nodeIds.map((nodeId) => survey(nodeId, { replicas: asFounded(nodeId) }));
}

function decided(surveys: readonly Survey[], lost: readonly string[]): Decision {
  const found = decide(surveys, lost as NodeId[]);
  if (found.type === 'refused') throw new Error(found.problems.join('; '));
  return found;
}

function problems(surveys: readonly Survey[], lost: readonly string[]): readonly string[] {
  const found = decide(surveys, lost as NodeId[]);
  return found.type === 'refused' ? found.problems : [];
}

/** Of three of its founders two are lost. */
const [twoOf, third] = (() => {
  const nodes = founded.metadata.replicas.map(({ nodeId }) => nodeId);
  return [nodes.slice(0, 2), nodes[2] as string];
})();
const others = names.filter((nodeId) => !twoOf.includes(nodeId));

describe('who has to be heard', () => {
  test('every member is lost or surveyed: what nobody has looked at may be alive', () => {
    expect(problems(left('n1', 'n2'), ['n3', 'n4'])).toEqual([
      'n5 is a member, and neither named as lost nor surveyed: name it with --lost, or survey it with --plan <file> and give that to --plans',
    ]);
    expect(problems(left('n1', 'n2'), ['n3', 'n4', 'n5'])).toEqual([]);
  });

  test('by the newest map that any survivor has: who came later counts, who was removed does not, and who waits holds nothing', () => {
    const map: MapChange = {
      nodes: [
        { record: nodeRecord('n5', { standing: 'removed' }), revision: 3 },
        { record: nodeRecord('n6'), revision: 4 },
        { record: nodeRecord('n7', { standing: 'joining', nonce: 'x' }), revision: 5 },
      ],
      partitions: [],
    };
    const [first, second] = left('n1', 'n2') as [Survey, Survey];
    expect(problems([first, { ...second, map }], ['n3', 'n4'])).toEqual([expect.stringContaining('n6 is a member')]);
    expect(problems([first, { ...second, map }], ['n3', 'n4', 'n6'])).toEqual([]);
    expect(problems([first, { ...second, map }, survey('n5')], ['n3', 'n4', 'n6'])).toEqual([
      'n5 is no member of the cluster any more: what it holds is of no use',
    ]);
  });

  test.each([
    ['nobody is lost', left('n1', 'n2', 'n3', 'n4', 'n5'), [], 'no node is named as lost'],
    ['a lost one is there', left('n1', 'n2'), ['n2', 'n3', 'n4', 'n5'], 'n2 is named as lost, and its data are there'],
    ['nobody knows it', left('n1'), ['n2', 'n3', 'n4', 'n5', 'n9'], 'n9 is named as lost, and is no member'],
    ['one comes twice', left('n1', 'n1'), ['n2', 'n3', 'n4', 'n5'], 'there are two surveys of n1'],
    [
      'another cluster',
      [...left('n1'), survey('n2', { clusterId: 'd'.repeat(32) })],
      ['n3', 'n4', 'n5'],
      `n2 belongs to cluster ${'d'.repeat(32)}, n1 to ${'c'.repeat(32)}`,
    ],
  ])('%s: refused', (_what, surveys, lost, problem) => {
    expect(problems(surveys, lost)).toContainEqual(expect.stringContaining(problem));
  });
});

describe('what is decided', () => {
  test('is the same wherever it is worked out, and has another name when anything differs', () => {
    const surveys = left(...others);
    const one = decided(surveys, twoOf);
    const carried = surveys.map((each) => decodeSurvey(encodeSurvey(each)) as Survey);
    expect(decided(carried.toReversed(), twoOf.toReversed())).toEqual(one);
    const longer = surveys.map((each) =>
      each.nodeId === third ? survey(third, { replicas: asFounded(third, [11, 2]) }) : each,
    );
    expect(decided(longer, twoOf).name).not.toBe(one.name);
  });

  test('only for partitions that have no majority, each from its last replica', () => {
    const { verdicts } = decided(left(...others), twoOf);
    for (const { partition, type } of verdicts) {
      const { replicas } = founded.partition(partition)!;
      const remaining = replicas.filter(({ nodeId }) => others.includes(nodeId)).length;
      expect(type, `partition ${partition}`).toBe(remaining >= 2 ? 'alive' : 'anew');
    }
    expect(verdicts[0]).toMatchObject({ type: 'anew', beginning: { nodeId: third } });
    expect(verdicts.map(({ type }) => type)).toContain('alive');
  });

  test('those who are given up can come back with no start that anyone has seen', () => {
    const seen = [{ nodeId: twoOf[0] as NodeId, stay: 2 }];
    const map = { nodes: [{ record: nodeRecord(twoOf[1] as string, { stay: 1 }), revision: 2 }], partitions: [] };
    const surveys = left(...others).map((one, i) => (i === 0 ? { ...one, seen, map } : one));
    expect(decided(surveys, twoOf).lost).toEqual(
      [
        { nodeId: twoOf[0], stay: 2 },
        { nodeId: twoOf[1], stay: 1 },
      ].toSorted((a, b) => (a.nodeId ?? '').localeCompare(b.nodeId ?? '')),
    );
  });
});

describe('the directory', () => {
  /** What the entries say, as they will be applied: each record with the revision that it will have. */
  function written({ directory, beginnings }: Decision): readonly (readonly [string, number])[] {
    const { incarnation, index } = beginnings[0]!;
    expect(directory?.entries.map((entry) => entry.index)).toEqual(directory?.entries.map((_, i) => index + 1 + i));
    return (directory?.entries ?? []).flatMap((entry) => {
      const { stamp, command } = decodeCommand(Buffer.from(entry.body));
      expect(stamp).toMatchObject({ rangeEpoch: 1, incarnation });
      const items = command.type === 'batch' ? command.items : [];
      return items.map(({ operation }) => {
        if (operation.type !== 'put') throw new Error('only records are put');
        const record = decodeRecord(operation.key, operation.value);
        expect(record).toBeDefined();
        return [JSON.stringify(record?.record), revisionOf(incarnation, entry.index)] as const;
      });
    });
  }

  function mapAfter(decision: Decision): LiveMap {
    const map = new LiveMap(founded);
    map.take(decision.map);
    return map;
  }

  test('removes the lost ones, and has each partition that began anew where it began', () => {
    const decision = decided(left(...others), twoOf);
    const map = mapAfter(decision);
    expect(memberNodes(map).map(({ nodeId }) => nodeId)).toEqual(others);
    for (const { partition, nodeId, replicaId } of decision.beginnings) {
      expect(map.partition(partition)).toMatchObject({
        replicas: [{ nodeId, replicaId }],
        epoch: 2,
        incarnation: 2,
        preferredLeader: nodeId,
      });
    }
    const alive = decision.verdicts.find(({ type }) => type === 'alive')!;
    expect(map.partition(alive.partition)).toEqual(founded.partition(alive.partition));
  });

  test('is known to all survivors as the group itself will have it, so that nobody takes it for old', () => {
    const decision = decided(left(...others), twoOf);
    const { nodes, partitions } = decision.directory!.change;
    const known = [...nodes, ...partitions].map(({ record, revision }) => [JSON.stringify(record), revision]);
    expect(written(decision)).toEqual(known);
    expect(Math.min(...known.map(([, revision]) => revision as number))).toBeGreaterThan(2 ** 44);
  });

  test('says again what survivors have heard of it behind the end of what is left of its log', () => {
    const heard: MapChange = {
      nodes: [
        { record: nodeRecord('n6', { standing: 'removed' }), revision: 9 },
        { record: nodeRecord('n7', { standing: 'removed' }), revision: 11 },
      ],
      partitions: [{ record: partitionRecord(4, { 1: 'n1', 8: 'n2', 9: 'n3' }, 5), revision: 12 }],
    };
    const surveys = left(...others).map((one, i) => (i === 0 ? { ...one, map: heard } : one));
    const said = written(decided(surveys, twoOf)).map(([text]) => text);
    expect(said.some((text) => text.includes('"n6"'))).toBe(false);
    expect(said.some((text) => text.includes('"n7"'))).toBe(true);
    expect(said.some((text) => text.startsWith('{"id":4,'))).toBe(true);
  });

  test('has the members of a group by its own log, where that is not what was written down', () => {
    const configuration = members({ voters: { 7: others[0]!, 8: others[1]!, 9: others[2]! } });
    const moved = others.map((nodeId, i) =>
      survey(nodeId, {
        replicas: [
          ...asFounded(nodeId).filter(({ partition }) => partition !== 4),
          replica(4, 7 + i, { configuration }),
        ],
      }),
    );
    const found = mapAfter(decided(moved, twoOf)).partition(4 as never);
    expect(found?.replicas.map(({ nodeId }) => nodeId)).toEqual(others);
    expect(found?.epoch).toBe(2);
  });

  test('is not touched where its group has a majority: only that may write to it', () => {
    const lost = names.filter((nodeId) => !founded.metadata.replicas.some((one) => one.nodeId === nodeId));
    const surveys = left(...names.filter((nodeId) => !lost.includes(nodeId)));
    const decision = decided(surveys, lost);
    expect(decision.directory).toBeUndefined();
    expect(decision.map).toEqual(noRecords);
  });

  test('is written down whole where nothing of its group is left', () => {
    const lost = founded.metadata.replicas.map(({ nodeId }) => nodeId);
    const heard: MapChange = {
      nodes: [{ record: nodeRecord('n6', { standing: 'removed' }), revision: 2 }],
      partitions: [],
    };
    const surveys = left(...names.filter((nodeId) => !lost.includes(nodeId))).map((one) => ({ ...one, map: heard }));
    const decision = decided(surveys, lost);
    expect(decision.verdicts[0]).toMatchObject({ type: 'empty', beginning: { index: 1 } });
    const said = written(decision).map(([text]) => text);
    expect(said.some((text) => text.includes('"n6"'))).toBe(true);
    expect(memberNodes(mapAfter(decision)).map(({ nodeId }) => nodeId)).toEqual(names.filter((n) => !lost.includes(n)));
  });

  test('of thousands of partitions goes in several entries, none of them large', () => {
    const decision = decided(left(...others), twoOf);
    expect(decision.directory?.entries).toHaveLength(1);
    const many: MapChange = {
      nodes: Array.from({ length: 600 }, (_, i) => ({
        record: nodeRecord(`x${i}`, { standing: 'removed' }),
        revision: 100,
      })),
      partitions: [],
    };
    const large = decided(
      left(...others).map((one) => ({ ...one, map: many })),
      twoOf,
    );
    expect(large.directory?.entries).toHaveLength(3);
    expect(written(large).length).toBeGreaterThan(600);
  });
});

describe('a survey as a file', () => {
  test('comes back whole', () => {
    const configuration = members({ voters: { 1: 'n1', 2: 'n2' }, learners: { 3: 'n3' }, incarnation: 3 });
    const whole = survey('n1', {
      map: {
        nodes: [{ record: nodeRecord('n2'), revision: 4 }],
        partitions: [{ record: partitionRecord(1, { 1: 'n1' }), revision: 5 }],
      },
      seen: [{ nodeId: 'n2' as NodeId, stay: 4 }],
      replicas: [replica(1, 1, { configuration })],
      dead: [{ partition: 2 as never, through: 3 as never, replicaIdMax: 4 as never }],
    });
    expect(decodeSurvey(encodeSurvey(whole))).toEqual(whole);
  });

  test('is refused when it is none, or was cut', () => {
    const text = encodeSurvey(left('n1')[0]!);
    expect(decodeSurvey('')).toBeUndefined();
    expect(decodeSurvey(text.slice(0, -10))).toBeUndefined();
    expect(decodeSurvey(text.replace('"surveyVersion": 1', '"surveyVersion": 2'))).toBeUndefined();
    for (const field of Object.keys(JSON.parse(text) as object)) {
      const { [field]: _, ...rest } = JSON.parse(text) as Record<string, unknown>;
      expect(decodeSurvey(JSON.stringify(rest)), field).toBeUndefined();
    }
  });
});
