/** One call of curl for each operation, made of the examples in the document. */
import type { Call, DocumentParameter } from './docs-document.ts';

/** Query parameters that may be left out, and without which the example would show little. */
const shownToo: Readonly<Record<string, readonly string[]>> = {
  scan: ['prefix'],
  watch: ['prefix'],
  deletePrefix: ['prefix', 'confirm'],
};

export function curlOf(call: Call, origin: string): string {
  const { method, operation } = call;
  // Lines of a stream are shown as they come; a redirect to the leader is followed.
  const flags = operation.operationId === 'watch' ? '-N' : '307' in operation.responses ? '-L' : '';
  const [type, body] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  const words = ['curl', flags, method === 'GET' ? '' : `-X ${method}`, quoted(origin + targetOf(call))];
  const data = type === undefined ? [] : bodyWords(type, body?.example);
  return [words.filter((word) => word !== '').join(' '), ...data].join(' \\\n  ');
}

function bodyWords(type: string, example: unknown): string[] {
  if (type === 'application/json') return [`-H 'Content-Type: ${type}'`, `-d '${JSON.stringify(example)}'`];
  return [`-H 'Content-Type: text/plain'`, `-d 'Ada'`];
}

function targetOf({ path, operation, parameters }: Call): string {
  const asked = shownToo[operation.operationId] ?? [];
  const query = parameters
    .filter((one) => one.in === 'query' && (one.required === true || asked.includes(one.name)))
    .map((one) => `${one.name}=${encodeURIComponent(exampleOf(one))}`);
  const place = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const parameter = parameters.find((one) => one.in === 'path' && one.name === name);
    return parameter === undefined ? '' : exampleOf(parameter);
  });
  return query.length === 0 ? place : `${place}?${query.join('&')}`;
}

function exampleOf({ example = '' }: DocumentParameter): string {
  return String(example);
}

/** Only where a shell would take it for something else. */
function quoted(address: string): string {
  return /[?&]/.test(address) ? `'${address}'` : address;
}
