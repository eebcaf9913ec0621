/** What a person looks at in the page changes as the store does, in a real browser at a real cluster: without reloading, and after a node was away. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Browser, Page } from 'playwright-core';
import { startCluster, type TestCluster, type TestNode } from '../../src/testing/cluster.ts';
import { browserMissing, openBrowser } from './support/browser.ts';

let cluster: TestCluster;
let browser: Browser;
let page: Page;
let first: TestNode;
/** What the browser complained about, beside answers that are no success. */
let complaints: string[];

beforeAll(async () => {
  if (browserMissing() !== undefined) return;
  [cluster, browser] = await Promise.all([startCluster(), openBrowser()]);
  first = cluster.nodes[0] as TestNode;
}, 60_000);
afterAll(async () => {
  if (browserMissing() !== undefined) return;
  await Promise.all([cluster.close(), browser.close()]);
});
beforeEach(async (context) => {
  const missing = browserMissing();
  if (missing !== undefined) return context.skip(missing);
  complaints = [];
  page = await browser.newPage();
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      complaints.push(message.text());
  });
});
afterEach(async () => {
  if (browserMissing() !== undefined) return;
  await page.close();
  expect(complaints).toEqual([]);
});

const put = (key: string, body: string, query = '') =>
  cluster.request('PUT', `/v1/kv/${key}${query}`, { body, redirectsMax: 2, node: cluster.nodes[1] as TestNode });
const remove = (key: string) =>
  cluster.request('DELETE', `/v1/kv/${key}`, { redirectsMax: 2, node: cluster.nodes[1] as TestNode });
const rows = () => page.locator('#found tbody tr').allInnerTexts();
const row = (key: string) => page.locator('#found tbody tr', { hasText: key });
const line = (id: 'key-live' | 'list-live', words: string) => page.locator(`#${id}`, { hasText: words }).waitFor();

async function list(prefix: string): Promise<void> {
  await page.goto(`${first.url}/`);
  await page.getByLabel('Prefix').fill(prefix);
  await page.getByRole('button', { name: 'Search' }).click();
}

async function look(key: string): Promise<void> {
  await page.goto(`${first.url}/`);
  await page.getByLabel('Key', { exact: true }).fill(key);
  await page.getByRole('button', { name: 'Get', exact: true }).click();
}

describe('a list of keys', () => {
  it('shows puts, deletes and expiries as they happen', async () => {
    await put('seen/b', 'one');
    await list('seen/');
    await line('list-live', 'live');
    expect(await rows()).toHaveLength(1);
    await put('seen/a', 'new');
    await row('seen/a').waitFor();
    await put('seen/b', 'two');
    await row('seen/b').getByText('two').waitFor();
    await put('seen/c', 'short', '?ttl=1500ms');
    await row('seen/c').getByText('expires').waitFor();
    await remove('seen/a');
    await row('seen/a').waitFor({ state: 'detached' });
    await row('seen/c').waitFor({ state: 'detached' });
    await line('list-live', 'last expire seen/c at');
    expect(await rows()).toHaveLength(1);
  });

  it('leaves what has not changed alone: the focus stays, and only the new is lit up', async () => {
    for (const key of ['b', 'c']) await put(`focus/${key}`, 'x');
    await list('focus/');
    await line('list-live', 'live');
    await page.getByRole('button', { name: 'focus/b' }).focus();
    await put('focus/a', 'x');
    await put('focus/b', 'y');
    await row('focus/a').waitFor();
    await row('focus/b').getByText('y', { exact: true }).waitFor();
    expect(await page.evaluate('document.activeElement.textContent')).toBe('focus/b');
    expect(await rows()).toHaveLength(3);
    expect(await page.locator('#found tr.changed').allInnerTexts()).toHaveLength(2);
  });

  it('asks a few times a second however much changes, and ends at what is there', async () => {
    await put('busy/0', 'x');
    await list('busy/');
    await line('list-live', 'live');
    let asked = 0;
    page.on('request', (request) => (asked += /\/v1\/kv\?/.test(request.url()) ? 1 : 0));
    const started = performance.now();
    for (let n = 0; n < 16; n += 1) {
      const puts = Array.from({ length: 10 }, (_, key) => put(`busy/${key}`, `round ${n}`));
      await Promise.all(puts);
    }
    await expect.poll(async () => (await rows()).filter((text) => text.includes('round 15')).length).toBe(10);
    const seconds = (performance.now() - started) / 1000;
    expect(asked).toBeLessThanOrEqual(2 * seconds + 2);
  });
});

describe('a single key', () => {
  it('shows what becomes of it', async () => {
    await put('one', 'first');
    await look('one');
    await line('key-live', 'live');
    const result = page.locator('#result');
    await put('one', 'second');
    await result.getByText('Changed "one"').waitFor();
    expect(await result.locator('pre').innerText()).toBe('second');
    await remove('one');
    await result.getByText('Deleted "one"').waitFor();
    await put('one', 'third', '?ttl=1500ms');
    await result.getByText('Changed "one"').waitFor();
    expect(await result.innerText()).toMatch(/Expires\s+.*\(in/);
    await result.getByText('Expired "one"').waitFor();
  });

  it('that is not there yet is shown once it is', async () => {
    await look('later');
    await page.locator('#result', { hasText: 'There is no such key' }).waitFor();
    await line('key-live', 'live');
    await put('later', '<b>here</b>');
    await page.locator('#result pre', { hasText: '<b>here</b>' }).waitFor();
    expect(await page.locator('#result b').count()).toBe(0);
  });
});

it('comes back to a node that was stopped and started again, and shows what happened meanwhile', async () => {
  await put('away/a', 'before');
  await list('away/');
  await line('list-live', 'live');
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    await first.kill(signal);
    await line('list-live', 'coming back…');
    const value = `while away by ${signal}`;
    await expect.poll(async () => (await put('away/a', value)).status, { timeout: 20_000 }).toBe(200);
    await first.restart();
    await row('away/a').getByText(value).waitFor();
    await page.locator('#list-live .state', { hasText: /^live$/ }).waitFor();
    await put('away/a', `after ${signal}`);
    await row('away/a').getByText(`after ${signal}`).waitFor();
  }
}, 90_000);
