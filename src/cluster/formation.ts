/**
 * The founding of a cluster, once in its life: all founders agree on one random cluster id before any Raft group starts.
 *
 * The founder with the lowest node id coordinates. It draws an id, makes `prepared` durable, and asks every other founder
 * to do the same. Once all are prepared it makes `formed` durable; the others learn that from whoever is formed.
 *
 * **Safety.** A founder whose disk was emptied has forgotten its votes and must not take part again under its old replica
 * ids. With F a founder of a cluster formed as X:
 * 1. At most one id is ever formed while one founder's disk survives: forming X needs every founder prepared for X, a
 *    prepared founder refuses any other id, and only the coordinator's own durable `prepared` makes it ask.
 * 2. The coordinator is never `prepared` after it was `formed`, and nobody is formed before the coordinator is: what it
 *    learns from "formed" is passed on, never made up. So whoever is asked to prepare *by a coordinator that is not yet
 *    formed* can't have voted in X, whatever became of its disk before.
 * 3. An emptied F becomes prepared only by such a request. One that was sent before X was formed and arrives late names
 *    the process it was meant for (its start's nonce), and F's new process has another: refused.
 * 4. So an F emptied after X was formed stays unformed, and founds nothing as soon as it meets a founder that is formed: it may
 *    come in anew, under other replica ids (`metadata/admission.ts`);
 *    an emptied coordinator stops as soon as it meets one that is prepared, before it draws another id.
 * 5. A prepared F that meets X formed was never emptied after preparing (3), and has not voted: Raft starts behind
 *    `formed`. It may become formed.
 * A crash at any point loses nothing but time: each start goes on from what is durable.
 */
import type { LimitsConfig } from '../config.ts';
import type { Clock, FormationState, IdentityStore, NodeId, Transport } from '../replica/ports.ts';
import {
  decodeFounderState,
  decodePrepare,
  decodePrepareAnswer,
  type FounderState,
  type PrepareRequest,
} from './formation-messages.ts';
import { judge, refusal, type Verdict } from './formation-rules.ts';
import { foundingDifference } from './founding.ts';
import { isFields } from './shapes.ts';

export interface FormationPorts {
  readonly store: Pick<IdentityStore, 'identity' | 'saveFormation'>;
  readonly transport: Pick<Transport, 'request'>;
  readonly clock: Clock;
  /** This node's founders' list as `canonicalFounding` writes it, and their node ids. */
  readonly founding: string;
  readonly founders: readonly NodeId[];
  /** 32 lower-case hex digits from a cryptographic source. */
  readonly drawClusterId: () => string;
  readonly limits: Pick<LimitsConfig, 'formationRetryDelayMs' | 'formationRequestTimeoutMs'>;
  /** Hears, in words, what the node waits for; called when that changes. */
  readonly onWaiting: (reason: string) => void;
}

export type FormationResult =
  /** `founding` is what the cluster was founded with, whatever the config says now. */
  | { readonly type: 'formed'; readonly clusterId: string; readonly founding: string }
  /** This node's disk and the other founders' disagree: it must not take part. */
  | { readonly type: 'in_doubt'; readonly message: string; readonly mayJoin: boolean }
  /** The founders' lists differ: nothing was founded. */
  | { readonly type: 'refused'; readonly message: string }
  | { readonly type: 'stopped' };

/** After a round that settled nothing: look again at once, or after a pause. */
type Next = 'again' | 'wait';

/** The requests of this protocol, as `Transport.request` kinds. */
export type FormationRequest = 'formation.state' | 'formation.prepare';

export class Formation {
  readonly #ports: FormationPorts;
  readonly #nodeId: NodeId;
  readonly #others: readonly NodeId[];
  readonly #coordinator: NodeId;
  #stopped = false;
  #endPause: () => void = () => undefined;
  #lastWaiting = '';
  /** Set when another founder asked with another list. */
  #refused: FormationResult | undefined;

  constructor(ports: FormationPorts) {
    this.#ports = ports;
    this.#nodeId = ports.store.identity().nodeId;
    const founders = ports.founders.toSorted();
    this.#coordinator = founders[0] ?? this.#nodeId;
    this.#others = founders.filter((nodeId) => nodeId !== this.#nodeId);
  }

  /** Resolves once the cluster is formed, as far as this node is concerned, or can't be. Waits for absent founders without end. */
  async start(): Promise<FormationResult> {
    while (!this.#stopped) {
      const result = this.#settled() ?? (await this.#round());
      if (typeof result === 'object') return result;
      if (result === 'wait') await this.#pause();
    }
    return { type: 'stopped' };
  }

  stop(): void {
    this.#stopped = true;
    this.#endPause();
  }

  /** Answers another founder; never throws. Nothing is awaited between looking at the own state and changing it. */
  handle(kind: FormationRequest, payload: unknown, from: NodeId): unknown {
    if (kind === 'formation.state') {
      this.#compareLists(payload, from);
      return this.#ownState();
    }
    const refusal = this.#maybePrepare(payload, from);
    return refusal === undefined ? { type: 'prepared' } : { type: 'refused', reason: refusal };
  }

