/** The part of the page's script that sets, gets and deletes a key, and follows it then. Like the rest it writes what it is told only as text. */
export const tryScript = String.raw`
/* ---- set, get, delete ---- */

function keyPath(key) {
  /* No URL can carry these two: a browser resolves them as directories. */
  if (key === '.' || key === '..') return '/v1/kv64/' + btoa(key).replaceAll('=', '');
  return '/v1/kv/' + encodeURIComponent(key);
}

const methods = { set: 'PUT', get: 'GET', delete: 'DELETE' };
const headings = {
  set: (answer) => (answer.status === 201 ? 'Created' : 'Replaced'),
  get: () => 'Found',
  delete: () => 'Deleted',
};

/* A due time as this reader's clock has it, and how far that is. */
function shownExpiry(expiresAt) {
  const seconds = (new Date(expiresAt).getTime() - Date.now()) / 1000;
  const units = [['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]];
  const [unit, size] = units.find(([, one]) => Math.abs(seconds) >= 2 * one) ?? ['second', 1];
  const far = new Intl.RelativeTimeFormat('en').format(Math.round(seconds / size), unit);
  return new Date(expiresAt).toLocaleString() + ' (' + far + ')';
}

/* What the answer says of itself, and where its key lives; undefined where nobody could be asked. */
function facts(answer, body, tookMs, place) {
  const header = (name) => answer.headers.get(name);
  const expiresAt = header('Flotilla-Expires-At') ?? body?.expiresAt;
  return [
    ['Status', answer.status + (answer.statusText ? ' ' + answer.statusText : '')],
    ['Revision', header('Flotilla-Revision') ?? body?.revision],
    ['ETag', header('ETag')],
    ['Expires', expiresAt === undefined ? (answer.ok && body?.deleted === undefined ? 'never' : null) : shownExpiry(expiresAt)],
    ['Replicas', place?.replicas.join(', ')],
    ['Took', tookMs.toFixed(1) + ' ms'],
  ];
}

/* On who answered: the node that was asked, the partition, and its leader. An answer without a term is no leader's. */
function whoAnswered(answer, place) {
  const header = (name) => answer.headers.get(name);
  const node = header('Flotilla-Node') ?? 'An unknown node';
  const term = header('Flotilla-Term');
  if (term === null) {
    const home = place === undefined ? '' : ' The key lives in partition ' + place.partition + ', ' +
      (place.leader === null ? 'which has no leader now.' : 'led by ' + place.leader + '.');
    return node + ' answered, and asked no leader.' + home;
  }
  const where = 'partition ' + header('Flotilla-Partition') + ' in term ' + term + '.';
  const leader = header('Flotilla-Leader');
  return leader === null ? node + ' answered: it leads ' + where : node + ' asked ' + leader + ', which leads ' + where;
}

async function locate(key) {
  /* No URL can carry these two here. */
  if (key === '.' || key === '..') return undefined;
  try {
    return (await fetchJson('/v1/locate/' + encodeURIComponent(key))).body;
  } catch {
    return undefined;
  }
}

function factList(rows) {
  const list = make('dl', {});
  for (const [name, value] of rows) {
    if (value === null || value === undefined) continue;
    list.append(make('dt', { text: name }), make('dd', { text: String(value) }));
  }
  return list;
}

/* A value as text where it is UTF-8, and as hex where it is not. */
function shownValue(bytes, contentType) {
  const size = bytes.length.toLocaleString('en') + (bytes.length === 1 ? ' byte' : ' bytes') + ' of ' + contentType;
  if (bytes.length === 0) return [make('p', { className: 'quiet', text: 'The value is empty: ' + size + '.' })];
  const shownMax = 20000;
  const cut = bytes.length > shownMax ? ', the first ' + shownMax.toLocaleString('en') + ' shown' : '';
  let text;
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    text = new TextDecoder().decode(bytes.subarray(0, shownMax));
  } catch {
    text = Array.from(bytes.subarray(0, shownMax), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  }
  return [make('pre', { text }), make('p', { className: 'quiet', text: size + cut })];
}

const outcomes = {
  not_applied: 'Nothing was changed.',
  unknown: 'It is not known whether this was applied: it may be, now or later, once or never.',
};

function showFailure(heading, detail, rows, who) {
  element('result').replaceChildren(make('h3', { className: 'bad', text: heading }), make('p', { text: detail }),
    ...(who === undefined ? [] : [make('p', { className: 'told', text: who })]), factList(rows));
}

async function ask(action, key, value, ttl) {
  const started = performance.now();
  const options = { method: methods[action], cache: 'no-store', signal: AbortSignal.timeout(timeoutMs + 1000),
    headers: { 'Flotilla-Route': 'forward', 'Flotilla-Timeout-Ms': String(timeoutMs) } };
  if (action === 'set') {
    options.body = value;
    options.headers['Content-Type'] = 'text/plain; charset=utf-8';
  }
  const lifetime = action === 'set' && ttl !== '' ? '?ttl=' + encodeURIComponent(ttl) : '';
  const answer = await fetch(keyPath(key) + lifetime, options);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const tookMs = performance.now() - started;
  const body = answer.ok && action === 'get' ? undefined : JSON.parse(new TextDecoder().decode(bytes));
  return { key, answer, bytes, body, tookMs };
}

/* Of a key that is there; undefined where it is not. */
function revisionOf({ answer, body }) {
  if (!answer.ok || body?.deleted) return undefined;
  return Number(answer.headers.get('Flotilla-Revision') ?? body?.revision);
}

function showProblem(action, { answer, body, tookMs }, place) {
  const detail = body.detail + (action === 'get' ? '' : ' ' + outcomes[body.outcome]);
  const retry = body.retryable ? ' Trying again may help.' : '';
  const rows = [...facts(answer, body, tookMs, place), ['Code', body.code], ['Request', body.requestId]];
  showFailure(body.title, detail + retry, rows, whoAnswered(answer, place));
}

function showSuccess(action, heading, { key, answer, bytes, body, tookMs }, place) {
  const contentType = answer.headers.get('Content-Type') ?? 'bytes';
  element('result').replaceChildren(
    make('h3', { className: 'good', text: heading }, document.createTextNode(' ' + JSON.stringify(key))),
    ...(action === 'get' ? shownValue(bytes, contentType) : []),
    make('p', { className: 'told', text: whoAnswered(answer, place) }),
    factList(facts(answer, body, tookMs, place)));
}

async function run(action, key, value, ttl) {
  keyFollower?.stop();
  const asked = await ask(action, key, value, ttl);
  const place = await locate(key);
  /* What the reader did is read out; what others do, at any time, is not. */
  element('result').setAttribute('aria-live', 'polite');
  if (asked.answer.ok) showSuccess(action, headings[action](asked.answer), asked, place);
  else showProblem(action, asked, place);
  if (asked.answer.ok || asked.body.code === 'key_not_found') followKey(key, revisionOf(asked));
}

/* ---- a key that changes while it is looked at ---- */

let keyFollower;

function followKey(key, revision) {
  let shown = revision;
  const read = async (follower) => {
    const asked = await ask('get', key);
    const absent = asked.body?.code === 'key_not_found';
    if (!asked.answer.ok && !absent) throw new Error(asked.body.detail);
    const now = revisionOf(asked);
    if (follower.stopped || now === shown) return;
    const place = await locate(key);
    if (follower.stopped) return;
    shown = now;
    element('result').setAttribute('aria-live', 'off');
    if (absent) showGone(key, follower.lastType === 'expire' ? 'Expired' : 'Deleted', asked, place);
    else showSuccess('get', 'Changed', asked, place);
    flash(element('result'));
  };
  keyFollower = new Follower({ query: 'key=' + encodeURIComponent(key), line: element('key-live'), read, concerns: () => true });
}

function showGone(key, heading, { answer, tookMs }, place) {
  element('result').replaceChildren(
    make('h3', { className: 'warn', text: heading }, document.createTextNode(' ' + JSON.stringify(key))),
    make('p', { className: 'told', text: 'The key was here and is not any more. If it is set again, it is shown here.' }),
    factList(facts(answer, undefined, tookMs, place).filter(([name]) => name !== 'Status')));
}

element('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const action = event.submitter?.value ?? 'set';
  const buttons = element('form').querySelectorAll('button');
  for (const button of buttons) button.disabled = true;
  try {
    await run(action, element('key').value, element('value').value, element('ttl').value.trim());
  } catch (error) {
    const unknown = action === 'get' || error instanceof URIError ? '' : ' ' + outcomes.unknown;
    const words = error instanceof URIError ? 'The key holds half of a character pair, which no URL can carry.' : clearWords(error);
    showFailure('No answer', words + unknown, []);
  } finally {
    for (const button of buttons) button.disabled = false;
    event.submitter?.focus();
  }
  void refresh();
});
`;
