/** The part of the page's script that finds keys by their prefix. Like the rest it writes what it is told only as text. */
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

function foundRow(item) {
  const value = item.value === undefined ? 'base64 ' + item.valueBase64 : item.value;
  const cell = make('td', { className: 'text', text: shortened(value) });
  if (item.expiresAt !== undefined) cell.append(make('small', { text: 'expires ' + shownExpiry(item.expiresAt) }));
  return make('tr', {}, keyCell(item), cell, make('td', { className: 'number', text: String(item.revision) }));
}

function foundTable(items) {
  const head = make('tr', {});
  for (const [text, className] of [['Key', ''], ['Value', ''], ['Revision', 'number']]) {
    const cell = make('th', { className, text });
    cell.scope = 'col';
    head.append(cell);
  }
  const table = make('table', {}, make('thead', {}, head), make('tbody', {}, ...items.map(foundRow)));
  return make('div', { className: 'keys' }, table);
}

function foundSummary(items, { more, nodeId, tookMs }) {
  const count = items.length === 0 ? 'No key begins so' : items.length + (items.length === 1 ? ' key' : ' keys');
  const rest = more ? '; more follow, so narrow the prefix' : '';
  return count + rest + ' · ' + nodeId + ' asked every partition · ' + tookMs.toFixed(1) + ' ms';
}

async function search(prefix) {
  const started = performance.now();
  const answer = await fetch('/v1/kv?prefix=' + encodeURIComponent(prefix) + '&limit=' + shownKeysMax,
    { cache: 'no-store', headers: { 'Flotilla-Timeout-Ms': String(timeoutMs) }, signal: AbortSignal.timeout(timeoutMs + 1000) });
  const body = await answer.json();
  if (answer.status !== 200) {
    return [make('h3', { className: 'bad', text: body.title }), make('p', { text: body.detail })];
  }
  const told = { more: body.cursor !== undefined, nodeId: answer.headers.get('Flotilla-Node'), tookMs: performance.now() - started };
  const summary = make('p', { className: 'quiet', text: foundSummary(body.items, told) });
  return body.items.length === 0 ? [summary] : [summary, foundTable(body.items)];
}

element('search').addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = element('search').querySelector('button');
  button.disabled = true;
  try {
    element('found').replaceChildren(...(await search(element('prefix').value)));
  } catch (error) {
    const words = error instanceof URIError ? 'The prefix holds half of a character pair, which no URL can carry.' : clearWords(error);
    element('found').replaceChildren(make('h3', { className: 'bad', text: 'No answer' }), make('p', { text: words }));
  } finally {
    button.disabled = false;
    button.focus();
  }
});
`;
