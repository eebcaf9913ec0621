/**
 * The page's script, for browsers. It speaks the public HTTP API and nothing else, and it writes what it is told only
 * as text: no key or value ever becomes markup.
 */
import { movesScript } from './moves-script.ts';
import { searchScript } from './search-script.ts';

const mainScript = String.raw`
'use strict';
const refreshMs = 2000;
const timeoutMs = 5000;
const element = (id) => document.getElementById(id);

function make(tag, options, ...children) {
  const made = document.createElement(tag);
  if (options.className) made.className = options.className;
  if (options.text !== undefined) made.textContent = options.text;
  made.append(...children);
  return made;
}

/* ---- the state of the cluster ---- */

async function fetchJson(path, headers = {}) {
  const answer = await fetch(path, { cache: 'no-store', headers, signal: AbortSignal.timeout(timeoutMs) });
  if (!answer.ok) throw new Error((await answer.json()).detail);
  return { body: await answer.json(), nodeId: answer.headers.get('Flotilla-Node') };
}

/* Redraws only what has changed, so that a selection or the focus in the rest stays. */
const drawn = new Map();
function draw(id, data, render) {
  const text = JSON.stringify(data);
  if (drawn.get(id) === text) return;
  drawn.set(id, text);
  element(id).replaceChildren(...data.map(render));
}

const stateClass = (state) => (state === 'up' ? 'good' : state === 'down' ? 'bad' : 'warn');

function nodeRow(node) {
  const name = make('td', {}, make('strong', { text: node.nodeId }), make('small', { text: node.http.split('//').at(-1) }));
  const labels = Object.entries(node.labels).map(([label, value]) => label + ' ' + value).join(', ');
  if (labels) name.append(make('small', { text: labels }));
  return make('tr', {}, name,
    make('td', {}, make('span', { className: 'state ' + stateClass(node.state), text: node.state })),
    make('td', { className: 'number', text: String(node.leads) }),
    make('td', { className: 'number', text: String(node.replicas) }));
}

function replicaItem(replica) {
  const ok = replica.state === 'ok';
  const behind = ok && replica.lag > 0 ? ' −' + replica.lag : '';
  const learner = replica.role === 'learner';
  const words = replica.nodeId + (learner ? ' learner' : '') + (ok ? behind : ' ' + replica.state.replace('_', ' '));
  return make('li', { className: 'replica ' + (!ok ? 'bad' : learner || replica.lag > 100 ? 'warn' : 'good'), text: words });
}

function partitionItem(partition) {
  const lag = Math.max(0, ...partition.replicas.map((replica) => replica.lag));
  const keys = partition.keys === undefined ? '' : partition.keys.toLocaleString('en') + (partition.keys === 1 ? ' key' : ' keys');
  const heading = make('h3', {}, make('span', { text: 'p' + partition.id }),
    make('span', { className: partition.leader === null ? 'bad' : '', text: partition.leader ?? 'no leader' }));
  return make('li', { className: partition.leader === null ? 'lost' : '' }, heading,
    make('p', { text: 'term ' + partition.term + ' · lag ' + lag }), make('p', { text: keys }),
    make('ul', { className: 'replicas' }, ...partition.replicas.map(replicaItem)));
}

/* A node that comes or goes is no trouble, and one that has gone is no member. */
function nodesWords(nodes) {
  const inState = (state) => nodes.filter((node) => node.state === state).length;
  const passing = ['joining', 'draining'].filter((state) => inState(state) > 0).map((state) => ', ' + inState(state) + ' ' + state);
  return inState('up') + ' of ' + (nodes.length - inState('removed')) + ' nodes up' + passing.join('');
}

function showHealth(nodes, partitions) {
  const led = partitions.filter((partition) => partition.leader !== null).length;
  const health = element('health');
  const all = led === partitions.length;
  health.className = 'pill ' + (!all ? 'bad' : nodes.some((node) => node.state === 'down') ? 'warn' : 'good');
  const words = nodesWords(nodes) + (all ? '' : ', ' + (partitions.length - led) + ' partitions without a leader');
  if (health.textContent !== words) health.textContent = words;
  element('partitions-summary').textContent = led + ' of ' + partitions.length + ' led · leader on the right, replicas with how far they lag';
}

async function refresh() {
  const banner = element('banner');
  void refreshMoves();
  try {
    const [cluster, partitions] = await Promise.all([fetchJson('/v1/cluster'), fetchJson('/v1/cluster/partitions')]);
    element('cluster-name').textContent = 'cluster ' + cluster.body.name;
    element('node-id').textContent = cluster.nodeId ?? 'an unknown node';
    draw('nodes', cluster.body.nodes, nodeRow);
    draw('partitions', partitions.body, partitionItem);
    showHealth(cluster.body.nodes, partitions.body);
    element('updated').textContent = 'last at ' + new Date().toLocaleTimeString();
    banner.hidden = true;
  } catch (error) {
    const words = 'This node does not answer; what you see is as it was last known. ' + clearWords(error);
    if (banner.textContent !== words) banner.textContent = words;
    banner.hidden = false;
    element('health').className = 'pill bad';
    element('health').textContent = 'no answer';
  }
}

async function keepRefreshing() {
  for (;;) {
    if (!document.hidden) await refresh();
    await new Promise((resolve) => setTimeout(resolve, refreshMs));
  }
}

/* ---- set, get, delete ---- */

function keyPath(key) {
  /* No URL can carry these two: a browser resolves them as directories. */
  if (key === '.' || key === '..') return '/v1/kv64/' + btoa(key).replaceAll('=', '');
  return '/v1/kv/' + encodeURIComponent(key);
}

function clearWords(error) {
  if (error instanceof DOMException && error.name === 'TimeoutError') return 'No answer came within ' + timeoutMs / 1000 + ' s.';
  if (error instanceof TypeError) return 'The connection failed: is the node running?';
  return error.message;
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

async function run(action, key, value, ttl) {
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
  const place = await locate(key);
  const who = whoAnswered(answer, place);
  if (!answer.ok) {
    const problem = JSON.parse(new TextDecoder().decode(bytes));
    const detail = problem.detail + (action === 'get' ? '' : ' ' + outcomes[problem.outcome]);
    const retry = problem.retryable ? ' Trying again may help.' : '';
    return showFailure(problem.title, detail + retry, [...facts(answer, problem, tookMs, place), ['Code', problem.code], ['Request', problem.requestId]], who);
  }
  const body = action === 'get' ? undefined : JSON.parse(new TextDecoder().decode(bytes));
  const contentType = answer.headers.get('Content-Type') ?? 'bytes';
  element('result').replaceChildren(
    make('h3', { className: 'good', text: headings[action](answer) }, document.createTextNode(' ' + JSON.stringify(key))),
    ...(action === 'get' ? shownValue(bytes, contentType) : []),
    make('p', { className: 'told', text: who }),
    factList(facts(answer, body, tookMs, place)));
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

/** Last, when all that it uses is there. */
const start = String.raw`
document.addEventListener('visibilitychange', () => { if (!document.hidden) void refresh(); });
void keepRefreshing();
`;

export const script = mainScript + movesScript + searchScript + start;