  /** One look at all founders, and whatever follows from it. */
  async #round(): Promise<FormationResult | Next> {
    const states = new Map<NodeId, FounderState>();
    const question = { founding: this.#ownState().founding };
    await Promise.all(
      this.#others.map(async (nodeId) => {
        const state = decodeFounderState(await this.#ask(nodeId, 'formation.state', question));
        if (state !== undefined) states.set(nodeId, state);
      }),
    );
    if (this.#stopped) return 'wait';
    if (this.#refused !== undefined) return this.#refused;
    // Our own state may have moved on meanwhile, by a coordinator's request: what counts is what it is now.
    const own = this.#formation();
    const { founding } = this.#ownState();
    const coordinates = this.#nodeId === this.#coordinator;
    return this.#follow(judge({ own, founding, coordinates, others: this.#others, states }));
  }

  #follow(verdict: Verdict): Promise<Next> | FormationResult | Next {
    const { store, drawClusterId, founding } = this.#ports;
    switch (verdict.type) {
      case 'in_doubt':
      case 'refused':
        return verdict;
      case 'wait':
        this.#report(verdict.reason);
        return 'wait';
      case 'draw':
        store.saveFormation({ phase: 'prepared', clusterId: drawClusterId(), founding });
        return 'again';
      case 'prepare':
        return this.#prepareAll(verdict);
      case 'form':
        store.saveFormation({ phase: 'formed', clusterId: verdict.clusterId, founding: verdict.founding });
        return 'again';
    }
  }

  /** Whether all are prepared is seen from their durable states, in the next round. */
  async #prepareAll({ clusterId, founding, unprepared }: Extract<Verdict, { type: 'prepare' }>): Promise<Next> {
    const answers = await Promise.all(
      unprepared.map(async ({ nodeId, nonce }) => {
        const request: PrepareRequest = { clusterId, founding, nonce };
        return { nodeId, answer: decodePrepareAnswer(await this.#ask(nodeId, 'formation.prepare', request)) };
      }),
    );
    const missing = answers.find(({ answer }) => answer?.type !== 'prepared');
    if (missing === undefined) return 'again';
    const reason = missing.answer?.type === 'refused' ? missing.answer.reason : 'no answer';
    this.#report(`waiting for ${missing.nodeId} to prepare: ${reason}`);
    return 'wait';
  }

  /** Who asks says its list, too: of two founders that differ, the one that is asked first would not learn why the other left. */
  #compareLists(payload: unknown, from: NodeId): void {
    if (!isFields(payload) || typeof payload['founding'] !== 'string' || !this.#others.includes(from)) return;
    const difference = foundingDifference(this.#ownState().founding, payload['founding']);
    if (difference !== undefined) this.#refused = refusal(from, difference);
  }

  /** Makes this founder prepared when that is safe; returns why not otherwise. */
  #maybePrepare(payload: unknown, from: NodeId): string | undefined {
    const request = decodePrepare(payload);
    if (request === undefined) return 'malformed request';
    if (from !== this.#coordinator) return `${from} is not the coordinator, ${this.#coordinator} is`;
    const { store } = this.#ports;
    if (request.nonce !== store.identity().nonce) return 'meant for an earlier start of this node';
    const difference = foundingDifference(this.#ownState().founding, request.founding);
    if (difference !== undefined) return difference;
    const own = this.#formation();
    if (own.phase === 'unformed') {
      store.saveFormation({ phase: 'prepared', clusterId: request.clusterId, founding: request.founding });
      return undefined;
    }
    return own.clusterId === request.clusterId ? undefined : `${own.phase} for cluster ${own.clusterId} already`;
  }

  #formation(): FormationState {
    return this.#ports.store.identity().formation;
  }

  #settled(): FormationResult | undefined {
    const own = this.#formation();
    if (own.phase !== 'formed') return undefined;
    return { type: 'formed', clusterId: own.clusterId, founding: own.founding };
  }

  /** Once prepared, the founding on disk counts, not the config's. */
  #ownState(): FounderState {
    const { nonce, formation } = this.#ports.store.identity();
    if (formation.phase === 'unformed')
      return { phase: 'unformed', clusterId: null, founding: this.#ports.founding, nonce };
    return { ...formation, nonce };
  }

  /** The raw answer; undefined when there is none. */
  async #ask(nodeId: NodeId, kind: FormationRequest, payload: unknown): Promise<unknown> {
    try {
      return await this.#ports.transport.request(nodeId, kind, payload, this.#ports.limits.formationRequestTimeoutMs);
    } catch {
      return undefined;
    }
  }

  #report(reason: string): void {
    if (reason === this.#lastWaiting) return;
    this.#lastWaiting = reason;
    this.#ports.onWaiting(reason);
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#ports.clock.after(this.#ports.limits.formationRetryDelayMs, resolve);
      this.#endPause = () => {
        cancel();
        resolve();
      };
      if (this.#stopped) this.#endPause();
    });
  }
}
