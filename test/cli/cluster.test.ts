/** The commands on the cluster itself, as a user runs them, at a node that follows a script. */
import { afterEach, describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../src/api/errors.ts';
import { startFront } from '../http/start-front.ts';
import { ok, refusal, startStub, type Script, type StubNode } from '../client/stub-node.ts';
import { run, type Finished } from './program.ts';

const toClose: StubNode[] = [];
afterEach(async () => {
  for (const one of toClose.splice(0)) await one.close();
});

/** Runs the command at a node that answers so, and gives what was asked of it, too. */
async function flotilla(words: readonly string[], script: Script): Promise<Finished & { readonly asked: string[] }> {
  const node = await startStub(script);
  toClose.push(node);
  const finished = await run([...words, '--server', node.url]);
  const asked = node.requests.map(({ method, url, body }) => `${method} ${url.pathname}${url.search} ${body}`.trim());
  return { ...finished, asked };
}

const done = { code: 0, stderr: '' };
const plan = {
  moves: [
    { partition: 3, from: 'n1', to: 'n4', bytes: 2048 },
    { partition: 4, from: null, to: 'n4', bytes: 999_950 },
    { partition: 5, from: 'n2', to: null, bytes: 7 },
  ],
  replicas: 2,
  bytes: 1_001_998,
  fraction: 0.25,
  ideal: 0.2,
  risks: ['zone a has one node'],
};
const planText =
  'partition 3: n1 -> n4, 2.0 kB\n' +
  'partition 4: one more, on n4, 1.0 MB\n' +
  'partition 5: one fewer, off n2\n' +
  '2 replicas move, 1.0 MB: 25.0% of all replicas; any plan has to move 20.0%.\n' +
  'risk: zone a has one node\n';
const planned: Script = () => ({ ...ok({ plan }), status: 202 });

const add = ['node', 'add', 'n4', '--http', 'http://h:1', '--peer', 'h:2'];

describe('node add', () => {
  it('asks for the node as it was described, prints the plan and says how to follow it', async () => {
    const labelled = [...add, '--label', 'zone=a', '--label', 'note=x=y', '--weight', '0.5'];
    const ran = await flotilla(labelled, planned);
    expect(ran).toMatchObject(done);
    expect(ran.stdout).toBe(`${planText}n4 joins. What moves is told by: flotilla ops\n`);
    const labels = '{"zone":"a","note":"x=y"}';
    expect(ran.asked).toEqual([
      `POST /v1/cluster/nodes {"nodeId":"n4","http":"http://h:1","peer":"h:2","labels":${labels},"weight":0.5}`,
    ]);
  });

  it('only shows the plan when that is asked for', async () => {
    const ran = await flotilla([...add, '--dry-run'], planned);
    expect(ran).toMatchObject(done);
    expect(ran.stdout).toBe(`${planText}This was a dry run: nothing is changed.\n`);
    expect(ran.asked[0]).toMatch(/^POST \/v1\/cluster\/nodes\?dry_run=true \{"nodeId":"n4",/);
  });

  it('prints the plan as JSON', async () => {
    const { stdout, code } = await flotilla([...add, '--json'], planned);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual(plan);
  });
});

describe.each(['drain', 'remove'])('node %s', (name) => {
  it('prints the plan, and says that the node is drained first', async () => {
    const ran = await flotilla(['node', name, 'n2'], planned);
    expect(ran).toMatchObject(done);
    expect(ran.stdout).toBe(
      `${planText}n2 is drained first, and leaves the cluster once it holds nothing. What moves is told by: flotilla ops\n`,
    );
    expect(ran.asked).toEqual(['DELETE /v1/cluster/nodes/n2']);
    const dry = await flotilla(['node', name, 'n2', '--dry-run'], planned);
    expect(dry.stdout).toBe(`${planText}This was a dry run: nothing is changed.\n`);
    expect(dry.asked).toEqual(['DELETE /v1/cluster/nodes/n2?dry_run=true']);
  });
});

describe('rebalance', () => {
  it('prints the plan, and what comes behind it', async () => {
    const ran = await flotilla(['rebalance'], planned);
    expect(ran).toMatchObject(done);
    expect(ran.stdout).toBe(`${planText}Leaderships are evened out behind that. What moves is told by: flotilla ops\n`);
    expect(ran.asked).toEqual(['POST /v1/cluster/rebalance']);
  });

  it('only shows the plan when that is asked for', async () => {
    const ran = await flotilla(['rebalance', '--dry-run'], planned);
    expect(ran.stdout).toBe(`${planText}This was a dry run: nothing is changed.\n`);
    expect(ran.asked).toEqual(['POST /v1/cluster/rebalance?dry_run=true']);
  });
});

describe('a plan', () => {
  it('says so where nothing moves', async () => {
    const nothing = { moves: [], replicas: 0, bytes: 0, fraction: 0, ideal: 0, risks: [] };
    const { stdout } = await flotilla(['node', 'drain', 'n2', '--dry-run'], () => ok({ plan: nothing }));
    expect(stdout).toBe('No replica moves.\nThis was a dry run: nothing is changed.\n');
  });

  it('is cut short where it is long, and not as JSON', async () => {
    const moves = Array.from({ length: 42 }, (_, partition) => ({ partition, from: 'n1', to: 'n2', bytes: 1 }));
    const long: Script = () => ok({ plan: { ...plan, moves, replicas: 42, bytes: 42 } });
    const lines = (await flotilla(['node', 'drain', 'n1', '--dry-run'], long)).stdout.split('\n');
    expect(lines.slice(39, 42)).toEqual([
      'partition 39: n1 -> n2, 1 B',
      'and 2 more',
      '42 replicas move, 42 B: 25.0% of all replicas; any plan has to move 20.0%.',
    ]);
    const json = JSON.parse((await flotilla(['node', 'drain', 'n1', '--json'], long)).stdout) as typeof plan;
    expect(json.moves).toHaveLength(42);
  });
});

const nodes = [
  { nodeId: 'n1', http: 'http://h:1', peer: 'h:2', labels: { zone: 'a' }, state: 'up', leads: 2, replicas: 3 },
  { nodeId: 'node-22', http: 'http://h:3', peer: 'h:4', labels: {}, state: 'draining', leads: 0, replicas: 1 },
];
const replicas = [
  { nodeId: 'n1', role: 'leader', matchIndex: 9, lag: 0, state: 'ok' },
  { nodeId: 'n2', role: 'follower', matchIndex: 5, lag: 4, state: 'ok' },
  { nodeId: 'n3', role: 'follower', matchIndex: 0, lag: 9, state: 'in_doubt' },
  { nodeId: 'n4', role: 'learner', matchIndex: 9, lag: 0, state: 'ok' },
];
const partition = { range: [0, 9], epoch: 1, term: 7, commitIndex: 9, appliedIndex: 9, replicas };
const partitions = [
  { ...partition, id: 1, leader: 'n1', keys: 12, bytes: 3400 },
  { ...partition, id: 2, leader: null },
];
const cluster: Script = ({ url }) =>
  ok(url.pathname === '/v1/cluster' ? { clusterId: 'c', name: 'x', partitions: 2, epoch: 1, nodes } : partitions);

describe('the lists', () => {
  it('show the nodes', async () => {
    const ran = await flotilla(['node', 'ls'], cluster);
    expect(ran).toMatchObject(done);
    expect(ran.stdout).toBe(
      'node     state     API         peer  leads  replicas  labels\n' +
        'n1       up        http://h:1  h:2   2      3         zone=a\n' +
        'node-22  draining  http://h:3  h:4   0      1\n',
    );
    expect(JSON.parse((await flotilla(['node', 'ls', '--json'], cluster)).stdout)).toEqual(nodes);
  });

  it('show the partitions, and who of them lags', async () => {
    const ran = await flotilla(['partition', 'ls'], cluster);
    expect(ran).toMatchObject(done);
    const members = 'n1, n2 (4 behind), n3 (in doubt), n4 (learner)';
    expect(ran.stdout).toBe(
      'partition  leader  term  keys  bytes   replicas\n' +
        `1          n1      7     12    3.4 kB  ${members}\n` +
        `2          none    7     ?     ?       ${members}\n`,
    );
    expect(JSON.parse((await flotilla(['partition', 'ls', '--json'], cluster)).stdout)).toEqual(partitions);
  });

  it('show what moves, and what holds it up', async () => {
    const since = '2026-01-02T03:04:05.006Z';
    const move = { partition: 3, reason: 'join', from: ['n1'], to: ['n4'], step: 'catch_up', progress: 0.999, lag: 12 };
    const held = { ...move, partition: 12, from: [], step: 'waiting', progress: 0, since, blockedBy: 'n4 is down' };
    const moving: Script = () => ok({ operations: [{ ...move, since }, held] });
    const ran = await flotilla(['ops'], moving);
    expect(ran).toMatchObject({ ...done, asked: ['GET /v1/cluster/operations'] });
    expect(ran.stdout).toBe(
      'partition  reason  from  to  step      done  lag  since                     blocked by\n' +
        '3          join    n1    n4  catch up  99%   12   2026-01-02T03:04:05.006Z\n' +
        '12         join          n4  waiting   0%    12   2026-01-02T03:04:05.006Z  n4 is down\n',
    );
    expect(JSON.parse((await flotilla(['ops', '--json'], moving)).stdout)).toEqual([{ ...move, since }, held]);
    expect((await flotilla(['ops'], () => ok({ operations: [] }))).stdout).toBe('nothing moves\n');
  });
});

it('a node that has gone is shown, and is no member', async () => {
  const gone = { ...nodes[1], nodeId: 'n3', state: 'removed', replicas: 0 };
  const status: Script = ({ url }) =>
    ok(url.pathname === '/v1/cluster' ? { clusterId: 'c', name: 'x', nodes: [...nodes, gone] } : partitions);
  const { stdout } = await flotilla(['status'], status);
  expect(stdout.split('\n')[0]).toBe('cluster x: 1 of 2 nodes up, 2 partitions');
  expect(stdout).toMatch(/^ {2}n3 +removed /m);
});

it('all of them are understood by a front, and understand it', async () => {
  const front = await startFront();
  const at = (...words: string[]): Promise<Finished> => run([...words, '--server', front.baseUrl]);
  const ran = await Promise.all([
    at(...add, '--label', 'zone=a', '--weight', '2'),
    at('node', 'remove', 'n2', '--dry-run'),
    at('node', 'ls'),
    at('partition', 'ls'),
    at('partition', 'transfer', '1', 'n2'),
    at('ops'),
  ]);
  const absent = await at('partition', 'transfer', '9', 'n2');
  const { seenChanges } = front.node;
  await front.close();
  expect(ran).toMatchObject(ran.map(() => done));
  expect(ran[4].stdout).toBe('partition 1 is led by n2 in term 8\n');
  expect(absent).toMatchObject({ code: 3, stderr: 'flotilla: no such partition\n' });
  const node = { nodeId: 'n4', http: 'http://h:1', peer: 'h:2', labels: { zone: 'a' }, weight: 2 };
  expect(seenChanges.toSorted((one, other) => Number(one.dryRun) - Number(other.dryRun))).toMatchObject([
    { change: { type: 'add_node', node }, dryRun: false },
    { change: { type: 'remove_node', nodeId: 'n2' }, dryRun: true },
  ]);
});

describe('partition transfer', () => {
  it('says who leads now', async () => {
    const moved: Script = () => ok({ id: 3, leader: 'n2', term: 8 });
    const ran = await flotilla(['partition', 'transfer', '3', 'n2'], moved);
    expect(ran).toMatchObject({ ...done, stdout: 'partition 3 is led by n2 in term 8\n' });
    expect(ran.asked).toEqual(['POST /v1/cluster/partitions/3/leader {"nodeId":"n2"}']);
    const json = await flotilla(['partition', 'transfer', '3', 'n2', '--json'], moved);
    expect(JSON.parse(json.stdout)).toEqual({ partition: 3, leader: 'n2', term: 8 });
  });
});

describe('a refusal', () => {
  const drain = ['node', 'drain', 'n2'];
  const cases: readonly [readonly string[], ErrorCode, number][] = [
    [add, 'change_refused', 4],
    [drain, 'change_refused', 4],
    [drain, 'not_found', 3],
    [add, 'invalid_request', 2],
    [['partition', 'transfer', '77', 'n2'], 'not_found', 3],
    [['partition', 'transfer', '1', 'n9'], 'invalid_request', 2],
    [['ops', '--timeout', '200ms'], 'no_leader', 5],
    [[...drain, '--timeout', '200ms'], 'no_leader', 5],
    [['partition', 'transfer', '1', 'n2', '--timeout', '200ms'], 'leader_not_moved', 5],
  ];
  it.each(cases)('of %j with %s is told by the exit code, and why', async (words, code, exitCode) => {
    const ran = await flotilla(words, () => refusal(code, { 'Retry-After': '1' }));
    expect(ran).toMatchObject({ code: exitCode, stdout: '', stderr: `flotilla: The stub says ${code}.\n` });
  });

  it('says where it may have been decided all the same', async () => {
    for (const script of [() => refusal('outcome_unknown'), () => undefined]) {
      const ran = await flotilla(drain, script);
      expect(ran).toMatchObject({ code: 5, stdout: '' });
      expect(ran.stderr).toMatch(/^flotilla: .* The change may have been decided: look at the cluster before .*\n$/);
      expect(ran.asked).toHaveLength(1);
    }
  });
});

describe('wrong usage of these', () => {
  const wrong: readonly [readonly string[], string][] = [
    [['node', 'add', 'n4', '--peer', 'h:2'], "flotilla: required option '--http <url>' not specified"],
    [['node', 'add', 'n4', '--http', 'http://h:1'], "flotilla: required option '--peer <host:port>' not specified"],
    [[...add, '--label', 'zone'], "flotilla: option '--label <name=value>' argument 'zone' is invalid."],
    [[...add, '--weight', '0'], "flotilla: option '--weight <number>' argument '0' is invalid."],
    [[...add, '--weight', '1001'], "flotilla: option '--weight <number>' argument '1001' is invalid."],
    [['node', 'drain'], "flotilla: missing required argument 'nodeId'"],
    [['partition', 'transfer', 'p1', 'n2'], "flotilla: command-argument value 'p1' is invalid for argument 'id'."],
    [['partition', 'transfer', '01', 'n2'], "flotilla: command-argument value '01' is invalid for argument 'id'."],
    [['partition', 'transfer', '1'], "flotilla: missing required argument 'nodeId'"],
    [['node', 'lss'], "flotilla: unknown command 'lss'"],
  ];
  it.each(wrong)('is exit code 2, and nothing is asked: %j', async (words, message) => {
    const ran = await flotilla(words, planned);
    expect(ran).toMatchObject({ code: 2, stdout: '', asked: [] });
    expect(ran.stderr.startsWith(message)).toBe(true);
  });
});
