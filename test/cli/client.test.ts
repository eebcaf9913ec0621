/** The commands that speak to a cluster, as a user runs them. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '../../src/testing/cluster.ts';
import { freePorts } from '../../src/testing/ports.ts';
import { ok, startStub, type StubNode } from '../client/stub-node.ts';

const program = fileURLToPath(new URL('../../dist/flotilla.js', import.meta.url));
let cluster: TestCluster;
let server: string;
beforeAll(async () => {
  cluster = await startCluster({ nodes: 3, partitions: 6 });
  server = new URL(cluster.nodes[1]!.url).host;
});
afterAll(() => cluster.close());

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly bytes: Buffer;
}

interface RunOptions {
  readonly server?: string;
  readonly input?: string | Uint8Array;
  /** Stops reading what it prints after the first piece. */
  readonly likeHead?: boolean;
}

function flotilla(words: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const env = { ...process.env, FLOTILLA_SERVER: options.server ?? server };
  const child = spawn(process.execPath, [program, ...words], { env, stdio: ['pipe', 'pipe', 'pipe'] });
  const out: Buffer[] = [];
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    out.push(chunk);
    if (options.likeHead === true) child.stdout.destroy();
  });
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  // The command may end without reading it.
  child.stdin.on('error', () => undefined).end(options.input);
  return new Promise((resolve) => {
    child.on('close', (code) => {
      const bytes = Buffer.concat(out);
      resolve({ code, stdout: bytes.toString(), stderr, bytes });
    });
  });
}

const done = { code: 0, stderr: '' };

describe('put, get and del', () => {
  it('store, print and delete a value', async () => {
    const created = await flotilla(['put', 'greeting', 'hello', '--ttl', '1h']);
    expect(created).toMatchObject(done);
    expect(created.stdout).toMatch(/^created, ETag "1-\d+", expires \d{4}-\d\d-\d\dT[\d:.]+Z\n$/);
    expect(await flotilla(['put', 'greeting', '-5'])).toMatchObject(done);
    expect(await flotilla(['get', 'greeting'])).toMatchObject({ ...done, stdout: '-5' });
    expect(await flotilla(['del', 'greeting'])).toMatchObject({ ...done, stdout: 'deleted\n' });
    const absent = { code: 3, stdout: '', stderr: 'flotilla: nothing is stored under "greeting"\n' };
    expect(await flotilla(['get', 'greeting'])).toMatchObject(absent);
    expect(await flotilla(['del', 'greeting'])).toMatchObject(absent);
  });

  it('take any bytes from standard input and give them back', async () => {
    const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7) & 0xff);
    expect(await flotilla(['put', 'binary/👍', '-', '--content-type', 'image/png'], { input: bytes })).toMatchObject(
      done,
    );
    const read = await flotilla(['get', 'binary/👍']);
    expect(read).toMatchObject(done);
    expect(read.bytes.equals(bytes)).toBe(true);
    const json = await flotilla(['get', 'binary/👍', '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject({
      key: 'binary/👍',
      valueBase64: Buffer.from(bytes).toString('base64'),
      contentType: 'image/png',
    });
  });

  it('take keys that are not easily sent', async () => {
    const keys = ['a/b', '..', ' #?%2F', '__proto__'];
    await Promise.all(keys.map(async (key) => expect(await flotilla(['put', key, `at ${key}`])).toMatchObject(done)));
    const read = await Promise.all(keys.map((key) => flotilla(['get', key])));
    expect(read.map(({ stdout }) => stdout)).toEqual(keys.map((key) => `at ${key}`));
  });

  it('hold to conditions, and say by the exit code when they do not hold', async () => {
    const first = await flotilla(['put', 'guarded', 'one', '--if-none-match', '*', '--json']);
    const { etag, created } = JSON.parse(first.stdout) as { etag: string; created: boolean };
    expect(created).toBe(true);
    const [again, other] = await Promise.all([
      flotilla(['put', 'guarded', 'two', '--if-none-match', '*']),
      flotilla(['del', 'guarded', '--if-match', '"1-1"']),
    ]);
    const stderr = `flotilla: The condition does not hold: the key's ETag is ${etag}. Read it again and decide anew.\n`;
    expect([again, other]).toMatchObject(Array(2).fill({ code: 4, stdout: '', stderr }));
    expect(await flotilla(['put', 'guarded', 'two', '--if-match', etag])).toMatchObject(done);
  });
});

describe('a stale get', () => {
  it('prints the value, and on stderr how old it may be', async () => {
    await flotilla(['put', 'stale', 'one']);
    const stale = () => flotilla(['get', 'stale', '--stale']);
    await expect.poll(stale).toMatchObject({ code: 0, stdout: 'one' });
    expect((await stale()).stderr).toMatch(/^flotilla: as of \d+ ms ago\n$/);
    const json = JSON.parse((await flotilla(['get', 'stale', '--stale', '--json'])).stdout) as object;
    expect(json).toMatchObject({ value: 'one', stalenessMs: expect.any(Number) as number });
  });
});

