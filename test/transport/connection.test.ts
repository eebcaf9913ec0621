/** How a connection says what became of it. That it is refused is only said when each address of the peer was. */
import { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { Connection, type ConnectionEnd } from '../../src/transport/connection.ts';
import { quickConfig } from './world.ts';

const refused = errorOf('ECONNREFUSED');
const unreachable = errorOf('EHOSTUNREACH');

it.each<readonly [string, Error, ConnectionEnd]>([
  ['refused', refused, { kind: 'nobody_listens', reason: 'ECONNREFUSED' }],
  ['refused at both', attempts(refused, refused), { kind: 'nobody_listens', reason: 'ECONNREFUSED' }],
  ['refused at one of two', attempts(refused, unreachable), { kind: 'lost', reason: 'ECONNREFUSED' }],
  ['reset', errorOf('ECONNRESET'), { kind: 'lost', reason: 'ECONNRESET' }],
])('%s', (_, error, end) => {
  const ends: ConnectionEnd[] = [];
  const socket = new Socket();
  new Connection(socket, quickConfig, { onFrame: () => undefined, onClosed: (closed) => ends.push(closed) });
  socket.emit('error', error);
  expect(ends).toEqual([end]);
});

function errorOf(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** As Node reports it when a name has several addresses: the code is that of the first. */
function attempts(...errors: readonly Error[]): Error {
  return Object.assign(new AggregateError(errors), { code: 'ECONNREFUSED' });
}
