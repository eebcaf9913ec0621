import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { crc32 } from 'node:zlib';
import type { NodeId } from '../../src/replica/ports.ts';
import { openIdentity, type OpenIdentity } from '../../src/storage/identity.ts';

const nodeId = 'n1' as NodeId;
const matching = (pattern: RegExp): unknown => expect.stringMatching(pattern);
let directory: string;
let identity: OpenIdentity | undefined;

beforeEach(() => {
  directory = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-identity-')), 'data');
});
afterEach(async () => {
  await identity?.close();
  identity = undefined;
  fs.rmSync(path.dirname(directory), { recursive: true });
});

async function start(overrides: { nodeId?: string; clusterName?: string } = {}): Promise<OpenIdentity> {
  await identity?.close();
  identity = undefined;
  identity = await openIdentity({
    directory,
    nodeId: (overrides.nodeId ?? nodeId) as NodeId,
    clusterName: overrides.clusterName ?? 'dev',
  });
  return identity;
}

function stored(): string {
  return fs.readFileSync(path.join(directory, 'identity.json'), 'utf8');
}

/** Rewrites the stored identity with a good checksum. */
function rewrite(change: (content: Record<string, unknown>) => void): void {
  const { content } = JSON.parse(stored()) as { content: Record<string, unknown> };
  change(content);
  fs.writeFileSync(
    path.join(directory, 'identity.json'),
    JSON.stringify({ checksum: crc32(JSON.stringify(content)), content }),
  );
}

describe('identity', () => {
  test('a first start makes a private directory and counts 1', async () => {
    const { incarnation, nonce, ...rest } = (await start()).identity();
    expect(rest).toEqual({ nodeId, clusterName: 'dev', formation: { phase: 'unformed' } });
    expect(incarnation).toBe(1);
    expect(nonce).toMatch(/^[0-9a-f]{32}$/);
    expect(fs.statSync(directory).mode & 0o777).toBe(0o700);
  });

  test('each start counts one higher and draws another nonce, on disk before it is told', async () => {
    const nonces = new Set<string>();
    for (let incarnation = 1; incarnation <= 4; incarnation += 1) {
      const opened = (await start()).identity();
      expect(opened.incarnation).toBe(incarnation);
      expect((JSON.parse(stored()) as { content: unknown }).content).toMatchObject({
        incarnation,
        nonce: opened.nonce,
      });
      nonces.add(opened.nonce);
    }
    expect(nonces.size).toBe(4);
  });

  test('formation and peers are there after a restart, whatever a peer is called', async () => {
    const formed = { phase: 'formed', clusterId: 'c'.repeat(32), founding: '{"nodes":[]}' } as const;
    const opened = await start();
    const peers = ['n2', '__proto__', '1'] as NodeId[];
    opened.saveFormation({ ...formed, phase: 'prepared' });
    for (const [position, peer] of peers.entries())
      opened.savePeer(peer, { incarnation: position + 1, nonce: 'a'.repeat(32) });
    opened.savePeer('n2' as NodeId, { incarnation: 9, nonce: 'b'.repeat(32) });
    opened.saveFormation(formed);
    const again = await start();
    expect(again.identity().formation).toEqual(formed);
    expect(peers.map((peer) => again.peer(peer)?.incarnation)).toEqual([9, 2, 3]);
    expect(again.peer('n3' as NodeId)).toBeUndefined();
  });

  test('another node, another cluster and another format are refused in one line, and nothing is touched', async () => {
    await start();
    await identity?.close();
    identity = undefined;
    const refusals: [() => void, Parameters<typeof start>[0], string, RegExp][] = [
      [() => undefined, { nodeId: 'n2' }, 'wrong_node', /belongs to node n1, not to n2$/],
      [() => undefined, { clusterName: 'prod' }, 'wrong_cluster', /belongs to cluster dev, not to prod$/],
      [
        () => rewrite((content) => (content['formatVersion'] = 1)),
        {},
        'unsupported_format',
        /has format 1, and this program reads format 2$/,
      ],
      [
        () => rewrite((content) => Object.assign(content, { formatVersion: 2, featureLevel: 9 })),
        {},
        'unsupported_format',
        /is at feature level 9, and this program knows 1$/,
      ],
    ];
    for (const [prepare, options, code, message] of refusals) {
      prepare();
      const before = everything(directory);
      await expect(start(options)).rejects.toMatchObject({
        name: 'DataDirectoryError',
        code,
        message: matching(message),
      });
      expect(everything(directory)).toEqual(before);
    }
  });

  test('a second process is kept out, and let in once the first is gone', async () => {
    const first = (await start()).identity();
    const secondProcess = (): string => {
      const program = `
        import { ClassicLevel } from 'classic-level';
        const lock = new ClassicLevel(${JSON.stringify(path.join(directory, 'lock'))});
        await lock.open().then(() => console.log('open'), (error) => console.log(error.cause?.code));
      `;
      return spawnSync(process.execPath, ['--input-type=module', '-e', program], {
        encoding: 'utf8',
        timeout: 10_000,
      }).stdout.trim();
    };
    expect(secondProcess()).toBe('LEVEL_LOCKED');
    await expect(openIdentity({ directory, nodeId, clusterName: 'dev' })).rejects.toMatchObject({
      code: 'locked',
      message: `data directory ${directory} is in use by another process`,
    });
    expect((JSON.parse(stored()) as { content: unknown }).content).toMatchObject(first);
    await identity?.close();
    identity = undefined;
    expect(secondProcess()).toBe('open');
    expect((await start()).identity().incarnation).toBe(2);
  });

  test('a directory that cannot be made is refused at once', async () => {
    fs.writeFileSync(path.join(path.dirname(directory), 'file'), '');
    directory = path.join(path.dirname(directory), 'file', 'data');
    await expect(start()).rejects.toMatchObject({ code: 'not_writable' });
    directory = path.dirname(directory);
  });

  test('a corrupt identity, or none beside data, is damage and not a new node', async () => {
    await start();
    const good = stored();
    for (const position of [3, Math.floor(good.length / 2), good.length - 10]) {
      const bad = `${good.slice(0, position)}${good[position] === '7' ? '8' : '7'}${good.slice(position + 1)}`;
      fs.writeFileSync(path.join(directory, 'identity.json'), bad);
      await expect(start()).rejects.toMatchObject({
        name: 'StorageDamage',
        message: matching(/corrupt$/),
      });
    }
    fs.rmSync(path.join(directory, 'identity.json'));
    fs.mkdirSync(path.join(directory, 'log'));
    await expect(start()).rejects.toMatchObject({
      name: 'StorageDamage',
      message: matching(/is missing/),
    });
  });
});

/** Every file below, with its bytes. */
function everything(root: string): Record<string, string> {
  const files: Record<string, string> = {};
  for (const name of fs.readdirSync(root, { recursive: true }) as string[]) {
    const file = path.join(root, name);
    if (fs.statSync(file).isFile()) files[name] = fs.readFileSync(file, 'latin1');
  }
  return files;
}

test('a directory that can never be made is refused at once, not waited for', async () => {
  const opening = openIdentity({ directory: '/proc/flotilla/n1', nodeId: 'n1' as NodeId, clusterName: 'dev' });
  await expect(opening).rejects.toMatchObject({ name: 'DataDirectoryError', code: 'not_writable' });
});
