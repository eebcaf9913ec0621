/** What stands between the nodes: it must do what is asked of it, and nothing else. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Links } from '../../src/chaos/links.ts';
import { PeerProxy } from '../../src/chaos/proxy.ts';
import { encodeHello, helloBytes } from '../../src/transport/hello.ts';
import { frameOverheadBytes, FrameType, sealFrame } from '../../src/transport/wire.ts';
import type { NodeId } from '../../src/replica/ports.ts';

let links: Links;
let proxy: PeerProxy;
let node: Server;
let port: number;
/** What the node behind the proxy was sent, and the connections on which it was. */
let arrived: Buffer[];
let sockets: Socket[];
const dialed: Socket[] = [];

beforeEach(async () => {
  arrived = [];
  sockets = [];
  node = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => arrived.push(bytes));
  });
  node.listen(0, '127.0.0.1');
  await once(node, 'listening');
  links = new Links();
  proxy = new PeerProxy({ nodeId: 'n2', target: (node.address() as AddressInfo).port, links });
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  port = (free.address() as AddressInfo).port;
  free.close();
  await once(free, 'close');
  await proxy.listen(port);
});

afterEach(async () => {
  for (const socket of [...dialed.splice(0), ...sockets]) socket.destroy();
  await proxy.stopListening();
  node.close();
});

test('bytes pass both ways, the hello first', async () => {
  const socket = await dial('n1');
  socket.write('more');
  await vi.waitFor(() => expect(text()).toBe(`${hello('n1').toString('latin1')}more`));
  const heard = once(socket, 'data');
  sockets[0]?.write('answer');
  expect(String((await heard)[0])).toBe('answer');
});

test('whoever does not say who he is goes no further', async () => {
  const socket = connect({ port, host: '127.0.0.1' });
  dialed.push(socket);
  socket.write(Buffer.alloc(64, 7));
  await once(socket, 'close');
  expect(sockets).toEqual([]);
});

test('what is lost one way arrives when it is over, in its order; the other way goes on', async () => {
  const socket = await dial('n1');
  await vi.waitFor(() => expect(arrived.length).toBeGreaterThan(0));
  arrived.length = 0;
  links.set('n1', 'n2', { lost: true });
  socket.write('one ');
  socket.write('two');
  const heard = once(socket, 'data');
  sockets[0]?.write('still heard');
  expect(String((await heard)[0])).toBe('still heard');
  expect(text()).toBe('');
  links.heal();
  await vi.waitFor(() => expect(text()).toBe('one two'));
});

test('the end of a connection is not heard of while packets get lost', async () => {
  const socket = await dial('n1');
  await vi.waitFor(() => expect(sockets).toHaveLength(1));
  links.set('n1', 'n2', { lost: true });
  let ended = false;
  sockets[0]?.on('end', () => (ended = true));
  socket.end();
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(ended).toBe(false);
  links.heal();
  await vi.waitFor(() => expect(ended).toBe(true));
});

test('delay is added, and a rate is kept', async () => {
  const socket = await dial('n1');
  await vi.waitFor(() => expect(arrived.length).toBeGreaterThan(0));
  links.set('n1', 'n2', { delayMs: 60 });
  const from = performance.now();
  arrived.length = 0;
  socket.write('late');
  await vi.waitFor(() => expect(text()).toBe('late'));
  expect(performance.now() - from).toBeGreaterThanOrEqual(59);
  links.set('n1', 'n2', { delayMs: 0, bytesPerSecond: 100_000 });
  const sentAt = performance.now();
  for (let piece = 0; piece < 10; piece += 1) {
    socket.write(Buffer.alloc(1000));
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await vi.waitFor(() => expect(text()).toHaveLength('late'.length + 10_000));
  expect(performance.now() - sentAt).toBeGreaterThanOrEqual(80);
});

test('a bit is flipped once, and a frame cut once, with the connection', async () => {
  const socket = await dial('n1');
  await vi.waitFor(() => expect(arrived.length).toBeGreaterThan(0));
  arrived.length = 0;
  links.damageNext('n1', 'n2', 'flip');
  socket.write('aaaa');
  await vi.waitFor(() => expect(text()).toBe('aa`a'));
  links.damageNext('n1', 'n2', 'cut');
  const over = once(sockets[0] as Socket, 'end');
  socket.write('bbbb');
  await over;
  expect(text()).toBe('aa`abb');
});

test('connections to one node are reset, and the others stay', async () => {
  const [first, third] = [await dial('n1'), await dial('n3')];
  await vi.waitFor(() => expect(sockets).toHaveLength(2));
  const failed = once(first, 'error');
  proxy.resetAll('n1');
  expect((await failed)[0]).toMatchObject({ code: 'ECONNRESET' });
  expect(third.destroyed).toBe(false);
});

test('while the node is gone its address refuses, and listens again after', async () => {
  await proxy.stopListening();
  const socket = connect({ port, host: '127.0.0.1' });
  dialed.push(socket);
  expect((await once(socket, 'error'))[0]).toMatchObject({ code: 'ECONNREFUSED' });
  await proxy.listen();
  await dial('n1');
});

async function dial(from: string): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' });
  dialed.push(socket);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(hello(from));
  return socket;
}

function hello(from: string): Buffer {
  const said = {
    lane: 'main',
    clusterId: undefined,
    nodeId: from as NodeId,
    to: 'n2' as NodeId,
    incarnation: 1,
    nonce: 'ab'.repeat(16),
  } as const;
  const frame = Buffer.alloc(frameOverheadBytes + helloBytes(said));
  sealFrame(frame, { start: 0, end: encodeHello(frame, frameOverheadBytes, said), type: FrameType.hello });
  return frame;
}

function text(): string {
  return Buffer.concat(arrived).toString('latin1');
}
