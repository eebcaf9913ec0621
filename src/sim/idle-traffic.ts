/** How much idle traffic whole nodes make, as messages and bytes of each kind. See `idle-world.ts`. */
import type { NodeTransport, TransportBinding } from '../node/composition.ts';
import type { NodeId } from '../replica/ports.ts';
import { messageBytes } from '../transport/messages.ts';
import { encodePayload } from '../transport/payloads.ts';

export interface Load {
  readonly messages: number;
  readonly bytes: number;
}

/** Raft's messages are one kind, each question between nodes is another, its answer included. */
export type LoadByKind = ReadonlyMap<string, Load>;

export const raftKind = 'raft';

/** What each node sends. Frames' headers and the transport's pings, which are as many as it has peers, are not in it. */
export class TrafficMeter {
  readonly #sent = new Map<NodeId, Map<string, Load>>();

  reset(): void {
    this.#sent.clear();
  }

  /** Of one node. */
  sent(nodeId: NodeId): LoadByKind {
    return this.#sent.get(nodeId) ?? new Map<string, Load>();
  }

  /** What the node answers to others. */
  answering(nodeId: NodeId, binding: TransportBinding): TransportBinding {
    const { handlers } = binding;
    return {
      ...binding,
      handlers: {
        ...handlers,
        onRequest: async (from, kind, payload, lane) => {
          const answer = await handlers.onRequest(from, kind, payload, lane);
          this.#count(nodeId, kind, encodePayload(answer).length);
          return answer;
        },
      },
    };
  }

  /** What the node says and asks by itself. */
  asking(nodeId: NodeId, transport: NodeTransport): NodeTransport {
    return {
      ...transport,
      send: (to, partition, message) => {
        this.#count(nodeId, raftKind, messageBytes(message));
        transport.send(to, partition, message);
      },
      request: (to, kind, payload, ...rest) => {
        this.#count(nodeId, kind, encodePayload(payload).length + kind.length);
        return transport.request(to, kind, payload, ...rest);
      },
    };
  }

  #count(nodeId: NodeId, kind: string, bytes: number): void {
    const kinds = this.#sent.get(nodeId) ?? new Map<string, Load>();
    this.#sent.set(nodeId, kinds);
    const before = kinds.get(kind) ?? { messages: 0, bytes: 0 };
    kinds.set(kind, { messages: before.messages + 1, bytes: before.bytes + bytes });
  }
}

export function totalOf(kinds: LoadByKind): Load {
  let messages = 0;
  let bytes = 0;
  for (const load of kinds.values()) {
    messages += load.messages;
    bytes += load.bytes;
  }
  return { messages, bytes };
}
