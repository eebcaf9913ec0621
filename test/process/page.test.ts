/** The page, in a real browser at a real cluster: what a person types is done, and the page says what came of it and who answered. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Browser, Page } from 'playwright-core';
import { connect, type Store } from '../../src/client/connect.ts';
import { startCluster, type TestCluster } from '../../src/testing/cluster.ts';
import { browserMissing, openBrowser } from './support/browser.ts';

let cluster: TestCluster;
let browser: Browser;
let page: Page;
/** What the browser complained about: broken policy, scripts that threw, requests that failed. */
let complaints: string[];

beforeAll(async () => {
  if (browserMissing() !== undefined) return;
  [cluster, browser] = await Promise.all([startCluster(), openBrowser()]);
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
    // An answer that is no success is told there too, and that is no fault of the page's.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      complaints.push(message.text());
  });
  await page.goto(`${cluster.nodes[0]?.url ?? ''}/`);
});
afterEach(async () => {
  if (browserMissing() !== undefined) return;
  await page.close();
  expect(complaints).toEqual([]);
});

type Action = 'Set' | 'Get' | 'Delete';

/** Types, presses the button, and gives the text of what came of it. */
async function run(
  action: Action,
  { key, value = '', ttl = '' }: { key: string; value?: string; ttl?: string },
): Promise<string> {
  const answered = page.waitForResponse((answer) => /\/v1\/kv(64)?\//.test(answer.url()));
  await page.getByLabel('Key', { exact: true }).fill(key);
  await page.getByLabel('Value').fill(value);
  await page.getByLabel('Time to live').fill(ttl);
  await page.getByRole('button', { name: action, exact: true }).click();
  await answered;
  // They can be pressed again once all is told.
  await page.locator('#form button:not([disabled])').first().waitFor();
  return page.locator('#result').innerText();
}

const whoAnswered = /n1 (answered: it leads|asked n[23], which leads) partition \d+ in term \d+\./;

it('shows the nodes and partitions', async () => {
  await page.getByText('3 of 3 nodes up').waitFor();
  expect(await page.locator('#nodes tr').count()).toBe(3);
  expect(await page.locator('#partitions > li').count()).toBe(12);
});

describe('set, get and delete', () => {
  it('says what came of it and who answered', async () => {
    const created = await run('Set', { key: 'page/a', value: 'one' });
    expect(created).toContain('Created "page/a"');
    expect(created).toMatch(whoAnswered);
    expect(created).toMatch(/Expires\s+never/);
    expect(created).toMatch(/Replicas\s+n\d, n\d, n\d/);
    expect(await run('Set', { key: 'page/a', value: 'two' })).toContain('Replaced');
    const found = await run('Get', { key: 'page/a' });
    expect(found).toContain('two');
    expect(found).toMatch(whoAnswered);
    expect(await run('Delete', { key: 'page/a' })).toContain('Deleted');
    const absent = await run('Get', { key: 'page/a' });
    expect(absent).toContain('There is no such key');
    expect(absent).toMatch(whoAnswered);
  });

  it('names whoever leads, from whichever node it is asked', async () => {
    const sentences = new Set<string>();
    for (let n = 0; n < 12; n += 1) {
      const text = await run('Set', { key: `page/who/${n}`, value: 'x' });
      const { leader, partition } = (await cluster.request('GET', `/v1/locate/page%2Fwho%2F${n}`)).json() as {
        readonly leader: string;
        readonly partition: number;
      };
      const who = leader === 'n1' ? 'n1 answered: it leads' : `n1 asked ${leader}, which leads`;
      expect(text).toContain(`${who} partition ${partition} in term`);
      sentences.add(who);
    }
    expect(sentences.size).toBeGreaterThan(1);
  });

  it('takes a time to live, and shows when the key expires', async () => {
    expect(await run('Set', { key: 'page/ttl', value: 'x', ttl: '1h30m' })).toMatch(/Expires\s+.*\(in 90 minutes\)/);
    expect(await run('Get', { key: 'page/ttl' })).toMatch(/Expires\s+.*\(in/);
    const refused = await run('Set', { key: 'page/ttl', value: 'y', ttl: 'soon' });
    expect(refused).toContain('The time to live is not valid');
    expect(refused).toContain('1h30m');
    expect(refused).toContain('Nothing was changed.');
    expect(refused).toMatch(/n1 answered, and asked no leader\. The key lives in partition \d+, led by n\d\./);
    // A Set without one makes it stay.
    expect(await run('Set', { key: 'page/ttl', value: 'z' })).toMatch(/Expires\s+never/);
  });

  it.each(['..', '.', 'a/b?c#d', '🚢 <b>bold</b>', '__proto__'])(
    'takes the key %s, and no key or value becomes markup',
    async (key) => {
      const value = '<img src=x onerror="document.title = 1">';
      expect(await run('Set', { key, value })).toContain('Created');
      expect(await run('Get', { key })).toContain(value);
      expect(await page.locator('#result img, #result b').count()).toBe(0);
      expect(await page.title()).toBe('Flotilla');
    },
  );
});

describe('finding keys', () => {
  let store: Store;
  beforeAll(() => {
    if (browserMissing() === undefined) store = connect(cluster.nodes[0]?.url ?? '');
  });
  afterAll(() => (browserMissing() === undefined ? store.close() : undefined));

  async function search(prefix: string): Promise<string> {
    await page.getByLabel('Prefix').fill(prefix);
    const answered = page.waitForResponse(/\/v1\/kv\?/);
    await page.getByRole('button', { name: 'Search' }).click();
    await answered;
    await page.locator('#search button:not([disabled])').waitFor();
    await page.locator('#found > *').first().waitFor();
    return page.locator('#found').innerText();
  }

  it('shows keys and values as the store has them, and leads from a key to its value', async () => {
    await store.set('user:1', 'Ada');
    await store.set('user:<b>', 'x'.repeat(500), { ttl: '1h' });
    await store.set(Buffer.from('user:\xff', 'latin1'), Buffer.of(0, 0xff));
    await store.set('other', 'Bob');
    const text = await search('user:');
    for (const told of [
      '3 keys',
      'n1 asked every partition',
      'Ada',
      'user:<b>',
      'in 60 minutes',
      'base64 dXNlcjr/',
      'base64 AP8=',
    ]) {
      expect(text).toContain(told);
    }
    expect(text).not.toMatch(/more follow|Bob/);
    expect(await page.locator('#found tbody tr').count()).toBe(3);
    expect(await page.locator('#found b').count()).toBe(0);
    await page.getByRole('button', { name: 'user:1' }).click();
    await page.locator('#result', { hasText: 'Found "user:1"' }).waitFor();
    expect(await page.locator('#result').innerText()).toContain('Ada');
  });

  it('says that more follow than it shows, takes a prefix as it is typed, and says where nothing begins so', async () => {
    await store.batch(Array.from({ length: 51 }, (_, n) => ({ op: 'put', key: `many & more/${n}`, value: 'v' })));
    expect(await search('many & more/')).toContain('50 keys; more follow');
    expect(await page.locator('#found tbody tr').count()).toBe(50);
    expect(await search('nobody')).toContain('No key begins so');
  });

  it('tells why where there is no answer', async () => {
    const problem = { title: 'No leader can be reached', detail: 'Partition 3 has no leader.', code: 'no_leader' };
    await page.route(/\/v1\/kv\?/, (route) => {
      const contentType = 'application/problem+json';
      return route.fulfill({
        status: 503,
        contentType,
        headers: { 'Flotilla-Node': 'n1' },
        body: JSON.stringify(problem),
      });
    });
    const text = await search('a');
    expect(text).toContain('No leader can be reached');
    expect(text).toContain('Partition 3 has no leader.');
  });
});
