/** One kept-alive connection to a node, requests one after the other, each with the instants it was sent and answered. */
import { connect } from 'node:net';
import type { Interval } from './sync-calls.ts';

export interface TimedPut extends Interval {
  readonly status: number;
}

export interface OneConnection {
  put(path: string, value: string): Promise<TimedPut>;
  close(): void;
}

/** On a bare socket: nothing between the bytes and the clock. Answers are taken to arrive whole, as small ones do. */
export async function openConnection(url: string, clock: () => number): Promise<OneConnection> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return {
    put: (path, value) =>
      new Promise((resolve, reject) => {
        const head = [`PUT ${path} HTTP/1.1`, `Host: ${hostname}`, `Content-Length: ${Buffer.byteLength(value)}`];
        const sentAt = clock();
        socket.once('error', reject);
        socket.once('data', (chunk: Buffer) => {
          const answeredAt = clock();
          socket.off('error', reject);
          resolve({ sentAt, answeredAt, status: Number(chunk.toString('latin1', 9, 12)) });
        });
        socket.write(`${head.join('\r\n')}\r\n\r\n${value}`);
      }),
    close: () => socket.destroy(),
  };
}
