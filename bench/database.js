/**
 * Decides the storage layout of one node: ONE LevelDB database that holds Raft log and applied state, or TWO.
 *
 *   node bench/database.js [--seconds 130] [--preload 2000000] [--layouts one,two] [--dir DIR] [--out FILE]
 *
 * A layout may carry its own options: `two:buffer=16:writers=256:seconds=40`. Layouts:
 *   one       log records and state ride in the same synced batch;
 *   two       the state has its own database, written (synced too) every `flush` ms or every MiB, beside the log;
 *   two-each  as `two`, but a state batch starts as soon as the former one is durable;
 * Options, all also as --flags: seconds, writers, groups, keep (log entries per group), flush (ms), buffer / cache /
 * file (MiB of writeBufferSize / cacheSize / maxFileSize), compression (0/1), reads (0: apply without a prior read), order
 * (of log records: 0 by partition, then index; 1 by index, then partition, behind all partitions' state).
 *
 * In no layout does an unsynced write exist. Every run works on a fresh copy of one preloaded database and in a process
 * of its own, so peak memory, CPU time and bytes written are that run's. Results are added to the JSON file. Linux only:
 * it reads /proc. The machine need not be idle, but compare medians of layouts that ran in turns.
 */
import { fork, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { crc32 } from 'node:zlib';
import { ClassicLevel } from 'classic-level';

const MiB = 1024 * 1024;
const Kind = { log: 1, applied: 2, state: 3, sequence: 4 };
const RUN_DEFAULTS = { seconds: 130, writers: 64, groups: 12, keep: 20_000, flush: 50 };
const DATABASE_DEFAULTS = { buffer: 4, cache: 8, file: 2, compression: 1, reads: 1, order: 0 };
const MAX_DELETES_PER_BATCH = 256;
const STATE_BATCH_BYTES = MiB;

const noise = Buffer.from(Array.from({ length: MiB }, () => Math.random() * 256));

function keyOf(partition, kind, tailBytes) {
  const key = Buffer.allocUnsafe(5 + tailBytes);
  key.writeUInt32BE(partition, 0);
  key[4] = kind;
  return key;
}

function indexKey(partition, kind, index) {
  const key = keyOf(partition, kind, 8);
  key.writeUInt32BE(Math.floor(index / 2 ** 32), 5);
  key.writeUInt32BE(index % 2 ** 32, 9);
  return key;
}

function logKey(run, partition, index) {
  if (run.order === 0) return indexKey(partition, Kind.log, index);
  const key = Buffer.allocUnsafe(17);
  indexKey(0xffff_fffe, Kind.log, index).copy(key);
  key.writeUInt32BE(partition, 13);
  return key;
}

/** The multiplier is odd, hence a bijection on 32 bits: distinct ids make distinct keys, in scattered order. */
function stateKey(id, groups) {
  const key = keyOf(id % groups, Kind.state, 15);
  key.latin1Write(`item/${(Math.imul(id, 0x9e3779b1) >>> 0).toString(16).padStart(10, '0')}`, 5);
  return key;
}

/** A record as storage will write it: a header with a number, and incompressible content from a random pool. */
function record(headerBytes, contentBytes, number) {
  const bytes = Buffer.alloc(headerBytes + contentBytes);
  bytes.writeDoubleBE(number, 8);
  const start = Math.floor(Math.random() * (MiB - contentBytes));
  noise.copy(bytes, headerBytes, start, start + contentBytes);
  return bytes;
}

const stateRecord = (version) => record(30, 256, version);

function logRecord(index) {
  const bytes = record(40, 290, index);
  bytes.writeUInt32BE(crc32(bytes.subarray(4)), 0);
  return bytes;
}

const put = (key, value) => ({ type: 'put', key, value });
const del = (key) => ({ type: 'del', key });

async function openDatabase(directory, run) {
  const db = new ClassicLevel(directory, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    writeBufferSize: run.buffer * MiB,
    cacheSize: run.cache * MiB,
    maxFileSize: run.file * MiB,
    compression: run.compression !== 0,
  });
  await db.open();
  return db;
}

