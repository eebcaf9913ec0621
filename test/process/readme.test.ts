/**
 * The README's console blocks, typed as they stand at a fresh cluster: each command prints what is written below it. What differs from
 * run to run (revisions, times, names of requests, ports) is compared by its form.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startCluster, type TestCluster } from '../../src/testing/cluster.ts';

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

interface Step {
  readonly command: string;
  readonly output: string;
}

/** Of all blocks marked as `console`, in their order: later ones build on earlier ones. */
const steps: readonly Step[] = [...readme.matchAll(/^```console\n(.*?)^```/gms)].flatMap(([, block = '']) =>
  block
    .split(/^\$ /m)
    .slice(1)
    .map((text) => {
      const [command = '', ...output] = text.split(/(?<!\\)\n/);
      return { command, output: output.join('\n').trimEnd() };
    }),
);

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster();
}, 60_000);
afterAll(() => cluster.close());

/** As the README writes them: nodes on ports 7001 and following. */
function documented(text: string): string {
  return cluster.nodes.reduce((all, { url }, i) => all.replaceAll(new URL(url).host, `127.0.0.1:${7001 + i}`), text);
}

function real(command: string): string {
  return cluster.nodes.reduce((all, { url }, i) => all.replaceAll(`localhost:${7001 + i}`, new URL(url).host), command);
}

function form(text: string): string {
  return text
    .replaceAll(/\r/g, '')
    .replaceAll(/"revision":\d+/g, '"revision":N')
    .replaceAll(/(\\?")1-\d+(\\?")/g, '$11-N$2')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replaceAll(/"requestId":"[^"]*"/g, '"requestId":"R"')
    .replaceAll(/(staleness-ms|revision|term): \d+/gi, '$1: N')
    .replaceAll(/("leader":|led by |Leader: )"?n\d"?/g, '$1n')
    .trimEnd();
}

test('the README shows what every operation prints', async () => {
  expect(steps.length).toBeGreaterThan(20);
  for (const { command, output } of steps) {
    const { stdout, stderr } = await promisify(execFile)('sh', ['-c', real(command)]).catch(
      (error: unknown) => error as { stdout: string; stderr: string },
    );
    expect(form(documented(stdout + stderr)), command).toBe(form(output));
  }
}, 60_000);
