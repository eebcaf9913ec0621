import type { NodeId, Transport } from '../../src/replica/ports.ts';
import { MemoryNetwork, type MemoryTransport } from '../../src/transport/memory-transport.ts';
import type { TcpTransport } from '../../src/transport/tcp-transport.ts';
import { transportContract, type ContractNetwork } from './contract.ts';
import { addressOf, startNode, systemClock, type Witness } from './world.ts';

transportContract('memory', memoryNetwork);
transportContract('TCP', tcpNetwork);

function memoryNetwork(): ContractNetwork {
  const network = new MemoryNetwork(systemClock);
  const running = new Map<NodeId, MemoryTransport>();
  const join = (nodeId: NodeId, witness: Witness): MemoryTransport => {
    const transport = network.join(nodeId, witness);
    running.set(nodeId, transport);
    return transport;
  };
  return {
    start: (nodes) => Promise.resolve(new Map([...nodes].map(([nodeId, witness]) => [nodeId, join(nodeId, witness)]))),
    kill: (nodeId) => Promise.resolve(running.get(nodeId)?.close()),
    restart: (nodeId, witness) => Promise.resolve(join(nodeId, witness)),
    // Longer than a machine that others keep busy takes to encode two dozen mebibytes.
    slowBulk: ({ from, to }) => network.setLink({ from, to }, { bulkDelayMs: 250 }),
    stop: () => Promise.resolve(running.forEach((transport) => transport.close())),
  };
}

function tcpNetwork(): ContractNetwork {
  const running = new Map<NodeId, TcpTransport>();
  const ports = new Map<NodeId, number>();
  const addresses = () => [...ports].map(([nodeId, port]) => addressOf(nodeId, { port }));
  return {
    async start(nodes): Promise<ReadonlyMap<NodeId, Transport>> {
      for (const [nodeId, witness] of nodes) {
        const transport = await startNode(nodeId, witness);
        running.set(nodeId, transport);
        ports.set(nodeId, transport.port);
      }
      for (const transport of running.values()) transport.setPeers(addresses());
      return running;
    },
    async kill(nodeId) {
      await running.get(nodeId)?.close();
    },
    async restart(nodeId, witness) {
      const listen = { host: '127.0.0.1', port: ports.get(nodeId) ?? 0 };
      const transport = await startNode(nodeId, witness, { listen, self: { incarnation: 2 } });
      running.set(nodeId, transport);
      transport.setPeers(addresses());
      return transport;
    },
    slowBulk: () => undefined,
    async stop() {
      await Promise.all([...running.values()].map((transport) => transport.close()));
    },
  };
}