/** Writes the template that every run copies; reopens it and waits until its compactions have come to rest. */
async function preload(directory, run, keys) {
  const started = performance.now();
  let db = await openDatabase(directory, { ...run, buffer: 32 });
  for (let id = 0; id < keys;) {
    const operations = [];
    for (const end = Math.min(keys, id + 10_000); id < end; id++) {
      operations.push(put(stateKey(id, run.groups), stateRecord(id)));
    }
    await db.batch(operations, { sync: true });
  }
  await db.close();
  db = await openDatabase(directory, run);
  for (let before = ''; before !== db.getProperty('leveldb.stats'); await sleep(2000)) {
    before = db.getProperty('leveldb.stats');
  }
  await db.close();
  return (performance.now() - started) / 1000;
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** State that waits for its batch. Reads look here first; a later value of a key replaces the earlier one. */
class Overlay {
  records = new Map();
  applied = new Map();
  bytes = 0;

  set(key, value, group, index) {
    this.records.set(key.latin1Slice(), put(key, value));
    this.applied.set(group, index);
    this.bytes += key.length + value.length;
  }

  operations() {
    const operations = [...this.records.values()];
    for (const [group, index] of this.applied) {
      operations.push(put(keyOf(group, Kind.applied, 0), record(24, 0, index)));
    }
    return operations;
  }
}

class Node {
  batches = 0;
  stateBatches = 0;
  entries = 0;
  maxLagEntries = 0;
  lag = 0;
  latency = createHistogram();
  read = createHistogram();
  windows = [];
  gathering = new Overlay();
  writing = new Overlay();
  stateWrite = null;
  stateStarted = 0;

  constructor(run, keys, logDb, stateDb) {
    Object.assign(this, { run, keys, logDb, stateDb });
    this.groups = Array.from({ length: run.groups }, () => ({ first: 1, last: 0, durableState: 0 }));
  }

  async work() {
    const { run } = this;
    const started = performance.now();
    const end = started + run.seconds * 1000;
    let waiting = new Array(run.writers).fill(started); // One submit time per writer: all a writer is here.
    let committed = [];
    for (let now = started; now < end;) {
      const operations = [];
      const batch = waiting.map((submitted) => this.append(submitted, operations));
      this.truncate(operations);
      operations.push(put(indexKey(0, Kind.sequence, ++this.batches), Buffer.alloc(16)));
      operations.push(del(indexKey(0, Kind.sequence, Math.max(0, this.batches - 2))));
      const riding = run.layout === 'one' ? this.takeOverlay(operations) : null;
      const durable = this.logDb.batch(operations, { sync: true });
      this.apply(committed); // The former batch is applied while the disk works on this one.
      if (!riding) this.writeState();
      await durable;
      if (riding) this.stateDurable(riding);
      now = performance.now();
      for (const entry of batch) this.latency.record(Math.ceil((now - entry.submitted) * 1000));
      this.entries += batch.length;
      const window = Math.floor((now - started) / 10_000);
      this.windows[window] = (this.windows[window] ?? 0) + batch.length;
      committed = batch;
      waiting = new Array(batch.length).fill(now);
    }
    this.elapsed = (performance.now() - started) / 1000;
  }

  append(submitted, operations) {
    const group = Math.floor(Math.random() * this.groups.length);
    const index = ++this.groups[group].last;
    operations.push(put(logKey(this.run, group, index), logRecord(index)));
    return { submitted, group, index };
  }

  /** Only entries whose state is durable may go, and never more in one batch than delays its writers noticeably. */
  truncate(operations) {
    let budget = MAX_DELETES_PER_BATCH;
    this.groups.forEach((log, group) => {
      const end = Math.min(log.last - this.run.keep, log.durableState);
      for (; log.first <= end && budget > 0; budget--) operations.push(del(logKey(this.run, group, log.first++)));
    });
  }

  apply(committed) {
    for (const { group, index } of committed) {
      // A key of this very group: ids are dealt to groups by remainder.
      const perGroup = Math.floor(this.keys / this.groups.length);
      const key = stateKey(Math.floor(Math.random() * perGroup) * this.groups.length + group, this.groups.length);
      if (this.run.reads !== 0) this.readPrior(key);
      this.gathering.set(key, stateRecord(index), group, index);
    }
    this.lag += committed.length;
    this.maxLagEntries = Math.max(this.maxLagEntries, this.lag);
  }

  readPrior(key) {
    const name = key.latin1Slice();
    if (this.gathering.records.has(name) || this.writing.records.has(name)) return;
    const started = performance.now();
    const prior = this.stateDb.getSync(key);
    this.read.record(Math.ceil((performance.now() - started) * 1e6));
    if (prior === undefined) throw new Error('a preloaded key is missing');
  }

  /** Layout one: what is gathered rides in the batch that is about to start. */
  takeOverlay(operations) {
    const overlay = (this.writing = this.gathering);
    this.gathering = new Overlay();
    for (const operation of overlay.operations()) operations.push(operation);
    return overlay;
  }

  stateDurable(overlay) {
    for (const [group, index] of overlay.applied) this.groups[group].durableState = index;
    this.lag = this.groups.reduce((sum, log) => sum + log.last - log.durableState, 0);
    this.writing = new Overlay();
  }

  /** Layout two: starts a state batch beside the log's, if it is due and none is under way. */
  writeState() {
    if (this.stateWrite || this.gathering.applied.size === 0) return;
    const due = this.run.layout === 'two-each' || performance.now() - this.stateStarted >= this.run.flush;
    if (!due && this.gathering.bytes < STATE_BATCH_BYTES) return;
    this.stateStarted = performance.now();
    const overlay = (this.writing = this.gathering);
    this.gathering = new Overlay();
    this.stateBatches++;
    this.stateWrite = this.stateDb.batch(overlay.operations(), { sync: true }).then(() => {
      this.stateDurable(overlay);
      this.stateWrite = null;
    });
  }
}

const round = (value, digits = 1) => Number(value.toFixed(digits));
const procNumber = (file, pattern) => Number(pattern.exec(fs.readFileSync(file, 'latin1'))?.[1] ?? NaN);
const bytesWritten = () => procNumber('/proc/self/io', /^write_bytes: (\d+)/m);
const busyMs = () => os.cpus().reduce((sum, { times }) => sum + times.user + times.sys + times.nice, 0);
const mainThreadMs = () => procNumber(`/proc/self/task/${process.pid}/schedstat`, /^(\d+)/) / 1e6;
const percentiles = (histogram, unit) =>
  Object.fromEntries(
    [50, 99, 99.9, 100].map((p) => [p === 100 ? 'max' : `p${p}`, round(histogram.percentile(p) / unit, 2)]),
  );

/** The child process: one run on an existing directory. */
async function measure({ run, keys, directory }) {
  const open = async () => {
    const state = await openDatabase(path.join(directory, 'state'), run);
    return run.layout === 'one' ? [state, state] : [await openDatabase(path.join(directory, 'log'), run), state];
  };
  const [logDb, stateDb] = await open();
  const node = new Node(run, keys, logDb, stateDb);
  const loop = monitorEventLoopDelay({ resolution: 1 });
  const before = { cpu: process.cpuUsage(), busy: busyMs(), main: mainThreadMs(), written: bytesWritten() };
  loop.enable();
  await node.work();
  loop.disable();
  const usage = process.cpuUsage(before.cpu);
  const cpuMs = (usage.user + usage.system) / 1000;
  const othersMs = busyMs() - before.busy - cpuMs;
  const written = bytesWritten() - before.written;
  const mainMs = mainThreadMs() - before.main;
  await node.stateWrite;
  const levels = [...new Set([logDb, stateDb])].map((db) => db.getProperty('leveldb.stats').split('\n').slice(3));
  await Promise.all([logDb.close(), stateDb.close()]);
  const reopening = performance.now();
  const again = await open();
  const reopenMs = performance.now() - reopening;
  await Promise.all(again.map((db) => db.close()));
  const { entries, elapsed } = node;
  return {
    entriesPerSecond: round(entries / elapsed, 0),
    windows: node.windows.slice(0, Math.floor(run.seconds / 10)).map((count) => round(count / 10, 0)),
    latencyMs: percentiles(node.latency, 1000),
    readUs: { mean: round(node.read.mean / 1000), ...percentiles(node.read, 1000) },
    eventLoopDelayMs: percentiles(loop, 1e6),
    cpuUsPerEntry: round((cpuMs * 1000) / entries),
    mainThreadUsPerEntry: round((mainMs * 1000) / entries),
    bytesPerEntry: round(written / entries, 0),
    syncedBatchesPerSecond: round((node.batches + node.stateBatches) / elapsed, 0),
    entriesPerLogBatch: round(entries / node.batches),
    truncatedEntries: node.groups.reduce((sum, log) => sum + log.first - 1, 0),
    maxStateLagEntries: node.maxLagEntries, // What recovery applies again; a node would bound it, no run came near.
    diskMiB: round(Number(spawnSync('du', ['-sb', directory]).stdout.toString().split('\t')[0]) / MiB, 0),
    peakRssMiB: round(process.resourceUsage().maxRSS / 1024, 0),
    reopenMs: round(reopenMs, 0),
    coresOfOthers: round(othersMs / 1000 / elapsed, 2), // How busy the machine was with anything but this run.
    levels,
  };
}

function runInChild(task) {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), ['--child']);
    child.on('message', resolve);
    child.on('exit', (code) => reject(new Error(`the run ended with exit code ${code}`)));
    child.send(task);
  });
}

