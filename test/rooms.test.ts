/** The rules that the compiler doesn't know: shows that each of them refuses what it is there for, and lets the rest pass. */
import { fileURLToPath } from 'node:url';
import { ESLint, type Linter } from 'eslint';
import tseslint from 'typescript-eslint';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const overrideConfigFile = `${root}config/eslint.config.js`;
const untyped = new ESLint({
  cwd: root,
  overrideConfigFile,
  overrideConfig: {
    ...tseslint.configs.disableTypeChecked,
    languageOptions: { parserOptions: { project: null } },
  } as Linter.Config,
});

/** The rules that a file with this content at this place would break. */
async function broken(eslint: ESLint, path: string, code: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath: `${root}${path}` });
  return (result?.messages ?? []).map((message) => message.ruleId ?? message.message);
}

const uses = (source: string): string => `import { thing } from '${source}';\nthing();\n`;
const usesType = (source: string): string => `import type { Thing } from '${source}';\nexport type Same = Thing;\n`;

describe('the rooms', () => {
  it.each([
    ['raft/quorum.ts', 'node:fs'],
    ['raft/quorum.ts', '../kv/machine.ts'],
    ['raft/quorum.ts', '../config.ts'],
    ['raft/quorum.ts', '../logger.ts'],
    ['kv/machine.ts', '../raft/types.ts'],
    ['kv/machine.ts', 'classic-level'],
    ['replica/replica.ts', '../storage/database.ts'],
    ['replica/replica.ts', '../node/node.ts'],
    ['storage/database.ts', '../raft/log.ts'],
    ['storage/database.ts', 'express'],
    ['transport/wire.ts', '../storage/keys.ts'],
    ['cluster/ring.ts', '../http/server.ts'],
    ['node/node.ts', '../http/server.ts'],
    ['http/server.ts', '../node/node.ts'],
    ['http/server.ts', '../raft/log.ts'],
    ['http/routes/keys.ts', '../../storage/keys.ts'],
    ['api/errors.ts', '../http/server.ts'],
    ['dashboard/page.ts', '../cluster/ring.ts'],
    ['client/client.ts', '../http/server.ts'],
    ['client/client.ts', '../cluster/router.ts'],
    ['testing/cluster.ts', '../node/node.ts'],
    ['cli/program.ts', '../node/node.ts'],
    ['main.ts', './storage/database.ts'],
    ['attic/old.ts', '../assert.ts'],
    ['raft/quorum.ts', '../../test/raft/cluster.ts'],
    ['raft/leader.ts', '../seeded-bugs.ts'],
    ['storage/commit-queue.ts', '../seeded-bugs.ts'],
    ['node/node.ts', '../seeded-bugs.ts'],
    ['cli/program.ts', '../seeded-bugs.ts'],
    ['http/server.ts', '../planted.ts'],
    ['raft/quorum.ts', 'prom-client'],
    ['storage/commit-queue.ts', 'prom-client'],
    ['http/server.ts', 'prom-client'],
    ['http/server.ts', '../metrics/metrics.ts'],
    ['storage/group-commit.ts', '../metrics/ports.ts'],
    ['metrics/metrics.ts', '../http/server.ts'],
  ])('refuse src/%s the import of %s', async (path, source) => {
    expect(await broken(untyped, `src/${path}`, uses(source))).toEqual(['rooms/imports']);
  });

  it.each([
    ['a re-export', "export { thing } from '../storage/keys.ts';\n"],
    ['a re-export of everything', "export * from '../storage/keys.ts';\n"],
    ['a lazy import', "export const lazy = () => import('../storage/keys.ts');\n"],
    ['a type', usesType('../storage/keys.ts')],
    ['a type in place', "export type Key = import('../storage/keys.ts').Key;\n"],
  ])('see through %s', async (_, code) => {
    expect(await broken(untyped, 'src/replica/replica.ts', code)).toEqual(['rooms/imports']);
  });

  it.each([
    ['raft/quorum.ts', './types.ts'],
    ['raft/quorum.ts', '../assert.ts'],
    ['kv/machine.ts', '../bytes.ts'],
    ['replica/replica.ts', '../kv/machine.ts'],
    ['replica/replica.ts', 'node:perf_hooks'],
    ['storage/database.ts', '../raft/types.ts'],
    ['storage/database.ts', 'classic-level'],
    ['transport/wire.ts', '../config.ts'],
    ['cluster/ring.ts', '../replica/replica.ts'],
    ['node/node.ts', '../transport/wire.ts'],
    ['http/routes/keys.ts', '../../api/errors.ts'],
    ['http/application.ts', 'express'],
    ['cli/program.ts', '../testing/cluster.ts'],
    ['client/leaders.ts', '../cluster/hash.ts'],
    ['main.ts', './node/node.ts'],
    ['raft/leader.ts', '../planted.ts'],
    ['storage/commit-queue.ts', '../planted.ts'],
    ['sim/worker.ts', '../seeded-bugs.ts'],
    ['metrics/metrics.ts', 'prom-client'],
    ['main.ts', './metrics/metrics.ts'],
  ])('let src/%s import %s', async (path, source) => {
    expect(await broken(untyped, `src/${path}`, uses(source))).toEqual([]);
  });

  it('let storage, node and http have the types of what is counted', async () => {
    for (const path of ['src/storage/group-commit.ts', 'src/node/group-host.ts', 'src/http/server.ts']) {
      expect(await broken(untyped, path, usesType('../metrics/ports.ts'))).toEqual([]);
    }
  });

  it('let storage and transport have the types of the ports, and nothing that runs', async () => {
    for (const path of ['src/storage/database.ts', 'src/transport/wire.ts']) {
      expect(await broken(untyped, path, usesType('../replica/ports.ts'))).toEqual([]);
      expect(await broken(untyped, path, uses('../replica/ports.ts'))).toEqual(['rooms/imports']);
    }
  });
});

