/** Changes of the metadata group's records: all of them, and only on what was read. */
import { expect, test } from 'vitest';
import type { MetadataRecord } from '../../../src/cluster/metadata/records.ts';
import { MetadataWriter, type RecordChange } from '../../../src/cluster/metadata/writer.ts';
import type { LocalOutcome } from '../../../src/cluster/types.ts';
import { hint } from '../router-world.ts';
import { MetadataWorld } from './metadata-world.ts';
import { id, moveRecord, nodeRecord, partitionRecord } from './samples.ts';

const node: MetadataRecord = { type: 'node', record: nodeRecord('n4') };
const move: MetadataRecord = { type: 'move', record: moveRecord(1, ['n1', 'n4']) };
const partition: MetadataRecord = { type: 'partition', record: partitionRecord(1, 2, ['n1', 'n4']) };

function put(record: MetadataRecord, revision: number): RecordChange {
  return { type: 'put', record, revision };
}

function write(world: MetadataWorld, ...changes: readonly RecordChange[]) {
  return world.writer.write(changes, 5000);
}

test('what is not there yet is written once: the second to come has lost', async () => {
  const world = new MetadataWorld();
  expect(await write(world, put(node, 0))).toBe('written');
  const drained: MetadataRecord = { type: 'node', record: nodeRecord('n4', { standing: 'draining' }) };
  expect(await write(world, put(drained, 0))).toBe('lost');
  expect(world.state.nodes.get(node.record.nodeId)).toEqual({ record: node.record, revision: 1 });
});

test('what has changed since it was read is not written over, and not deleted', async () => {
  const world = new MetadataWorld();
  await write(world, put(move, 0));
  const read = world.revisionOf(move);
  const retargeted: MetadataRecord = { type: 'move', record: moveRecord(1, ['n2', 'n4']) };
  expect(await write(world, put(retargeted, read))).toBe('written');
  expect(await write(world, put(move, read))).toBe('lost');
  expect(await write(world, { type: 'delete', record: move, revision: read })).toBe('lost');
  expect(world.state.moves.get(id(1))?.record).toEqual(retargeted.record);
  expect(await write(world, { type: 'delete', record: move, revision: world.revisionOf(move) })).toBe('written');
  expect(world.state.moves.size).toBe(0);
});

test('what is gone since it was read is not written anew', async () => {
  const world = new MetadataWorld();
  await write(world, put(move, 0));
  const read = world.revisionOf(move);
  await write(world, { type: 'delete', record: move, revision: read });
  expect(await write(world, put(move, read))).toBe('lost');
  expect(world.state.moves.size).toBe(0);
});

test('several changes are one: either all are made, or none', async () => {
  const world = new MetadataWorld();
  await write(world, put(move, 0));
  const read = world.revisionOf(move);
  expect(await write(world, put(partition, 7), { type: 'delete', record: move, revision: read })).toBe('lost');
  expect([world.state.partitions.size, world.state.moves.size]).toEqual([0, 1]);
  expect(await write(world, put(partition, 0), { type: 'delete', record: move, revision: read + 9 })).toBe('lost');
  expect([world.state.partitions.size, world.state.moves.size]).toEqual([0, 1]);
  expect(await write(world, put(partition, 0), { type: 'delete', record: move, revision: read })).toBe('written');
  expect([world.state.partitions.size, world.state.moves.size]).toEqual([1, 0]);
});

test('no changes at all are written without a word', async () => {
  const world = new MetadataWorld();
  world.leader = hint('n2', 2);
  expect(await write(world)).toBe('written');
});

const outcomes: readonly LocalOutcome[] = [
  { type: 'not_leader', partition: id(0), hint: hint('n2', 2) },
  { type: 'overloaded', partition: id(0), detail: '', retryAfterMs: 0 },
  { type: 'unknown', partition: id(0), detail: '' },
  { type: 'shutting_down' },
];
test.each(outcomes)('$type: lost, as nobody knows what came of it', async (outcome) => {
  const asked: unknown[] = [];
  const writer = new MetadataWriter({
    execute: (partition, { type }, deadlineAt) => {
      asked.push([partition, type, deadlineAt]);
      return Promise.resolve(outcome);
    },
  });
  expect(await writer.write([put(node, 0)], 1234)).toBe('lost');
  expect(asked).toEqual([[id(0), 'write', 1234]]);
});