function parseLayout(text, defaults) {
  const [layout, ...options] = text.split(':');
  const own = options.map((option) => option.split('=')).map(([name, value]) => [name, Number(value)]);
  return { name: text, layout, ...defaults, ...Object.fromEntries(own) };
}

function printTable(runs) {
  console.table(
    runs.map((run) => ({
      layout: run.name,
      'entries/s': run.entriesPerSecond,
      'lowest 10 s': Math.min(...run.windows),
      'p50 ms': run.latencyMs.p50,
      'p99 ms': run.latencyMs.p99,
      'p99.9 ms': run.latencyMs['p99.9'],
      'max ms': run.latencyMs.max,
      'read µs': run.readUs.mean,
      'read p99 µs': run.readUs.p99,
      'read max ms': round(run.readUs.max / 1000),
      'CPU µs/entry': run.cpuUsPerEntry,
      'bytes/entry': run.bytesPerEntry,
      'disk MiB': run.diskMiB,
      'RSS MiB': run.peakRssMiB,
      'reopen ms': run.reopenMs,
      'cores of others': run.coresOfOthers,
    })),
  );
}

async function main() {
  const numbers = { ...RUN_DEFAULTS, ...DATABASE_DEFAULTS };
  const options = Object.fromEntries(Object.keys(numbers).map((name) => [name, { type: 'string' }]));
  const date = new Date().toISOString().slice(0, 10);
  const { values } = parseArgs({
    options: {
      ...options,
      preload: { type: 'string', default: '2000000' },
      layouts: { type: 'string', default: 'one,two' },
      dir: { type: 'string', default: os.tmpdir() },
      out: { type: 'string', default: fileURLToPath(new URL(`results/database-${date}.json`, import.meta.url)) },
      // For several invocations on one preloaded database: leaves it under --dir, and finds it there again.
      'keep-template': { type: 'boolean', default: false },
    },
  });
  for (const name of Object.keys(numbers)) if (values[name] !== undefined) numbers[name] = Number(values[name]);
  const keys = Number(values.preload);
  const plan = values.layouts.split(',').map((text) => parseLayout(text, numbers));
  // A directory of our own below --dir: it is removed whole, and what the user named must not be.
  const name = path.join(values.dir, 'flotilla-database');
  const work = values['keep-template'] ? name : fs.mkdtempSync(`${name}-`);
  const template = path.join(work, 'template');
  const finished = [];
  try {
    if (!fs.existsSync(template)) {
      const seconds = await preload(template, { ...numbers, ...DATABASE_DEFAULTS }, keys);
      console.log(`preloaded ${keys} keys in ${seconds.toFixed(0)} s`);
    }
    for (const run of plan) {
      const directory = path.join(work, 'run');
      fs.rmSync(directory, { recursive: true, force: true });
      fs.mkdirSync(directory, { recursive: true });
      fs.cpSync(template, path.join(directory, 'state'), { recursive: true });
      spawnSync('sync'); // The copy's own pages must not be written back during the run.
      const result = { ...run, at: new Date().toISOString(), ...(await runInChild({ run, keys, directory })) };
      finished.push(result);
      console.log(JSON.stringify({ ...result, levels: undefined }));
      saveRun(values.out, keys, result);
      fs.rmSync(directory, { recursive: true, force: true });
    }
  } finally {
    if (!values['keep-template']) fs.rmSync(work, { recursive: true, force: true });
  }
  printTable(finished);
}

function saveRun(file, keys, result) {
  const machine = { cpu: os.cpus()[0]?.model, cores: os.cpus().length, node: process.version, platform: os.platform() };
  const saved = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : { machine, keys, runs: [] };
  saved.runs.push(result);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, `${JSON.stringify(saved, null, 2)}\n`);
}

if (process.argv[2] === '--child') {
  process.once('disconnect', () => process.exit(1)); // Whoever asked is gone.
  process.once('message', async (task) => process.send(await measure(task), () => process.exit(0)));
} else {
  await main();
}
