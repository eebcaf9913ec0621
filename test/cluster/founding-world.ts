/** Founders with disks, processes that crash, and a network that a test may slow down, cut or play tricks with. */
import { decode, encode } from '@msgpack/msgpack';
import { Formation, type FormationRequest, type FormationResult } from '../../src/cluster/formation.ts';
import { canonicalFounding } from '../../src/cluster/founding.ts';
import type { BootstrapConfig } from '../../src/config.ts';
import type { FormationState, IdentityStore, NodeId, NodeIdentity } from '../../src/replica/ports.ts';
import { VirtualClock } from './virtual-clock.ts';

/** Where a founder dies: around the fsync of a phase, the first time it gets there. */
export interface CrashPoint {
  readonly nodeId: string;
  readonly phase: 'prepared' | 'formed';
  readonly when: 'before' | 'after';
}

/** One request on its way; `deliver` hands it to whichever process its addressee runs by then. */
export type Wire = (deliver: () => Promise<unknown>) => Promise<unknown>;

export class Founder {
  readonly nodeId: NodeId;
  disk: FormationState = { phase: 'unformed' };
  starts = 0;
  process: Process | undefined;
  /** The disk was emptied after the cluster had been formed somewhere. */
  forgotFormation = false;

  constructor(nodeId: NodeId) {
    this.nodeId = nodeId;
  }
}

interface Process {
  readonly formation: Formation;
  alive: boolean;
  result: FormationResult | undefined;
}

export class FoundingWorld {
  readonly clock = new VirtualClock();
  readonly founders: readonly Founder[];
  readonly crashPoints: CrashPoint[] = [];
  /** Every cluster id that any disk ever held as formed. */
  readonly formedIds = new Set<string>();
  readonly waiting: string[] = [];
  wire: Wire = (deliver) => deliver();
  onCrash: (founder: Founder) => void = () => undefined;
  #ids = 0;
  readonly #bootstrap: BootstrapConfig;

  constructor(bootstrap: BootstrapConfig) {
    this.#bootstrap = bootstrap;
    this.founders = bootstrap.nodes.map(({ nodeId }) => new Founder(nodeId as NodeId));
  }

  founder(nodeId: string): Founder {
    const founder = this.founders.find((candidate) => candidate.nodeId === nodeId);
    if (founder === undefined) throw new Error(`no founder ${nodeId}`);
    return founder;
  }

  results(): readonly (string | undefined)[] {
    return this.founders.map(({ process }) => process?.result?.type);
  }

  start(nodeId: string, bootstrap = this.#bootstrap): void {
    const founder = this.founder(nodeId);
    if (founder.process?.alive) throw new Error(`${nodeId} runs already`);
    founder.starts++;
    const process: Process = {
      formation: this.#formation(founder, () => process, bootstrap),
      alive: true,
      result: undefined,
    };
    founder.process = process;
    process.formation.start().then(
      (result) => {
        // A node in doubt stops; so does one that was refused.
        if (process.alive) process.result = result;
        if (result.type !== 'formed') process.alive = false;
      },
      (error: unknown) => {
        if (process.alive) throw error;
      },
    );
  }

  crash(founder: Founder): void {
    if (!founder.process?.alive) return;
    founder.process.alive = false;
    founder.process.formation.stop();
    this.onCrash(founder);
  }

  empty(founder: Founder): void {
    founder.disk = { phase: 'unformed' };
    if (this.formedIds.size > 0) founder.forgotFormation = true;
  }

  #formation(founder: Founder, process: () => Process, bootstrap: BootstrapConfig): Formation {
    const nonce = hex32(`${founder.nodeId.slice(1)}${founder.starts}`);
    const identity = (): NodeIdentity => ({
      nodeId: founder.nodeId,
      clusterName: 'test',
      incarnation: founder.starts,
      nonce,
      formation: founder.disk,
    });
    const store: Pick<IdentityStore, 'identity' | 'saveFormation'> = {
      identity,
      saveFormation: (state) => {
        if (!process().alive) throw new Error('a dead process writes nothing');
        if (this.#crashHere(founder, state, 'before')) throw new Error('crashed');
        this.#save(founder, state);
        if (this.#crashHere(founder, state, 'after')) throw new Error('crashed');
      },
    };
    return new Formation({
      store,
      clock: {
        monotonicMs: () => this.clock.monotonicMs(),
        wallMs: () => this.clock.wallMs(),
        after: (delayMs, callback) => this.clock.after(delayMs, () => process().alive && callback()),
      },
      transport: { request: (to, kind, payload) => this.#carry(founder, to, kind as FormationRequest, payload) },
      founding: canonicalFounding(bootstrap),
      founders: bootstrap.nodes.map(({ nodeId }) => nodeId as NodeId),
      drawClusterId: () => hex32(`c${++this.#ids}`),
      limits: { formationRetryDelayMs: 50, formationRequestTimeoutMs: 1000 },
      onWaiting: (reason) => this.waiting.push(`${founder.nodeId}: ${reason}`),
    });
  }

  #save(founder: Founder, state: FormationState): void {
    founder.disk = state;
    if (state.phase !== 'formed') return;
    this.formedIds.add(state.clusterId);
    if (founder.forgotFormation)
      throw new Error(`unsafe: ${founder.nodeId} forgot that it was formed and took part again`);
  }

  #crashHere(founder: Founder, state: FormationState, when: CrashPoint['when']): boolean {
    const at = this.crashPoints.findIndex(
      (point) => point.nodeId === founder.nodeId && point.phase === state.phase && point.when === when,
    );
    if (at === -1) return false;
    this.crashPoints.splice(at, 1);
    this.crash(founder);
    return true;
  }

  async #carry(from: Founder, to: NodeId, kind: FormationRequest, payload: unknown): Promise<unknown> {
    const sent = from.process;
    const answer = await this.wire(async () => {
      const { process } = this.founder(to);
      if (!process?.alive) throw new Error('connection refused');
      return decode(encode(process.formation.handle(kind, decode(encode(payload)), from.nodeId)));
    });
    if (!sent?.alive) throw new Error('the asker is dead');
    return answer;
  }
}

function hex32(text: string): string {
  return Buffer.from(text).toString('hex').padStart(32, '0');
}
