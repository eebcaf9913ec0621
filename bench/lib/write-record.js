/** What was written and read, so that it can be shown afterwards that a store which keeps its word can have answered so. */
import { checkHistory } from '../../dist/history/check.js';
import { describeViolation } from '../../dist/history/describe.js';
import { partitionOf } from './partitions.js';
import { randomText } from './report.js';
import { inParallel } from './requests.js';

/** Puts, and as many gets, of one key: few enough for the check of its history to come to an end. */
const repeatsMax = 20;
const readsInParallel = 64;

export class WriteRecord {
  #partitions;
  #filler;
  #unused = new Map();
  #drawn = 0;
  #repeated = new Map();
  #once = [];
  #operations = [];
  #versions = 0;

  constructor(partitions, valueBytes) {
    this.#partitions = partitions;
    this.#filler = randomText(valueBytes);
  }

  /** Puts a key that was never used and never will be again. */
  async putOnce(client, partition) {
    const key = this.#newKey(partition);
    const result = await client.put({ key, partition }, this.#valueOf(key));
    if (result.outcome === 'done') this.#once.push({ key, partition });
    return result;
  }

  /** The key whose history is under way in this partition; after so many uses another one. */
  keyToRepeat(partition) {
    let repeated = this.#repeated.get(partition);
    if (repeated === undefined || repeated.uses >= repeatsMax) {
      repeated = { key: this.#newKey(partition), partition, uses: 0 };
      this.#repeated.set(partition, repeated);
    }
    repeated.uses += 1;
    return repeated;
  }

  async put(client, { key, partition }) {
    const version = (this.#versions += 1);
    const call = performance.now();
    const result = await client.put({ key, partition }, this.#valueOf(version));
    const { outcome, answer } = result;
    const told = { process: 'writer', op: 'put', key, input: String(version), call };
    const output = outcome === 'done' ? { revision: revisionOf(answer) } : null;
    const known = { done: 'ok', not_applied: 'failed', unknown: 'unknown' }[outcome];
    this.#operations.push({ ...told, output, outcome: known, return: performance.now(), partition });
    return result;
  }

  /** A read that was never answered shows nothing. */
  async get(client, { key, partition }) {
    const call = performance.now();
    const { outcome, answer } = await client.get({ key, partition });
    if (outcome !== 'done') return false;
    const output = answer.status === 404 ? null : { value: versionIn(answer.body), revision: revisionOf(answer) };
    const told = { process: 'reader', op: 'get', key, input: null, call };
    this.#operations.push({ ...told, output, outcome: 'ok', return: performance.now(), partition });
    return true;
  }

  /** Reads all again. `lost` are keys whose acknowledged value is not there, `unread` those that nobody answered for. */
  async verify(client) {
    const [lost, unread] = [[], []];
    await inParallel(this.#once, readsInParallel, async ({ key, partition }) => {
      const { outcome, answer } = await client.get({ key, partition });
      if (outcome !== 'done') unread.push(key);
      else if (answer.body !== this.#valueOf(key)) lost.push(key);
    });
    const repeated = new Map(this.#operations.map(({ key, partition }) => [key, { key, partition }]));
    await inParallel([...repeated.values()], readsInParallel, async (request) => {
      if (!(await this.get(client, request))) unread.push(request.key);
    });
    const check = checkHistory(this.#operations);
    const history = { type: check.type, keys: repeated.size, operations: this.#operations.length };
    if (check.type === 'violation') history.words = describeViolation(check);
    if (check.type === 'undecided') history.words = check.keys;
    return { acknowledged: this.#once.length, lost, unread, history };
  }

  #newKey(partition) {
    for (;;) {
      const key = this.#unused.get(partition)?.shift();
      if (key !== undefined) return key;
      this.#drawn += 1;
      const drawn = `write-${this.#drawn}`;
      const id = partitionOf(this.#partitions, drawn);
      if (!this.#unused.has(id)) this.#unused.set(id, []);
      this.#unused.get(id).push(drawn);
    }
  }

  #valueOf(name) {
    return `${name} ${this.#filler}`;
  }
}

function versionIn(body) {
  return body.slice(0, body.indexOf(' '));
}

/** An ETag is made of the partition's incarnation and the revision; the incarnation stays while the cluster lives. */
function revisionOf({ headers }) {
  return Number(/-(\d+)"$/.exec(headers.etag)[1]);
}
