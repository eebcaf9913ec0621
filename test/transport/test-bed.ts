/** Two nodes over TCP, or one and a peer played by hand; all is closed after each test. */
import { afterEach, beforeEach } from 'vitest';
import type { NodeId } from '../../src/replica/ports.ts';
import type { TcpTransport } from '../../src/transport/tcp-transport.ts';
import { rawListener, type RawListener, type RawPeer } from './raw-peer.ts';
import { addressOf, nodeA, nodeB, startNode, until, Witness, type NodeChanges } from './world.ts';

export class TestBed {
  witnessA = new Witness();
  witnessB = new Witness();
  #cleanUps: (() => Promise<unknown>)[] = [];

  /** A bed made anew for each test of the file that calls this. */
  static forEachTest(): TestBed {
    const bed = new TestBed();
    beforeEach(() => {
      bed.witnessA = new Witness();
      bed.witnessB = new Witness();
    });
    afterEach(() => bed.#cleanUp());
    return bed;
  }

  async start(nodeId: NodeId, changes: NodeChanges = {}): Promise<TcpTransport> {
    const transport = await startNode(nodeId, nodeId === nodeA ? this.witnessA : this.witnessB, changes);
    this.#cleanUps.push(() => transport.close());
    return transport;
  }

  /** Another node a, with handlers of its own. */
  async startWith(witness: Witness, changes: NodeChanges = {}): Promise<TcpTransport> {
    const transport = await startNode(nodeA, witness, changes);
    this.#cleanUps.push(() => transport.close());
    return transport;
  }

  /** Nodes a and b, connected both ways. */
  async startPair(changesA: NodeChanges = {}, changesB: NodeChanges = {}): Promise<[TcpTransport, TcpTransport]> {
    const a = await this.start(nodeA, changesA);
    const b = await this.start(nodeB, changesB);
    a.setPeers([addressOf(nodeB, b)]);
    b.setPeers([addressOf(nodeA, a)]);
    await until('both are up', () => a.connected(nodeB) && b.connected(nodeA));
    return [a, b];
  }

  /** Node a, and a listener in the place of b; connected when `play` shakes hands. */
  async startTowards(play: (peer: RawPeer) => void, changes: NodeChanges = {}): Promise<[TcpTransport, RawListener]> {
    const listener = await this.listen(play);
    const a = await this.start(nodeA, changes);
    a.setPeers([addressOf(nodeB, listener)]);
    return [a, listener];
  }

  async listen(play?: (peer: RawPeer) => void): Promise<RawListener> {
    const listener = await rawListener(play);
    this.#cleanUps.push(() => listener.close());
    return listener;
  }

  async #cleanUp(): Promise<void> {
    for (const cleanUp of this.#cleanUps.toReversed()) await cleanUp();
    this.#cleanUps = [];
  }
}
