/**
 * The page's script, for browsers. It speaks the public HTTP API and nothing else, and it writes what it is told only
 * as text: no key or value ever becomes markup.
 */
import { liveScript } from './live-script.ts';
import { movesScript } from './moves-script.ts';
import { searchScript } from './search-script.ts';
import { tryScript } from './try-script.ts';

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

/* Something changed here: it is lit up for a moment, from the beginning each time. */
function flash(shown) {
  shown.classList.remove('changed');
  void shown.offsetWidth;
  shown.classList.add('changed');
}

/* ---- the state of the cluster ---- */

async function fetchJson(path, headers = {}) {
  const answer = await fetch(path, { cache: 'no-store', headers, signal: AbortSignal.timeout(timeoutMs) });
  if (!answer.ok) throw new Error((await answer.json()).detail);
  return { body: await answer.json(), nodeId: answer.headers.get('Flotilla-Node') };
}

function clearWords(error) {
  if (error instanceof DOMException && error.name === 'TimeoutError') return 'No answer came within ' + timeoutMs / 1000 + ' s.';
  if (error instanceof TypeError) return 'The connection failed: is the node running?';
  return error.message;
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
`;

/** Last, when all that it uses is there. */
const start = String.raw`
document.addEventListener('visibilitychange', () => { if (!document.hidden) void refresh(); });
void keepRefreshing();
`;

export const script = mainScript + movesScript + liveScript + tryScript + searchScript + start;
