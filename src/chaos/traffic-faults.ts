/** What clients can do to a node: too many, too slow, all at one key, too much at a time. */
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { HttpClient } from '../testing/http.ts';
import type { FaultMaker } from './faults.ts';

const connectionsMax = 500;
const slowSenders = 100;
const hotWriters = 64;
const largeBytes = 1 << 20;
const requestMsMax = 5000;

export const trafficFaults = {
  'flood of connections': async (rig, random) => {
    const node = random.pick(rig.nodes);
    let sockets: readonly Socket[] = [];
    return {
      words: `${node.nodeId}, ${connectionsMax}`,
      lastsMs: random.magnitude(500, 3000),
      begin: async () => {
        sockets = Array.from({ length: connectionsMax }, () => dial(node.url));
      },
      end: async () => sockets.forEach((socket) => socket.destroy()),
    };
  },
  'slow senders': async (rig, random) => {
    const node = random.pick(rig.nodes);
    let sockets: readonly Socket[] = [];
    let timer: NodeJS.Timeout | undefined;
    return {
      words: `${node.nodeId}, ${slowSenders}`,
      lastsMs: random.magnitude(500, 5000),
      begin: async () => {
        sockets = Array.from({ length: slowSenders }, () => dial(node.url));
        const head = 'PUT /v1/kv/slow HTTP/1.1\r\nHost: flotilla\r\nContent-Length: 100000\r\n\r\n';
        for (const socket of sockets) socket.write(head);
        timer = setInterval(() => sockets.forEach((socket) => socket.writable && socket.write('x')), 100);
      },
      end: async () => {
        clearInterval(timer);
        sockets.forEach((socket) => socket.destroy());
      },
    };
  },
  'hot key': traffic((url, client, turn) => put(client, `${url}/v1/kv/hot`, `turn ${turn}`), hotWriters),
  'large values': traffic(
    (url, client, turn) => put(client, `${url}/v1/kv/large-${turn % 4}`, Buffer.alloc(largeBytes, turn)),
    4,
  ),
} satisfies Record<string, FaultMaker>;

/** Requests that nobody records, one after the other from each of so many. */
function traffic(send: (url: string, client: HttpClient, turn: number) => Promise<void>, senders: number): FaultMaker {
  return async (rig, random) => {
    const node = random.pick(rig.nodes);
    const client = new HttpClient();
    let over = false;
    let sending: Promise<unknown> = Promise.resolve();
    return {
      words: `through ${node.nodeId}`,
      lastsMs: random.magnitude(500, 3000),
      begin: async () => {
        let turn = 0;
        const send1 = async (): Promise<void> => {
          while (!over) await send(node.url, client, (turn += 1)).catch(() => delay(20));
        };
        sending = Promise.all(Array.from({ length: senders }, send1));
      },
      end: async () => {
        over = true;
        await sending;
        client.close();
      },
    };
  };
}

async function put(client: HttpClient, url: string, body: string | Buffer): Promise<void> {
  await client.request('PUT', url, { body, timeoutMs: requestMsMax, redirectsMax: 2 });
}

function dial(url: string): Socket {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.on('error', () => undefined);
  return socket;
}
