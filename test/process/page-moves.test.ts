/** The page while the cluster changes, in a real browser at a front whose node says what a changing cluster would. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Browser, Page } from 'playwright-core';
import type { ClusterStatus, OperationStatus, PartitionStatus } from '../../src/cluster/types.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import { startFront, type Front } from '../http/start-front.ts';
import { browserMissing, openBrowser } from './support/browser.ts';

let browser: Browser;
let page: Page;
let front: Front;
let complaints: string[];

beforeAll(async () => {
  if (browserMissing() === undefined) browser = await openBrowser();
}, 60_000);
afterAll(async () => {
  if (browserMissing() === undefined) await browser.close();
});
beforeEach(async (context) => {
  const missing = browserMissing();
  if (missing !== undefined) return context.skip(missing);
  complaints = [];
  [front, page] = await Promise.all([startFront(), browser.newPage()]);
  page.on('pageerror', (error) => complaints.push(String(error)));
});
afterEach(async () => {
  if (browserMissing() !== undefined) return;
  await page.close();
  await front.close();
  expect(complaints).toEqual([]);
});

const [n1, n2, n3] = ['n1', 'n2', 'n3'] as NodeId[] as [NodeId, NodeId, NodeId];
const move: OperationStatus = {
  partition: 1 as PartitionId,
  reason: 'join',
  from: [n1],
  to: [n3],
  step: 'catch_up',
  progress: 0.42,
  lag: 1200,
  sinceMs: 0,
  blockedBy: undefined,
};
const told = (operations: readonly OperationStatus[]) => () => ({ type: 'operations', operations }) as const;
const open = () => page.goto(`${front.baseUrl}/`);
const moves = () => page.locator('#moves-section');

it('shows moves as they happen, and nothing where nothing moves', async () => {
  front.node.operationsOutcome = told([]);
  await open();
  await page.getByText('2 of 2 nodes up').waitFor();
  await expect.poll(() => front.node.seenOperations.length).toBeGreaterThan(0);
  expect(await moves().isVisible()).toBe(false);

  const held: OperationStatus = {
    ...move,
    from: [],
    step: 'waiting',
    progress: 0,
    lag: 0,
    blockedBy: '<b>n3</b> is down',
  };
  front.node.operationsOutcome = told([move, held]);
  await moves().waitFor();
  expect(await moves().innerText()).toContain('2 under way or waiting');
  const [first, second] = await page.locator('#moves tr').allInnerTexts();
  for (const word of ['p1', 'a node joins', 'n1 → n3', 'catches up · 1,200 entries behind', '42%']) {
    expect(first).toContain(word);
  }
  for (const word of ['none → n3', 'waits its turn', '<b>n3</b> is down', '0%']) expect(second).toContain(word);
  expect(await page.locator('#moves b').count()).toBe(0);

  front.node.operationsOutcome = told([{ ...move, progress: 1, step: 'voters' }]);
  await page.getByText('gets its vote').waitFor();
  expect(await page.locator('#moves tr').count()).toBe(1);
  front.node.operationsOutcome = told([]);
  await moves().waitFor({ state: 'hidden' });
});

it('goes on where nobody can say what moves, and says that', async () => {
  front.node.operationsOutcome = () => ({ type: 'no_leader', detail: 'Nobody leads group 0.' });
  await open();
  await page.getByText('2 of 2 nodes up').waitFor();
  await moves().waitFor();
  expect(await moves().innerText()).toContain('Not known now. Nobody leads group 0.');
  expect(await page.locator('#moves-table').isVisible()).toBe(false);
  expect(await page.locator('#banner').isVisible()).toBe(false);
  expect(await page.locator('#partitions > li').count()).toBe(1);
});

it('does not wait for whoever could say', async () => {
  let answer: (value: ReturnType<ReturnType<typeof told>>) => void = () => {};
  front.node.operationsOutcome = () => new Promise((resolve) => (answer = resolve));
  await open();
  await page.getByText('2 of 2 nodes up').waitFor();
  const updated = await page.locator('#updated').innerText();
  await expect.poll(() => page.locator('#updated').innerText(), { timeout: 10_000 }).not.toBe(updated);
  // The same question is not asked a second time beside the first.
  expect(front.node.seenOperations).toHaveLength(1);
  expect(front.node.seenOperations[0]).toBeLessThanOrEqual(2000);
  answer(told([move])());
  await page.getByText('catches up').waitFor();
});

it('shows nodes that come and go, and who only learns', async () => {
  const cluster = await front.node.clusterStatus();
  const [one, two] = cluster.nodes as [ClusterStatus['nodes'][number], ClusterStatus['nodes'][number]];
  const nodes = [
    one,
    { ...two, state: 'draining' as const },
    { ...two, nodeId: n3, state: 'joining' as const, leads: 0 },
    { ...two, nodeId: 'n4' as NodeId, state: 'removed' as const, leads: 0 },
  ];
  front.node.clusterStatus = () => Promise.resolve({ ...cluster, nodes });
  const [partition] = (await front.node.partitionStatus()) as [PartitionStatus];
  const learner = { nodeId: n3, role: 'learner', matchIndex: 0, lag: 7, state: 'ok' } as const;
  front.node.partitionStatus = () => Promise.resolve([{ ...partition, replicas: [...partition.replicas, learner] }]);
  await open();
  await page.getByText('1 of 3 nodes up, 1 joining, 1 draining').waitFor();
  expect(await page.locator('#health').getAttribute('class')).toBe('pill good');
  const rows = await page.locator('#nodes tr').allInnerTexts();
  expect(rows.map((row) => row.split(/\s+/).find((word) => /^(up|draining|joining|removed)$/.test(word)))).toEqual([
    'up',
    'draining',
    'joining',
    'removed',
  ]);
  expect(await page.locator('#partitions .replica').allInnerTexts()).toEqual([n1, n2, 'n3 learner −7']);
});
