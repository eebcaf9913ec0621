/** What was begun anew by hand is told at each start, which must come to its end whatever the file has become. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { tellOfRecoveries } from '../../src/node/recoveries.ts';
import { isStored } from '../../src/recovery/survivor.ts';
import {
  appendAudit,
  auditFile,
  readAudit,
  unfinishedRecovery,
  type RecoveryBegun,
} from '../../src/storage/recovery-audit.ts';

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-audit-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

const begun: RecoveryBegun = {
  event: 'begun',
  at: '2026-12-01T12:00:00.000Z',
  decision: '1b2c',
  cluster: 'flotilla',
  clusterId: '00ff',
  node: 'n1',
  user: 'root',
  host: 'here',
  confirmed: 'typed',
  lost: [{ nodeId: 'n2', stay: 3 }],
  partitions: [
    { partition: 1, from: undefined, to: { replicaId: 9, incarnation: 2, term: 7, index: 40 }, givenUp: [] },
  ],
};

test('a line that a crash has cut short says nothing, and the next one is whole', () => {
  appendAudit(directory, begun);
  fs.appendFileSync(auditFile(directory), '{"event":"do');
  appendAudit(directory, { event: 'done', at: begun.at, decision: begun.decision });
  expect(readAudit(directory).map(({ event }) => event)).toEqual(['begun', 'done']);
  expect(unfinishedRecovery(directory)).toBeUndefined();
});

test('whichever bit of it has turned, whoever reads it comes to an end', () => {
  appendAudit(directory, begun);
  const written = fs.readFileSync(auditFile(directory));
  let told = 0;
  for (let bit = 0; bit < written.length * 8; bit += 3) {
    const turned = Buffer.from(written);
    turned[bit >> 3]! ^= 1 << (bit & 7);
    fs.writeFileSync(auditFile(directory), turned);
    tellOfRecoveries(directory, { warn: () => void (told += 1) });
    for (const record of readAudit(directory)) if (record.event === 'begun') isStored(record, []);
  }
  // Most turned bits are within names and numbers.
  expect(told).toBeGreaterThan(written.length);
});