describe('scan of a cluster', () => {
  it('lists what is stored under a prefix', async () => {
    await Promise.all(['b', 'c', 'a'].map((key) => flotilla(['put', `listed/${key}`, `of ${key}`])));
    const [keys, values] = await Promise.all([
      flotilla(['scan', 'listed/']),
      flotilla(['scan', 'listed/', '--values', '--reverse', '--limit', '2']),
    ]);
    expect(keys).toMatchObject({ ...done, stdout: 'listed/a\nlisted/b\nlisted/c\n' });
    expect(values).toMatchObject({ ...done, stdout: 'listed/c\tof c\nlisted/b\tof b\n' });
    expect(await flotilla(['scan', 'nothing/here'])).toMatchObject({ ...done, stdout: '' });
  });
});

describe('status', () => {
  it('shows the nodes', async () => {
    const { code, stdout } = await flotilla(['status', '--server', cluster.nodes[2]!.url], { server: '127.0.0.1:1' });
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^cluster \S+: 3 of 3 nodes up, 6 partitions$/);
    expect(lines.slice(2).map((line) => line.trim().split(/ +/).slice(0, 3))).toEqual(
      cluster.nodes.map(({ nodeId, url }) => [nodeId, 'up', url]),
    );
    const json = JSON.parse((await flotilla(['status', '--json'])).stdout) as { partitions: unknown[] };
    expect(json.partitions).toHaveLength(6);
  });
});

describe('wrong usage', () => {
  it.each([
    [['put', 'only-a-key'], "flotilla: missing required argument 'value'"],
    [['get'], "flotilla: missing required argument 'key'"],
    [['get', ''], 'flotilla: The key is empty; keys have at least one byte.'],
    [['put', 'k', 'v', '--ttl', 'soon'], 'flotilla: "soon" is no time to live.'],
    [['get', 'k', '--timeout', 'soon'], "flotilla: option '--timeout <time>' argument 'soon' is invalid."],
    [
      ['get', 'k', '--server', 'https://x'],
      'flotilla: The server "https://x" is not spoken to: nodes speak plain HTTP',
    ],
    [['scan', '--values', '--keys-only'], 'flotilla: --values prints what --keys-only does not fetch'],
  ])('is exit code 2 and one line: %o', async (words, message) => {
    const { code, stdout, stderr } = await flotilla(words);
    expect({ code, stdout, lines: stderr.trimEnd().split('\n').length }).toEqual({ code: 2, stdout: '', lines: 1 });
    expect(stderr.startsWith(message)).toBe(true);
  });
});

describe('a cluster that can not be reached', () => {
  it('is exit code 5, at once, with what to do', async () => {
    const [port] = await freePorts(1);
    const ran = await flotilla(['get', 'k'], { server: `localhost:${port}` });
    expect(ran).toMatchObject({ code: 5, stdout: '' });
    expect(ran.stderr).toBe(
      `flotilla: No node can be reached (localhost:${port}: connection refused). Check the addresses and that a node ` +
        'runs there. Name another with --server or FLOTILLA_SERVER.\n',
    );
  });

  it('is exit code 5 when nothing is answered in time, and says that a write may be applied', async () => {
    const frozen = await startStub(() => 'never');
    const ran = await flotilla(['put', 'k', 'v', '--timeout', '100ms'], { server: frozen.url });
    await frozen.close();
    expect(ran.code).toBe(5);
    expect(ran.stderr).toMatch(
      /^flotilla: No answer came .* The write may be applied, now or later; read it to find out.\n$/,
    );
  });
});

describe('scan', () => {
  let stub: StubNode;
  beforeAll(async () => {
    const items = ['a', 'b'].map((key) => ({ key, value: `v-${key}`, revision: 1, etag: '"1-1"' }));
    const odd = { keyBase64: '/w==', valueBase64: 'AP8=', revision: 2, etag: '"1-2"' };
    stub = await startStub(({ url }) =>
      url.searchParams.get('prefix') === 'endless'
        ? ok({ items: Array.from({ length: 1000 }, () => items[0]), cursor: 'more' })
        : ok({ items: [...items, odd] }),
    );
  });
  afterAll(() => stub.close());
  const scan = (...words: string[]): Promise<Ran> => flotilla(['scan', ...words], { server: stub.url });

  it('prints keys, one a line, or with their values, or as JSON', async () => {
    const [keys, values, json] = await Promise.all([scan(), scan('v', '--values'), scan('--json', '--limit', '2')]);
    expect(keys.bytes).toEqual(Buffer.concat([Buffer.from('a\nb\n'), Buffer.of(0xff, 0x0a)]));
    expect(values.bytes).toEqual(Buffer.concat([Buffer.from('a\tv-a\nb\tv-b\n'), Buffer.of(0xff, 9, 0, 0xff, 0x0a)]));
    expect(
      json.stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([
      { key: 'a', value: 'v-a', revision: 1, etag: '"1-1"' },
      { key: 'b', value: 'v-b', revision: 1, etag: '"1-1"' },
    ]);
    const queries = stub.requests.map(({ url }) => url.search).toSorted();
    expect(queries).toEqual(['?keys_only=true&limit=1000', '?limit=2', '?prefix=v&limit=100'].toSorted());
  });

  it('ends quietly when nobody reads on', async () => {
    const ran = await flotilla(['scan', 'endless'], { server: stub.url, likeHead: true });
    expect(ran).toMatchObject(done);
  });
});
