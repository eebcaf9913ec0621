/** How the page stands with its stream of changes, in a real browser at a front whose node tells, refuses and ends as it is made to. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Browser, Page, Request } from 'playwright-core';
import { formatCursor, nameOf } from '../../src/cluster/watch/cursor.ts';
import type { Change } from '../../src/kv/changes.ts';
import type { PartitionId } from '../../src/replica/ports.ts';
import { send } from '../http/http-client.ts';
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

const onePartition = 1 as PartitionId;
const positions = new Map([[onePartition, { incarnation: 1, index: 7, done: 0 }]]);
const cursor = (): string =>
  formatCursor(nameOf({ type: 'prefix', bytes: Buffer.from('a') }), { cluster: 7, positions });
const stands = (words: string | RegExp) => page.locator('#list-live .state', { hasText: words }).waitFor();

async function list(): Promise<void> {
  await page.goto(`${front.baseUrl}/`);
  await page.getByLabel('Prefix').fill('a');
  await page.getByRole('button', { name: 'Search' }).click();
}

/** The watch that is the `count`th, once the page has asked for it. */
async function watch(count: number): Promise<(typeof front.node.watches)[number]> {
  await expect.poll(() => front.node.watches.length, { timeout: 10_000 }).toBe(count);
  return front.node.watches[count - 1] as (typeof front.node.watches)[number];
}

it('goes on behind the last cursor where the node ends it, and says why', async () => {
  await list();
  const { call, sink } = await watch(1);
  expect(call.from).toBeUndefined();
  await stands(/^live$/);
  sink.bookmark(cursor());
  sink.end({ type: 'no_contact', detail: 'Nobody leads partition 1' });
  await stands('coming back… Nobody leads partition 1');
  expect((await watch(2)).call.from).toEqual({ cluster: 7, positions });
  await stands(/^live$/);
});

it('reads anew and watches anew where the cursor is too old, said at the end or at the beginning', async () => {
  await list();
  const { sink } = await watch(1);
  sink.bookmark(cursor());
  sink.end({ type: 'too_old', detail: 'the log begins at 9' });
  await stands('coming back… Too much happened meanwhile');
  await put('a1');
  const second = await watch(2);
  expect(second.call.from).toBeUndefined();
  await stands(/^live$/);
  // Nobody told it.
  await row('a1').waitFor();

  const { watchOutcome } = front.node;
  front.node.watchOutcome = (call) =>
    call.from === undefined ? watchOutcome(call) : { type: 'too_old', detail: 'the log begins at 9' };
  second.sink.bookmark(cursor());
  second.sink.end({ type: 'no_contact', detail: 'Nobody leads partition 1' });
  await expect.poll(async () => (await watch(front.node.watches.length)).call.from).toBeUndefined();
  await expect.poll(() => front.node.watches.length, { timeout: 10_000 }).toBeGreaterThan(2);
  await stands(/^live$/);
});

it('reads twice a second at most, however much changes', async () => {
  await standStill();
  const sink = await listAtRest();
  const asked = scans('request');
  for (let n = 0; n < 100; n += 1) sink.event(changeOf(`a${n}`, n), onePartition, cursor());
  await page.locator('#list-live', { hasText: /^live\s+\d+ change/ }).waitFor();
  await settled(() => page.clock.runFor(499));
  expect(asked()).toBe(1);
  await settled(() => page.clock.runFor(1));
  expect(asked()).toBe(2);
  await settled(() => page.clock.runFor(5000));
  expect(asked()).toBe(2);
});

it('does not ask for what comes behind the last key that there is room for', async () => {
  await standStill();
  for (let n = 0; n < 51; n += 1) await put(`a${100 + n}`);
  const sink = await listAtRest();
  const asked = scans('request');
  sink.event(changeOf('a150', 60), onePartition, cursor());
  sink.event(changeOf('azzz', 61), onePartition, cursor());
  await settled(() => page.clock.runFor(1000));
  expect(asked()).toBe(0);
  sink.event(changeOf('a149', 62), onePartition, cursor());
  await page.locator('#list-live', { hasText: '3 changes, last put a149' }).waitFor();
  expect(asked()).toBe(1);
});

it('comes back after an answer that is no stream, where that may help', async () => {
  const { watchOutcome } = front.node;
  front.node.watchOutcome = () => ({ type: 'too_many', detail: 'This node has 1,000 watches already' });
  await list();
  await stands('coming back… This node has 1,000 watches already');
  front.node.watchOutcome = watchOutcome;
  await stands(/^live$/);
});

it('says why it ends where coming back makes no sense', async () => {
  front.node.watchOutcome = () => ({ type: 'bad_cursor', detail: 'it is of another cluster' });
  await list();
  await stands("not live: The cursor can't be used");
});

it('lets go of its streams when nobody looks for long, and begins anew when somebody does', async () => {
  await standStill();
  await list();
  await watch(1);
  await stands(/^live$/);
  await look(false);
  await page.clock.runFor(9000);
  expect(front.node.watchesClosed).toBe(0);
  await page.clock.runFor(2000);
  await expect.poll(() => front.node.watchesClosed).toBe(1);
  await stands('resting');
  await look(true);
  await watch(2);
  await stands(/^live$/);
});

it('takes a stream that says nothing for a dead one', async () => {
  await standStill();
  await list();
  await watch(1);
  await stands(/^live$/);
  await page.clock.runFor(14_900);
  await stands(/^live$/);
  await page.clock.runFor(200);
  await stands('coming back… Nothing was heard for 15 s.');
  await page.clock.runFor(500);
  await watch(2);
});

const row = (key: string) => page.locator('#found tbody tr', { hasText: key });
const put = (key: string) => send(front.baseUrl, { method: 'PUT', path: `/v1/kv/${key}`, body: 'x' });

function changeOf(key: string, revision: number): Change {
  const [bytes, value] = [Buffer.from(key), Buffer.from('x')];
  return { type: 'put', key: bytes, value, contentType: '', incarnation: 1, revision };
}

/** Counts how often a reading of the list begins, or ends, from now on. */
function scans(which: 'request' | 'requestfinished'): () => number {
  let count = 0;
  const look = (request: Request) => (count += request.url().includes('/v1/kv?') ? 1 : 0);
  if (which === 'request') page.on('request', look);
  else page.on('requestfinished', look);
  return () => count;
}

/** A list whose stream is open, and that has nothing left to read. Where time stands still, a pause that begins late never ends. */
async function listAtRest(): Promise<(typeof front.node.watches)[number]['sink']> {
  const read = scans('requestfinished');
  await list();
  const { sink } = await watch(1);
  await stands(/^live$/);
  // Once when it was asked for, and once when the stream was open.
  await expect.poll(read, { timeout: 10_000 }).toBe(2);
  await settled(() => Promise.resolve());
  await settled(() => page.clock.runFor(1000));
  return sink;
}

/** What has begun is at its end, and what the node has said has arrived. */
async function settled(act: () => Promise<void>): Promise<void> {
  await act();
  await page.evaluate(`fetch('/livez').then(() => undefined)`);
  await page.evaluate(`fetch('/livez').then(() => undefined)`);
}

/** The page's time goes on only when it is told to. */
async function standStill(): Promise<void> {
  await page.clock.install({ time: 0 });
  await page.clock.pauseAt(1000);
}

/** As the browser tells it of a tab that comes to the front, or leaves it. */
async function look(visible: boolean): Promise<void> {
  await page.evaluate(`Object.defineProperty(document, 'hidden', { configurable: true, value: ${String(!visible)} })`);
  await page.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`);
}
