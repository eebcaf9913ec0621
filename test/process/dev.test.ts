/** What a newcomer sees: the block, what happens when a leader is killed, and that nothing stays behind. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freePorts } from '../../src/testing/ports.ts';
import { run, said, start, type Running } from '../cli/program.ts';

let temporary: string;
let port: number;
let dev: Running | undefined;
let joined: Running | undefined;
beforeEach(async () => {
  temporary = mkdtempSync(join(tmpdir(), 'flotilla-dev-test-'));
  port = await portBlock();
});
afterEach(async ({ task }) => {
  const failed = task.result?.state === 'fail';
  for (const running of [dev, joined]) {
    // Where it stood still is not in a timeout's message.
    if (failed && running !== undefined) process.stderr.write(`${running.stdout()}\n${running.stderr()}\n`);
    running?.child.kill('SIGKILL');
    await running?.finished;
  }
  dev = undefined;
  joined = undefined;
  rmSync(temporary, { recursive: true });
});

/** A port with the next few, and the peers' a hundred above, free too: neither tests nor nodes use this range otherwise. */
async function portBlock(): Promise<number> {
  for (;;) {
    const [first = 0] = await freePorts(1);
    const wanted = [0, 1, 2, 100, 101, 102].map((offset) => first + offset);
    if ((await Promise.all(wanted.map(isFree))).every(Boolean)) return first;
  }
}

function isFree(candidate: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(candidate, '127.0.0.1');
    socket.on('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', () => resolve(true));
  });
}

function startDev(words: readonly string[]): Running {
  dev = start(['dev', '--port', String(port), ...words], { environment: { TMPDIR: temporary } });
  return dev;
}

/** The nodes' processes, from the block. */
function pids(block: string): number[] {
  return [...block.matchAll(/^ {2}n\d+ +(\d+) /gm)].map((match) => Number(match[1]));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function untilGone(processes: readonly number[]): Promise<void> {
  while (processes.some(isAlive)) await delay(20);
}

describe('flotilla dev', () => {
  it('prints one aligned block, tells of a killed leader and of its return, and stops cleanly', async () => {
    const running = startDev(['--ephemeral']);
    await running.prints(/stop +Ctrl-C\n/);
    const block = running.stdout();
    expect(block).toMatch(
      /^\nFlotilla \d+\.\d+\.\d+: 3 nodes, 12 partitions, 3 replicas each\. Every partition has answered a read, after \d+\.\d s\.\n/,
    );
    const rows = block.split('\n').filter((line) => /^ {2}(node|n\d) /.test(line));
    expect(rows).toHaveLength(4);
    for (const column of ['process', 'page and API', 'data', 'log', 'leads']) {
      const starts = rows[0]?.indexOf(column) ?? -1;
      for (const row of rows.slice(1)) expect(row.slice(starts - 1, starts + 1)).toMatch(/^ \S$/);
    }
    for (const offset of [0, 1, 2]) expect(block).toContain(`http://127.0.0.1:${port + offset}`);
    expect(block).toContain(`curl -L -X PUT localhost:${port + 1}/v1/kv/hello -d world`);

    const [, victim, name] = /kill -9 (\d+) +\((n\d) leads \d+ partitions?\)/.exec(block) ?? [];
    process.kill(Number(victim), 'SIGKILL');
    const [, lost, file] = await running.prints(
      /^(n\d) lost, \d+ partitions? re-elected in \d+ ms\n +bring it back with: npx flotilla start --config (\S+)\n/m,
    );
    expect(lost).toBe(name);
    const back = start(['start', '--config', file ?? '']);
    await running.prints(new RegExp(`^${name ?? ''} is back$`, 'm'));
    back.child.kill('SIGTERM');
    expect((await back.finished).code).toBe(0);

    running.child.kill('SIGINT');
    const { code, stderr } = await running.finished;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    await untilGone(pids(block));
    expect(readdirSync(temporary)).toEqual([]);
  });

  it('tells of a node that joins, and shows it at its next start', async () => {
    const words = ['--data', join(temporary, 'data')];
    const first = startDev(words);
    await first.prints(/stop +Ctrl-C\n/);
    const [http = 0, peer = 0] = await freePorts(2);
    const address = `http://127.0.0.1:${port}`;
    const listening = ['--port', String(http), '--peer-port', String(peer), '--data', join(temporary, 'n4')];
    joined = start(['start', '--node-id', 'n4', ...listening, '--join', address]);
    await joined.prints(/^ready nodeId=n4 /m);
    await first.prints(new RegExp(`^n4 is a member and up: http://127.0.0.1:${http}$`, 'm'));
    first.child.kill('SIGINT');
    expect((await first.finished).code).toBe(0);

    const second = startDev(words);
    await second.prints(/stop +Ctrl-C\n/);
    expect(second.stdout()).toMatch(/^ {2}n4 joined later and is (up|down): this command does not start it\. http:/m);
    second.child.kill('SIGINT');
    expect((await second.finished).code).toBe(0);
  });

  it('takes its nodes along when it is killed itself', async () => {
    const running = startDev(['--data', join(temporary, 'data')]);
    await running.prints(/stop +Ctrl-C\n/);
    const nodes = pids(running.stdout());
    expect(nodes).toHaveLength(3);
    running.child.kill('SIGKILL');
    await untilGone(nodes);
  });

  it('keeps its data, and refuses to found another cluster over it', async () => {
    const words = ['--nodes', '1', '--data', join(temporary, 'data')];
    const first = startDev(words);
    await first.prints(/stop +Ctrl-C\n/);
    const url = `http://127.0.0.1:${port}/v1/kv/hello`;
    expect((await fetch(url, { method: 'PUT', body: 'world' })).status).toBe(201);
    first.child.kill('SIGINT');
    expect((await first.finished).code).toBe(0);

    const second = startDev(words);
    await second.prints(/stop +Ctrl-C\n/);
    expect(await (await fetch(url)).text()).toBe('world');
    second.child.kill('SIGINT');
    expect((await second.finished).code).toBe(0);

    const other = await run(['dev', '--port', String(port), '--data', join(temporary, 'data')]);
    expect(said(other.stderr)).toEqual([
      expect.stringMatching(
        /^flotilla: .*data holds a cluster of another shape \(1 nodes? .*; asked for 3 nodes .*\): name another/,
      ),
    ]);
    expect(other.code).toBe(1);
  });

  it('says which port is taken, and leaves no node behind', async () => {
    const first = startDev(['--nodes', '1', '--ephemeral']);
    await first.prints(/stop +Ctrl-C\n/);
    const second = await run(['dev', '--ephemeral', '--port', String(port)], { environment: { TMPDIR: temporary } });
    expect(said(second.stderr)).toEqual([expect.stringMatching(/^flotilla: .*listener.*: the port is in use$/)]);
    expect(second).toMatchObject({ code: 1, stdout: '' });
    first.child.kill('SIGINT');
    expect((await first.finished).code).toBe(0);
    expect(existsSync(temporary) && readdirSync(temporary)).toEqual([]);
  });

  it('refuses what it chooses for each node itself', async () => {
    const { code, stderr } = await run(['dev', '--set', 'http.port=1', '--set', 'raft.tickMs=0']);
    expect(said(stderr)).toEqual([
      'flotilla: bad configuration: http.port (--set): dev chooses it for each node',
      'flotilla: bad configuration: raft.tickMs (--set): expected a whole number from 1 to 1000 milliseconds, found 0',
    ]);
    expect(code).toBe(2);
  });
});
