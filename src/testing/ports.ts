/** Free TCP ports for nodes of a test cluster. */
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';

const lowestPort = 15_000;
const attemptsPerPort = 50;

/**
 * Finds `count` different ports on 127.0.0.1 that were free a moment ago. They lie below the range from which the system
 * takes ports for outgoing connections: within it, a client's connection could sit on a killed node's port and keep it
 * from starting again. Another process may still take one first; whoever starts a node must be ready to choose anew.
 * Throws when none is found.
 */
export async function freePorts(count: number): Promise<number[]> {
  const held: Server[] = [];
  try {
    while (held.length < count) held.push(await holdFreePort());
    return held.map(portOf);
  } finally {
    await Promise.all(held.map(closed));
  }
}

/** Whether `port` on 127.0.0.1 can be listened on at this moment. */
export async function isPortFree(port: number): Promise<boolean> {
  const server = await listen(port);
  if (server === undefined) return false;
  await closed(server);
  return true;
}

async function holdFreePort(): Promise<Server> {
  const end = firstOutgoingPort();
  for (let attempt = 0; attempt < attemptsPerPort; attempt += 1) {
    const server = await listen(lowestPort + Math.floor(Math.random() * (end - lowestPort)));
    if (server !== undefined) return server;
  }
  throw new Error(`no free port found between ${lowestPort} and ${end} in ${attemptsPerPort} attempts`);
}

function firstOutgoingPort(): number {
  const linuxDefault = 32_768;
  try {
    const first = Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s+/)[0]);
    return first > lowestPort + 1000 ? first : linuxDefault;
  } catch {
    return linuxDefault; // Not Linux: other systems start theirs no lower.
  }
}

/** Undefined when the port is taken. */
function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(undefined);
      else reject(error);
    });
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => resolve(server));
  });
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a listening server has no port');
  return address.port;
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
