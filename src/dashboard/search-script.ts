/** The part of the page's script that finds keys by their prefix, and shows what becomes of them. Like the rest it writes what it is told only as text. */
export const searchScript = String.raw`
/* ---- finding keys ---- */

const shownKeysMax = 50;
const shownCharactersMax = 80;

function shortened(text) {
  return text.length <= shownCharactersMax ? text : text.slice(0, shownCharactersMax) + '…';
}

/* A key that is text leads to its value; one that is not cannot be typed into the form. */
function keyCell(item) {
  if (item.key === undefined) return make('td', { className: 'text', text: 'base64 ' + item.keyBase64 });
  const link = make('button', { className: 'link', text: item.key });
  link.type = 'button';
  link.addEventListener('click', () => {
    element('key').value = item.key;
    element('form').requestSubmit(element('form').querySelector('button[value=get]'));
  });
  return make('td', {}, link);
}

/* All but the key, which keeps its place and the focus. */
function foundCells(item) {
  const value = item.value === undefined ? 'base64 ' + item.valueBase64 : item.value;
  const cell = make('td', { className: 'text', text: shortened(value) });
  if (item.expiresAt !== undefined) cell.append(make('small', { text: 'expires ' + shownExpiry(item.expiresAt) }));
  return [cell, make('td', { className: 'number', text: String(item.revision) })];
}

/* The table of what was found, and what it shows of each key by now. */
function foundTable() {
  const head = make('tr', {});
  for (const [text, className] of [['Key', ''], ['Value', ''], ['Revision', 'number']]) {
    const cell = make('th', { className, text });
    cell.scope = 'col';
    head.append(cell);
  }
  const body = make('tbody', {});
  return { frame: make('div', { className: 'keys' }, make('table', {}, make('thead', {}, head), body)), body, rows: new Map(), drawn: false };
}

/* Touches only the rows that are not as they were: whoever reads or selects in the others is not disturbed. */
function drawRows(table, items) {
  const rows = new Map(items.map((item) => {
    const name = JSON.stringify([item.key, item.keyBase64]);
    return [name, drawnRow(item, table.rows.get(name), { quiet: !table.drawn })];
  }));
  for (const [name, { row }] of table.rows) if (!rows.has(name)) row.remove();
  let place = 0;
  for (const { row } of rows.values()) {
    const there = table.body.children[place];
    if (there !== row) table.body.insertBefore(row, there ?? null);
    place += 1;
  }
  table.rows = rows;
  table.drawn = true;
}

function drawnRow(item, known, { quiet }) {
  const state = JSON.stringify(item);
  if (known?.state === state) return known;
  const row = known?.row ?? make('tr', {}, keyCell(item));
  while (row.children.length > 1) row.lastChild.remove();
  row.append(...foundCells(item));
  if (!quiet) flash(row);
  return { row, state };
}

function foundSummary(items, { more, nodeId, tookMs }) {
  const count = items.length === 0 ? 'No key begins so' : items.length + (items.length === 1 ? ' key' : ' keys');
  const rest = more ? '; more follow, so narrow the prefix' : '';
  return count + rest + ' · ' + nodeId + ' asked every partition · ' + tookMs.toFixed(1) + ' ms';
}

async function find(prefix) {
  const started = performance.now();
  const answer = await fetch('/v1/kv?prefix=' + encodeURIComponent(prefix) + '&limit=' + shownKeysMax,
    { cache: 'no-store', headers: { 'Flotilla-Timeout-Ms': String(timeoutMs) }, signal: AbortSignal.timeout(timeoutMs + 1000) });
  const body = await answer.json();
  return { ok: answer.status === 200, body, more: body.cursor !== undefined, nodeId: answer.headers.get('Flotilla-Node'), tookMs: performance.now() - started };
}

/* ---- a list that changes while it is looked at ---- */

let listFollower;

/* Sorts as the store does: by bytes, one character for each. */
function keyBytes({ key, keyBase64 }) {
  return key === undefined ? atob(keyBase64) : String.fromCharCode(...new TextEncoder().encode(key));
}

/* Draws what was found, and returns how to draw it anew. */
function showFound(found) {
  const summary = make('p', { className: 'quiet' });
  const table = foundTable();
  const draw = ({ body, ...told }) => {
    summary.textContent = foundSummary(body.items, told);
    drawRows(table, body.items);
    table.frame.hidden = body.items.length === 0;
  };
  draw(found);
  element('found').replaceChildren(summary, table.frame);
  return draw;
}

function followList(prefix, found, draw) {
  let shown = found;
  const read = async (follower) => {
    const now = await find(prefix);
    if (!now.ok) throw new Error(now.body.detail);
    if (follower.stopped) return;
    element('found').setAttribute('aria-live', 'off');
    draw(now);
    shown = now;
  };
  /* What comes behind the last key that there is room for changes nothing. */
  const concerns = (type, change) => !shown.more || keyBytes(change) <= keyBytes(shown.body.items.at(-1));
  listFollower = new Follower({ query: 'prefix=' + encodeURIComponent(prefix), line: element('list-live'), read, concerns });
}

async function search(prefix) {
  listFollower?.stop();
  const found = await find(prefix);
  element('found').setAttribute('aria-live', 'polite');
  if (found.ok) return followList(prefix, found, showFound(found));
  element('found').replaceChildren(make('h3', { className: 'bad', text: found.body.title }), make('p', { text: found.body.detail }));
}

element('search').addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = element('search').querySelector('button');
  button.disabled = true;
  try {
    await search(element('prefix').value);
  } catch (error) {
    const words = error instanceof URIError ? 'The prefix holds half of a character pair, which no URL can carry.' : clearWords(error);
    element('found').replaceChildren(make('h3', { className: 'bad', text: 'No answer' }), make('p', { text: words }));
  } finally {
    button.disabled = false;
    button.focus();
  }
});
`;