describe('the pure rooms', () => {
  const impure: readonly (readonly [string, string])[] = [
    ['the wall clock', 'export const now = Date.now();\n'],
    ['a monotonic clock', 'export const now = performance.now();\n'],
    ['chance', 'export const chance = Math.random();\n'],
    ['a timer', 'setTimeout(() => {}, 1);\n'],
    ['a microtask', 'queueMicrotask(() => {});\n'],
    ['an async function', 'export async function wait() {}\n'],
    ['an async arrow', 'export const wait = async () => {};\n'],
    ['await', 'await thing;\n'],
    ['a promise', 'export const later = Promise.resolve();\n'],
    ['the process', 'export const user = process.env;\n'],
    ['an order that differs between machines', "export const order = 'a'.localeCompare('b');\n"],
  ];
  for (const room of ['raft', 'kv']) {
    it.each(impure)(`${room} refuses %s`, async (_, code) => {
      const rules = await broken(untyped, `src/${room}/types.ts`, code);
      expect(rules).toHaveLength(1);
      expect(rules[0]).toMatch(/^no-restricted-(globals|properties|syntax)$/);
    });
  }

  it('leave clocks and promises to the others', async () => {
    const code = impure.map(([, line]) => line).join('');
    expect(await broken(untyped, 'src/node/clock.ts', code)).toEqual([]);
  });
});

describe('the code', () => {
  it.each(['it.only', 'describe.skip', 'test.todo', 'it.only.each'])('refuses a %s left in a test', async (call) => {
    expect(await broken(untyped, 'test/rooms.test.ts', `${call}('a', () => {});\n`)).toEqual(['no-restricted-syntax']);
  });

  it('prints only in the command line', async () => {
    expect(await broken(untyped, 'src/node/node.ts', "console.log('x');\n")).toEqual(['no-console']);
    expect(await broken(untyped, 'src/cli/program.ts', "console.log('x');\n")).toEqual([]);
  });

  it('is checked with its types', async () => {
    // With CI=true the parser takes the run for a single one over unchanging files and reads the code from the disk.
    const fromText: Linter.Config = {
      languageOptions: { parserOptions: { disallowAutomaticSingleRunInference: true } },
    };
    const typed = new ESLint({ cwd: root, overrideConfigFile, overrideConfig: fromText });
    const code = `
      import { Agent } from 'node:http';
      export function careless(agent: Agent, value: 'a' | 'b', whatever: any): number {
        work();
        setTimeout(async () => work(), 1);
        switch (value) { case 'a': return 1; }
        return 2;
      }
      async function work(): Promise<void> { await Promise.resolve(); }
    `;
    expect((await broken(typed, 'src/node/clock.ts', code)).toSorted()).toEqual([
      '@typescript-eslint/consistent-type-imports',
      '@typescript-eslint/no-explicit-any',
      '@typescript-eslint/no-floating-promises',
      '@typescript-eslint/no-misused-promises',
      '@typescript-eslint/no-unused-vars',
      '@typescript-eslint/switch-exhaustiveness-check',
    ]);
  });
});
