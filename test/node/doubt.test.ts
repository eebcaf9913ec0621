/** Whom a node asks to be let in by whose own data directory can't be believed, and until when it is not ready. */
import { describe, expect, test } from 'vitest';
import { canonicalFounding } from '../../src/cluster/founding.ts';
import { LiveMap } from '../../src/cluster/live-map.ts';
import { encodeMapChange } from '../../src/cluster/metadata/records.ts';
import { buildPartitionMap } from '../../src/cluster/partition-map.ts';
import { addressesOfOthers, irreplaceable } from '../../src/node/doubt.ts';
import { Rebuilding } from '../../src/node/rebuilding.ts';
import type { NodeId } from '../../src/replica/ports.ts';
import { newIdentity, SimIdentity } from '../../src/sim/disk-identity.ts';
import { StorageDamage } from '../../src/storage/damage.ts';
import { bootstrap } from '../cluster/founders.ts';
import { nodeRecord, ofNodes, ofPartitions, partitionRecord } from '../cluster/metadata/samples.ts';
import type { RebuildNote } from '../../src/storage/set-aside.ts';

const n1 = 'n1' as NodeId;
const founders = bootstrap(3);
const [, second, third] = founders.nodes.map(({ http }) => http);
const config = { nodeId: 'n1', bootstrap: founders, join: undefined };

function identityOf(replicationFactor = 3): SimIdentity {
  const founding = canonicalFounding({ ...founders, replicationFactor });
  return new SimIdentity({
    self: { nodeId: n1, clusterName: 'demo', nonce: 'mine' },
    stored: { ...newIdentity, formation: { phase: 'formed', clusterId: 'c'.repeat(32), founding } },
    save: () => undefined,
  });
}

describe('a node in doubt asks to be let in by', () => {
  test('the members that its disk knows, those who came later first, and the founders', () => {
    const identity = identityOf();
    identity.saveMap(encodeMapChange(ofNodes([nodeRecord('n4'), 9], [nodeRecord('n2', { standing: 'removed' }), 10])));
    const known = addressesOfOthers({ config: { ...config, bootstrap: undefined }, identity, joinAt: undefined });
    expect(known).toContain(nodeRecord('n4').http);
    expect(known).toContain(third);
  });

  test('those whom its configuration names, when its disk says nothing', () => {
    expect(addressesOfOthers({ config, identity: undefined, joinAt: undefined })).toEqual([second, third]);
    const join = { ...config, bootstrap: undefined, join: ['http://a:1'] };
    expect(addressesOfOthers({ config: join, identity: undefined, joinAt: ['http://b:1'] })).toEqual([
      'http://b:1',
      'http://a:1',
    ]);
  });

  test('those, too, when it is the map that is damaged', () => {
    const identity = { identity: () => identityOf().identity(), map: () => throwDamage() };
    expect(addressesOfOthers({ config, identity, joinAt: undefined })).toEqual([second, third]);
  });

  test('nobody, where each partition has a single replica: what is there is all that is left', () => {
    expect(addressesOfOthers({ config, identity: identityOf(1), joinAt: undefined })).toEqual([]);
    expect(irreplaceable('/data/n1', { kind: 'damaged', reason: 'a table is corrupt' })).toMatch(
      /^a table is corrupt; data directory \/data\/n1 was left as it is, as no other node holds what is in it/,
    );
  });
});

describe('a node that is filled again', () => {
  const damaged: RebuildNote = {
    kind: 'damaged',
    reason: 'a table is corrupt',
    movedTo: '/data/n1.damaged',
    sinceMs: 7,
  };
  const empty: RebuildNote = { kind: 'empty', reason: 'it came with an empty data directory', sinceMs: 7 };

  function world(note = damaged): { map: LiveMap; rebuilding: Rebuilding; told: string[] } {
    const map = new LiveMap(buildPartitionMap(founders));
    map.take(ofNodes([nodeRecord('n1', { standing: 'joining' }), 2]));
    const [one] = map.partitions;
    map.take(ofPartitions([partitionRecord(one?.id ?? 1, 2, ['n2', 'n3']), 3]));
    const told: string[] = [];
    const logger = { info: (...said: unknown[]) => void told.push(String(said.at(-1))) };
    const onWhole = (): void => void told.push('forgotten');
    const rebuilding = new Rebuilding({ map, nodeId: n1, replicationFactor: 3, note, logger, onWhole });
    return { map, rebuilding, told };
  }

  test('is not ready, and says why: until it is let in, and until nothing lacks a replica', () => {
    const { map, rebuilding, told } = world();
    expect(rebuilding.reason()).toBe(
      'the node is filled again, as its disk could not be believed (a table is corrupt): it is being let in',
    );
    map.take(ofNodes([nodeRecord('n1'), 4]));
    expect(rebuilding.reason()).toMatch(/: partitions 1 lack a replica$/);
    expect(told).toEqual([]);
    map.take(ofPartitions([partitionRecord(1, 3, ['n1', 'n2', 'n3']), 5]));
    expect(rebuilding.reason()).toBeUndefined();
    expect(told).toEqual([
      'forgotten',
      'the node is whole again: what was set aside is not needed any more, and may be deleted',
    ]);
  });

  test('is no more ready when it came with an empty directory: of what it had held nobody has a copy yet', () => {
    const { map, rebuilding, told } = world(empty);
    map.take(ofNodes([nodeRecord('n1'), 4]));
    expect(rebuilding.reason()).toBe(
      'the node is filled as it came with an empty data directory: partitions 1 lack a replica',
    );
    map.take(ofPartitions([partitionRecord(1, 3, ['n1', 'n2', 'n3']), 5]));
    expect(rebuilding.reason()).toBeUndefined();
    expect(told).toEqual(['forgotten', 'the node is whole']);
  });

  test('stays whole, whatever moves later', () => {
    const { map, rebuilding, told } = world();
    map.take(ofNodes([nodeRecord('n1'), 4]));
    map.take(ofPartitions([partitionRecord(1, 3, ['n1', 'n2', 'n3']), 5]));
    map.take(ofPartitions([partitionRecord(1, 4, ['n1', 'n2']), 6]));
    expect(rebuilding.reason()).toBeUndefined();
    expect(told).toHaveLength(2);
  });
});

function throwDamage(): never {
  throw new StorageDamage('map.json is corrupt');
}
