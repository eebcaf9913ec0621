#!/usr/bin/env -S node --heap-growing-percent=100
/**
 * The committed launcher behind `bin` and `npm start`. Plain JavaScript on Node alone, because it runs before anything is
 * built: checks the Node version, builds when the sources are newer than what was built from them, then becomes the
 * program in `dist/`. A published package has `dist/` and needs neither sources nor a compiler. Why Node is given these flags is
 * said where others give them (`nodeFlags`).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const entry = join(dist, 'main.js');
/** The same program in a few files, which is sooner loaded. */
const bundle = join(dist, 'flotilla.js');
const bundler = join(root, 'config', 'bundle.js');
const nodeVersionMin = [20, 19];

checkNodeVersion();
if (!isBuilt()) build();
await import(pathToFileURL(existsSync(bundle) ? bundle : entry).href);

function checkNodeVersion() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > nodeVersionMin[0] || (major === nodeVersionMin[0] && minor >= nodeVersionMin[1])) return;
  fail(
    `Flotilla needs Node ${nodeVersionMin.join('.')} or newer; this is ${process.versions.node} (${process.execPath})`,
  );
}

/** True when every source has an output at least as new. What can't be built any more is taken as it is. */
function isBuilt() {
  if (!existsSync(entry)) return false;
  const sources = compiledSources();
  if (sources.length === 0 || compiler() === undefined) return true;
  const settings = Math.max(modifiedAt(join(root, 'tsconfig.json')) ?? 0, modifiedAt(bundler) ?? 0);
  const bundledAt = existsSync(bundler) ? (modifiedAt(bundle) ?? 0) : Infinity;
  return sources.every((source) => {
    const output = modifiedAt(join(dist, source.replace(/\.ts$/, '.js'))) ?? 0;
    const changed = Math.max(settings, modifiedAt(join(root, 'src', source)) ?? Infinity);
    return output >= changed && bundledAt >= changed;
  });
}

function compiledSources() {
  return readdirSync(join(root, 'src'), { recursive: true }).filter((name) => /(?<!\.d)\.ts$/.test(name));
}

/**
 * Compiles beside `dist/` and then takes its place, so that a build that fails or is interrupted leaves a working program.
 * Two at once both compile; whoever is second finds a fresh one and drops its own, so that the first, which may be
 * running from it by then, keeps its files.
 */
function build() {
  const tsc = compiler();
  if (tsc === undefined) fail('there is nothing built and no compiler to build it: run "npm ci" first');
  process.stderr.write('building...\n');
  const fresh = join(root, `.dist-building-${process.pid}`);
  const steps = [[tsc, '-p', root, '--outDir', fresh]];
  if (existsSync(bundler)) steps.push([bundler, fresh]);
  const failed = steps.map(runNode).find(({ status }) => status !== 0);
  if (failed === undefined && !isBuilt()) takeThePlaceOf(dist, fresh);
  rmSync(fresh, { recursive: true, force: true });
  if (failed !== undefined) fail(`the build failed:\n${failed.stdout}`);
}

function runNode(words) {
  return spawnSync(process.execPath, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}

function takeThePlaceOf(current, fresh) {
  const old = join(root, `.dist-old-${process.pid}`);
  if (existsSync(current)) renameSync(current, old);
  try {
    renameSync(fresh, current);
  } catch (error) {
    // Another build, of the same sources, got in between these two steps.
    if (!isBuilt()) throw error;
  }
  rmSync(old, { recursive: true, force: true });
}

function compiler() {
  try {
    return createRequire(import.meta.url).resolve('typescript/lib/tsc.js');
  } catch {
    return undefined;
  }
}

function modifiedAt(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
}

function fail(message) {
  process.stderr.write(`flotilla: ${message}\n`);
  process.exit(1);
}
