/** One request for one key, sent until something is known of it: what any careful client does by itself. */
import http from 'node:http';
import { attempt, outcomeOf } from './requests.js';
import { sleep } from './report.js';

/** A request that is refused all the time is given up then. */
const giveUpMs = 10_000;
const redirectsMax = 5;
const [pauseMsMin, pauseMsMax] = [10, 100];

/**
 * Follows redirects and remembers where each partition was answered; sends again what was `not applied` or met nobody who
 * listened. A put whose outcome is not known is not sent again: it may have been applied.
 */
export class KeyClient {
  #urls;
  #leaders = new Map();
  #agent = new http.Agent({ keepAlive: true });

  /** `urls()`: where requests may be sent at this moment, at least one. */
  constructor(urls) {
    this.#urls = urls;
  }

  close() {
    this.#agent.destroy();
  }

  /** Resolves to { outcome: 'done' | 'not_applied' | 'unknown', answer, again }; `again`: how often it was sent but once. */
  put(request, body) {
    return this.#send('PUT', request, body, this.#leaders.get(request.partition));
  }

  /** As `put`, and also `done` when there is no such key. Asks any node, so that those are heard too that lead nothing. */
  get(request) {
    return this.#send('GET', request, undefined, undefined);
  }

  async #send(method, { key, partition }, body, first) {
    const endsAt = performance.now() + giveUpMs;
    let url = first ?? this.#anyUrl();
    let redirects = 0;
    let pauseMs = pauseMsMin;
    for (let again = 0; ; again += 1) {
      const answer = await attempt(this.#agent, method, `${url}/v1/kv/${key}`, { body, timeoutMs: giveUpMs });
      const outcome = outcomeFor(method, answer);
      if (outcome === 'done') {
        this.#leaders.set(partition, url);
        return { outcome, answer, again };
      }
      if (outcome === 'unknown' || performance.now() > endsAt) return { outcome, answer, again };
      const location = answer.headers?.location;
      if (answer.status === 307 && location !== undefined && redirects < redirectsMax) {
        redirects += 1;
        url = new URL(location).origin;
        continue;
      }
      if (this.#leaders.get(partition) === url) this.#leaders.delete(partition);
      await sleep(pauseMs);
      pauseMs = Math.min(2 * pauseMs, pauseMsMax);
      redirects = 0;
      url = this.#leaders.get(partition) ?? this.#anyUrl();
    }
  }

  #anyUrl() {
    const urls = this.#urls();
    return urls[Math.floor(Math.random() * urls.length)];
  }
}

function outcomeFor(method, answer) {
  const outcome = outcomeOf(answer);
  if (outcome === 'done' || (method === 'GET' && answer.status === 404)) return 'done';
  if (outcome === 'refused' || method === 'GET') return 'not_applied';
  return outcome === 'lost' ? 'unknown' : outcome;
}
