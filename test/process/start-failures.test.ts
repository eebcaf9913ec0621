/** A node that can't start says why in one line, and exits. Real processes; every one is stopped by its own. */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePorts } from '../../src/testing/ports.ts';
import { run, said, start, type Running } from '../cli/program.ts';

let root: string;
let ports: number[];
/** A one-node store that runs meanwhile, and holds its ports and its directory. */
let running: Running;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'flotilla-start-'));
  ports = await freePorts(4);
  running = start(['start', ...at(0, 1), '--data', join(root, 'held')]);
  await running.prints(/^ready .*\n/m);
});
afterAll(async () => {
  running.child.kill('SIGKILL');
  await running.finished;
  rmSync(root, { recursive: true });
});

const at = (http: number, peer: number): string[] => [
  '--port',
  String(ports[http]),
  '--peer-port',
  String(ports[peer]),
];
const inside = (name: string): string[] => ['--data', join(root, name)];

async function refusal(words: readonly string[]): Promise<{ readonly code: number | null; readonly lines: string[] }> {
  const { code, stdout, stderr } = await run(['start', ...words]);
  expect(stdout).toBe('');
  return { code, lines: said(stderr).map((line) => line.replaceAll(root, '')) };
}

describe('a node refuses to start', () => {
  it('when its HTTP port is taken, naming listener and port', async () => {
    const { code, lines } = await refusal([...at(0, 3), ...inside('http-taken')]);
    expect(lines).toEqual([
      expect.stringMatching(new RegExp(`^flotilla: .*HTTP listener.*:${ports[0]}: the port is in use$`)),
    ]);
    expect(code).toBe(1);
  });

  it('when its peer port is taken, naming listener and port', async () => {
    const { code, lines } = await refusal([...at(2, 1), ...inside('peer-taken')]);
    expect(lines).toEqual([
      expect.stringMatching(new RegExp(`^flotilla: peer listener.*:${ports[1]}: the port is in use$`)),
    ]);
    expect(code).toBe(1);
  });

  it('when another process uses its data directory', async () => {
    const { code, lines } = await refusal([...at(2, 3), ...inside('held')]);
    expect(lines).toEqual(['flotilla: data directory /held is in use by another process']);
    expect(code).toBe(1);
  });

  it("when its data directory can't be made", async () => {
    writeFileSync(join(root, 'file'), 'not a directory');
    const { code, lines } = await refusal([...at(2, 3), ...inside('file/n1')]);
    expect(lines).toEqual([expect.stringMatching(/^flotilla: data directory \/file\/n1 can't be used: ENOTDIR/)]);
    expect(code).toBe(1);
  });

  it('when the data belongs to another node or another cluster, naming both', async () => {
    const other = await refusal([...at(2, 3), ...inside('held'), '--node-id', 'n2']);
    expect(other).toEqual({ code: 1, lines: ['flotilla: data directory /held belongs to node n1, not to n2'] });
    const elsewhere = await refusal([...at(2, 3), ...inside('held'), '--set', 'clusterName=other']);
    expect(elsewhere).toEqual({
      code: 1,
      lines: ['flotilla: data directory /held belongs to cluster dev, not to other'],
    });
  });

  it('when the format on disk is another, naming both and touching nothing', async () => {
    const newer = start(['start', ...at(2, 3), ...inside('newer')]);
    await newer.prints(/^ready/m);
    newer.child.kill('SIGTERM');
    expect((await newer.finished).code).toBe(0);
    const file = join(root, 'newer', 'identity.json');
    const { content } = JSON.parse(readFileSync(file, 'utf8')) as { content: object };
    const changed = { ...content, formatVersion: 99 };
    writeFileSync(file, JSON.stringify({ checksum: crc32(JSON.stringify(changed)), content: changed }));
    const before = readFileSync(file, 'utf8');
    const { code, lines } = await refusal([...at(2, 3), ...inside('newer')]);
    expect(lines).toEqual(['flotilla: data directory /newer has format 99, and this program reads format 2']);
    expect(code).toBe(1);
    expect(readFileSync(file, 'utf8')).toBe(before);
  });

  it('when the configuration is wrong, naming the key', async () => {
    const { code, lines } = await refusal(['--port', '70000', '--set', 'raft.tikMs=5', '--set', 'insecure=maybe']);
    expect(lines).toEqual([
      'flotilla: bad configuration: raft.tikMs (--set): no such key, did you mean raft.tickMs?',
      'flotilla: bad configuration: insecure (--set): expected true or false, found "maybe"',
      'flotilla: bad configuration: http.port (--port): expected a whole number from 1 to 65535, found 70000',
    ]);
    expect(code).toBe(2);
  });

  it.each([[['--bogus']], [['--set', 'raft.tickMs']], [['--join']], [['surplus']]])(
    'when it is called wrongly: %s',
    async (words) => {
      const { code, lines } = await refusal(words);
      expect(lines).toEqual([expect.stringMatching(/^flotilla: /)]);
      expect(code).toBe(2);
    },
  );
});

describe('a node that was started', () => {
  it('prints one line on stdout, and only logs on stderr', async () => {
    expect(running.stdout()).toBe(`ready nodeId=n1 http=http://127.0.0.1:${ports[0]}\n`);
    expect(said(running.stderr())).toEqual([]);
    expect(running.stderr()).toContain('a one-node store: replication factor 1');
  });

  it('survives whoever read its output', async () => {
    const node = start(['start', ...at(2, 3), ...inside('unread'), '--set', 'logLevel=debug']);
    await node.prints(/^ready/m);
    node.child.stdout?.destroy();
    node.child.stderr?.destroy();
    const response = await fetch(`http://127.0.0.1:${ports[2]}/v1/kv/key`, { method: 'PUT', body: 'value' });
    expect(response.status).toBe(201);
    const ended = new Promise((resolve) => node.child.once('exit', resolve));
    node.child.kill('SIGTERM'); // Logs, too.
    expect(await ended).toBe(0);
  });

  it('finishes what is under way when asked to stop, and stops at once when asked again', async () => {
    const node = start(['start', ...at(2, 3), ...inside('stopping'), '--set', 'limits.drainTimeoutMs=30000']);
    await node.prints(/^ready/m);
    // A body that never comes keeps the node from finishing.
    const socket = connect(ports[2] ?? 0, '127.0.0.1');
    socket.on('error', () => undefined); // The node ends before it answers.
    socket.write('PUT /v1/kv/key HTTP/1.1\r\nHost: node\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n');
    await once(socket, 'data');
    node.child.kill('SIGTERM');
    const asks = setInterval(() => node.child.kill('SIGTERM'), 600);
    expect((await node.finished).code).toBe(143);
    clearInterval(asks);
    socket.destroy();
  });
});
