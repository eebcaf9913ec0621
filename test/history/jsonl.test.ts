/** Histories as text: what is written is read again, and what is no history is refused with its line. */
import { describe, expect, it } from 'vitest';
import { formatOperation, parseOperation, readHistory } from '../../src/history/jsonl.ts';
import { failed, get, put, remove, unknown } from './build.ts';
import { linearizableHistory, seeded } from './generator.ts';

const line = '{"process":1,"op":"get","key":"k","input":null,"output":null,"call":1,"return":2,"outcome":"ok"}';

describe('a written history', () => {
  const shape = { operations: 300, clients: 5, keys: 3, unknownShare: 0.1, failedShare: 0.1, deleteShare: 0.2 };
  const operations = [
    ...linearizableHistory(shape, seeded(1)),
    put('a "quoted"\nvalue \u2028 ü', [1, 2], { created: true }),
    get(['x', 3], [1, 1]),
    unknown(remove(true, [1, 2])),
    failed(put('x', [1, 2])),
  ];
  const text = operations.map(formatOperation).join('');

  it('is read again as it was, one line each', async () => {
    expect(text.split('\n')).toHaveLength(operations.length + 1);
    expect(await readHistory([text])).toEqual({ type: 'ok', operations });
  });

  it('may be cut anywhere on its way, and need not end its last line', async () => {
    const chunks = text.trimEnd().match(/[^]{1,7}/gu)!;
    expect(await readHistory(chunks)).toEqual({ type: 'ok', operations });
  });

  it('may hold empty lines, line ends of Windows and further fields', async () => {
    const read = await readHistory([`\n${line}\r\n\r\n${line.replace('{', '{"node":"n1",')}\n`]);
    expect(read).toMatchObject({ type: 'ok', operations: [get(null, [1, 2]), get(null, [1, 2])] });
  });
});

describe('a line that is no operation', () => {
  it('is named by its number', async () => {
    expect(await readHistory([`${line}\n\n${line}\n{"process":`])).toEqual({
      type: 'malformed',
      line: 4,
      problem: 'not JSON',
    });
    expect(await readHistory([`${line}\n[]\n${line}\n`])).toEqual({
      type: 'malformed',
      line: 2,
      problem: 'not an object',
    });
  });

  it.each([
    [{ process: null }, '"process" must be a number or a string'],
    [{ op: 'cas' }, '"op" must be "put", "get" or "delete"'],
    [{ key: 7 }, '"key" must be a string'],
    [{ op: 'put' }, '"input" of a put must be a string'],
    [{ input: 'x' }, '"input" of a get must be null'],
    [{ input: undefined }, '"input" of a get must be null'],
    [{ call: '1' }, '"call" must be a number'],
    [{ return: undefined }, '"return" must be a number or null'],
    [{ return: 0.5 }, '"return" must not be before "call"'],
    [{ return: null }, '"return" must be a number where "outcome" is "ok"'],
    [{ outcome: 'lost' }, '"outcome" must be "ok", "unknown" or "failed"'],
    [{ outcome: 'unknown', output: { value: 'x' } }, '"output" must be null where "outcome" is not "ok"'],
    [{ output: { value: 7 } }, '"output" of a get must be null or { "value": string, "revision": whole number }'],
    [{ output: undefined }, '"output" of a get must be null or { "value": string, "revision": whole number }'],
    [{ output: { value: 'x', revision: 1.5 } }, '"revision" must be a whole number'],
    [{ op: 'put', input: 'x' }, '"output" of a put must be { "created": boolean, "revision": whole number }'],
    [{ op: 'put', input: 'x', output: { created: 1 } }, '"created" must be a boolean'],
    [{ op: 'delete', output: {} }, '"output" of a delete must be { "deleted": boolean }'],
  ])('is refused with the reason: %j', (change, problem) => {
    const fields = { ...(JSON.parse(line) as object), ...change };
    expect(parseOperation(JSON.stringify(fields))).toEqual({ type: 'malformed', problem });
  });
});
