/** Requests over `node:http`, and what came of them. */
import http from 'node:http';

/** Sends one request over `agent`; resolves to { status, headers, body }. Rejects when there is no answer. */
export async function send(agent, method, url, options = {}) {
  const result = await attempt(agent, method, url, options);
  if (result.type === 'answered') return result;
  throw result.error;
}

/**
 * Sends one request over `agent`; never rejects. Resolves to
 * { type: 'answered', status, headers, body },
 * { type: 'refused', error }: there was no connection, so nothing was sent; or
 * { type: 'lost', error, reused }: there was one, and no whole answer came within `timeoutMs`. On a `reused` connection the
 * server may have closed it before it read anything; the client cannot know.
 */
export function attempt(agent, method, url, { body, headers, timeoutMs = 20_000 } = {}) {
  return new Promise((resolve) => {
    let connected = false;
    const request = http.request(url, { method, agent, headers }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', fail);
      response.on('end', () => {
        clearTimeout(timer);
        const text = Buffer.concat(chunks).toString();
        resolve({ type: 'answered', status: response.statusCode, headers: response.headers, body: text });
      });
    });
    const timer = setTimeout(() => request.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    const fail = (error) => {
      clearTimeout(timer);
      resolve(connected ? { type: 'lost', error, reused: request.reusedSocket } : { type: 'refused', error });
    };
    request.on('socket', (socket) => {
      if (socket.connecting) socket.once('connect', () => (connected = true));
      else connected = true;
    });
    request.on('error', fail);
    request.end(body);
  });
}

/**
 * What a client knows of a write after an `attempt`: `done`; `not_applied` (refused by an answer); `refused` (nobody
 * listened); `unknown` (an answer that says so, 504 mostly); `lost` (no answer: just as unknown).
 */
export function outcomeOf(result) {
  if (result.type !== 'answered') return result.type;
  if (result.status >= 200 && result.status < 300) return 'done';
  return result.status === 504 || outcomeInProblem(result.body) === 'unknown' ? 'unknown' : 'not_applied';
}

function outcomeInProblem(body) {
  try {
    return JSON.parse(body).outcome;
  } catch {
    return undefined;
  }
}

/** Runs `work(item)` for all items, `width` at a time. */
export async function inParallel(items, width, work) {
  let next = 0;
  const lane = async () => {
    while (next < items.length) await work(items[next++]);
  };
  await Promise.all(Array.from({ length: width }, lane));
}
