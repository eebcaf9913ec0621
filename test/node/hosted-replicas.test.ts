/** What a write is refused for before its body is read: only where it would be refused here for certain. */
import { expect, test } from 'vitest';
import type { LiveMap } from '../../src/cluster/live-map.ts';
import { Facade, type FacadeOptions } from '../../src/node/facade.ts';
import { HostedReplicas } from '../../src/node/hosted-replicas.ts';
import type { WriteAdmission } from '../../src/node/write-admission.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import type { Replica } from '../../src/replica/replica.ts';

const nodeId = 'n1' as NodeId;
const [led, followed, elsewhere] = [1, 2, 3] as PartitionId[] as [PartitionId, PartitionId, PartitionId];

function node() {
  const admission = { isFull: true, waitMs: 119.2, reason: () => '40 writes wait' };
  const hosted = new HostedReplicas(nodeId, admission as unknown as WriteAdmission);
  for (const [partition, leads] of [
    [led, true],
    [followed, false],
  ] as const) {
    hosted.add({ partition, leads } as unknown as Replica);
  }
  let asked = led;
  const facade = new Facade({
    admission,
    host: hosted,
    map: { partitionOf: () => ({ id: asked }) } as unknown as LiveMap,
    identity: { identity: () => ({ nodeId }) },
    watches: { stop: () => undefined },
  } as unknown as FacadeOptions);
  const refusal = (partition: PartitionId) => {
    asked = partition;
    return facade.refusal(Buffer.from('key'));
  };
  return { admission, facade, refusal };
}

test('a full node refuses what it leads, and says for how long', () => {
  const { refusal } = node();
  const overloaded = { type: 'overloaded', partition: led, detail: '40 writes wait', retryAfterMs: 120 };
  expect(refusal(led)).toEqual(overloaded);
});

test('who is led elsewhere is to hear that, and of no queue here', () => {
  const { refusal } = node();
  expect([refusal(followed), refusal(elsewhere)]).toEqual([undefined, undefined]);
});

test('a node that is not full refuses nothing', () => {
  const { admission, refusal } = node();
  admission.isFull = false;
  expect(refusal(led)).toBeUndefined();
});

test('a node that is shutting down says that, full or not', () => {
  const { admission, facade, refusal } = node();
  facade.shutDown();
  expect(refusal(led)).toEqual({ type: 'shutting_down' });
  admission.isFull = false;
  expect(refusal(led)).toEqual({ type: 'shutting_down' });
});
