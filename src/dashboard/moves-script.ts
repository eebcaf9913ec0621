/** The part of the page's script that shows what moves from node to node. Like the rest it writes what it is told only as text. */
export const movesScript = String.raw`
/* ---- moves ---- */

const reasonWords = {
  join: 'a node joins', drain: 'a node leaves', replace: 'a node is lost', repair: 'a replica is missing',
  balance: 'evens out', purge: 'clears what is left',
};
const stepWords = {
  waiting: 'waits its turn', learner: 'begins to copy', catch_up: 'catches up', voters: 'gets its vote',
  leave: 'the old one leaves', record: 'is noted down',
};

function progressBar(share) {
  const bar = document.createElement('progress');
  bar.value = share;
  const percent = Math.floor(share * 100) + '%';
  bar.append(percent);
  return make('td', { className: 'number' }, bar, make('small', { text: percent }));
}

function moveRow(move) {
  const lag = move.lag > 0 ? ' · ' + move.lag.toLocaleString('en') + ' entries behind' : '';
  const step = make('td', { text: (stepWords[move.step] ?? move.step) + lag });
  if (move.blockedBy !== undefined) step.append(make('small', { className: 'warn', text: move.blockedBy }));
  const places = (nodes) => nodes.length === 0 ? 'none' : nodes.join(', ');
  return make('tr', {},
    make('td', {}, make('strong', { text: 'p' + move.partition }), make('small', { text: reasonWords[move.reason] ?? move.reason })),
    make('td', { text: places(move.from) + ' → ' + places(move.to) }), step, progressBar(move.progress));
}

/* Shown while something moves, and where nobody can say: there is nothing to see otherwise. */
function showMoves(operations, unknown) {
  const summary = unknown === undefined ? operations.length + ' under way or waiting' : 'Not known now. ' + unknown;
  if (element('moves-summary').textContent !== summary) element('moves-summary').textContent = summary;
  draw('moves', operations, moveRow);
  element('moves-table').hidden = operations.length === 0;
  element('moves-section').hidden = operations.length === 0 && unknown === undefined;
}

/* Beside the rest, which does not wait for it: whoever decides on moves may be without a leader while all keys are served. */
let askingForMoves = false;
async function refreshMoves() {
  if (askingForMoves) return;
  askingForMoves = true;
  try {
    const { body } = await fetchJson('/v1/cluster/operations', { 'Flotilla-Timeout-Ms': String(refreshMs) });
    showMoves(body.operations, undefined);
  } catch (error) {
    showMoves([], clearWords(error));
  } finally {
    askingForMoves = false;
  }
}
`;
