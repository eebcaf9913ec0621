/**
 * The network of a simulated world. Each ordered pair of nodes has a link, and a connection of its own over it, as with
 * the real transport: the one who dials sends messages and requests, answers come back on the same connection, and both ends check
 * each other's `Hello` first. What a link carries may be lost, late, overtaken or doubled; a blocked one carries nothing,
 * which its ends notice after a silence, or at once when it was cut.
 */
import type { TransportConfig } from '../config.ts';
import type { NodeTransport, TransportBinding } from '../node/composition.ts';
import type { Clock, Lane, NodeId } from '../replica/ports.ts';
import { Attachment } from './network-attachment.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import type { Trace } from './trace.ts';

/** How a link treats what is sent over it, drawn for each frame. Chances are 0 to 1. */
export interface LinkQuality {
  readonly delayMsMin: number;
  readonly delayMsMax: number;
  /** A straggler is so much later than the others that they overtake it. */
  readonly stragglerChance: number;
  readonly stragglerMs: number;
  readonly lossChance: number;
  readonly duplicateChance: number;
}

export interface NetworkOptions {
  readonly scheduler: Scheduler;
  /** A source of chance by its name: frames of either lane and dialing each draw from their own. */
  readonly random: (stream: string) => Random;
  readonly trace: Trace;
  readonly config: TransportConfig;
  readonly quality: LinkQuality;
  /** Every message is encoded and decoded as on TCP; costs time, finds what the codec loses. */
  readonly encoded: boolean;
}

/** One start of a node on the network. */
export interface Endpoint {
  readonly nodeId: NodeId;
  /** Small and distinct, for the trace. */
  readonly number: number;
  readonly binding: TransportBinding;
  readonly clock: Clock;
  /** Runs what arrives: at once, after a pause, or never when this start is over. */
  readonly deliver: (event: () => void) => void;
}

interface Passage {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly lane: Lane;
  /** Neither lost nor doubled. */
  readonly reliable: boolean;
}

export class Network {
  readonly options: NetworkOptions;
  readonly #frames: Readonly<Record<Lane, Random>>;
  readonly #dials: Random;
  readonly #endpoints = new Map<NodeId, Attachment>();
  readonly #blocked = new Set<string>();
  readonly #frozen = new Set<NodeId>();
  readonly #clogs = new Map<string, number>();
  /** What the worst clog until now added to each message. */
  longestClogMs = 0;
  counts = { frames: 0, messages: 0, lost: 0, duplicated: 0 };

  constructor(options: NetworkOptions) {
    this.options = options;
    const { random } = options;
    this.#frames = { main: random('network'), bulk: random('network bulk') };
    this.#dials = random('network dials');
  }

  attach(endpoint: Endpoint): NodeTransport {
    const attachment = new Attachment(this, endpoint);
    this.#endpoints.set(endpoint.nodeId, attachment);
    return attachment.transport();
  }

  /** The process is gone: its peers' connections break, and nobody listens any more; what it had sent is still on its way. */
  detach(nodeId: NodeId): void {
    const gone = this.#endpoints.get(nodeId);
    if (gone === undefined) return;
    this.#endpoints.delete(nodeId);
    gone.end('the process is gone');
    for (const other of this.#endpoints.values()) other.lose(nodeId, 'the process is gone');
  }

  /** The process ends by itself. A start that is over already, and may have a successor, has nothing to leave. */
  leave(attachment: Attachment): void {
    const { nodeId } = attachment.endpoint;
    if (this.#endpoints.get(nodeId) === attachment) this.detach(nodeId);
  }

  /** All others' connections to `nodeId` are made anew. */
  redialed(nodeId: NodeId): void {
    for (const other of this.#endpoints.values()) other.redial(nodeId);
  }

  attachment(nodeId: NodeId): Attachment | undefined {
    return this.#endpoints.get(nodeId);
  }

  /**
   * Nothing passes from one to the other any more. Of the two ends, those in `told` hear of it at once, as from a reset that came
   * through; the others notice the silence. Between two such ends a connection is half open.
   */
  block(from: NodeId, to: NodeId, told: ReadonlySet<NodeId>): void {
    this.#blocked.add(`${from}>${to}`);
    const breakConnection = (owner: NodeId, peer: NodeId): void => {
      const noticed = (): void => {
        if (this.isBlocked(from, to)) this.#endpoints.get(owner)?.lose(peer, 'the link is dead');
      };
      if (told.has(owner)) noticed();
      else this.options.scheduler.after(this.options.config.silenceTimeoutMs, noticed);
    };
    breakConnection(from, to);
    breakConnection(to, from);
  }

  unblock(from: NodeId, to: NodeId): void {
    this.#blocked.delete(`${from}>${to}`);
  }

  isBlocked(from: NodeId, to: NodeId): boolean {
    return this.#frozen.has(from) || this.#frozen.has(to) || this.#blocked.has(`${from}>${to}`);
  }

  /** A process stands still for so long that all others take it for gone: its connections break, and none is made. */
  freeze(nodeId: NodeId): void {
    this.#frozen.add(nodeId);
    for (const other of this.#endpoints.values()) {
      if (other.endpoint.nodeId === nodeId) continue;
      other.lose(nodeId, 'silent');
      this.#endpoints.get(nodeId)?.lose(other.endpoint.nodeId, 'closed by the peer');
    }
  }

  /** It goes on. */
  thaw(nodeId: NodeId): void {
    this.#frozen.delete(nodeId);
  }

  /** What is sent over this link takes so much longer, until it is 0 again. */
  clog(from: NodeId, to: NodeId, extraMs: number): void {
    this.longestClogMs = Math.max(this.longestClogMs, extraMs);
    if (extraMs === 0) this.#clogs.delete(`${from}>${to}`);
    else this.#clogs.set(`${from}>${to}`, extraMs);
  }

  heal(): void {
    this.#blocked.clear();
    this.#clogs.clear();
  }

  /** How long a dialer that was just cut off waits until it knows more: there and back. */
  roundTripMs(from: NodeId, to: NodeId): number {
    const { delayMsMin, delayMsMax } = this.options.quality;
    const oneWay = (link: string): number => this.#dials.between(delayMsMin, delayMsMax) + (this.#clogs.get(link) ?? 0);
    return oneWay(`${from}>${to}`) + oneWay(`${to}>${from}`);
  }

  /** The pause before one more attempt to connect. */
  redialDelayMs(): number {
    const { reconnectDelayMsMin, reconnectDelayMsMax } = this.options.config;
    return this.#dials.magnitude(reconnectDelayMsMin, reconnectDelayMsMax / 4);
  }

  /** One frame over a link: runs `arrive` once, twice, later or not at all. */
  carry({ from, to, lane, reliable }: Passage, arrive: () => void): void {
    const { quality, scheduler } = this.options;
    const random = this.#frames[lane];
    this.counts.frames += 1;
    if (!reliable && random.chance(quality.lossChance)) {
      this.counts.lost += 1;
      return;
    }
    const copies = !reliable && random.chance(quality.duplicateChance) ? 2 : 1;
    this.counts.duplicated += copies - 1;
    for (let copy = 0; copy < copies; copy += 1) {
      const straggles = random.chance(quality.stragglerChance);
      const delayMs =
        random.between(quality.delayMsMin, quality.delayMsMax) +
        (straggles ? random.between(0, quality.stragglerMs) : 0) +
        (this.#clogs.get(`${from}>${to}`) ?? 0);
      scheduler.after(delayMs, () => {
        if (!this.isBlocked(from, to)) arrive();
      });
    }
  }
}
