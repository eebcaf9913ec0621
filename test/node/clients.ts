/** Clients of a simulated cluster that go on writing, each a new key every time, and know what was acknowledged. */
import { encodeCommand } from '../../src/kv/command.ts';
import { unconditional } from '../../src/kv/types.ts';
import type { Random } from '../../src/sim/random.ts';
import type { SimNode } from '../../src/sim/sim-node.ts';
import type { Nodes } from './world.ts';

const clients = 3;
const writeEveryMs = 80;
const writeTimeoutMs = 1000;
const valueBytes = 100;

export class Clients {
  /** Acknowledged. */
  readonly written = new Map<string, string>();
  readonly #nodes: Nodes;
  readonly #random: Random;
  #named = 0;
  #writing = true;

  constructor(nodes: Nodes, random: Random) {
    this.#nodes = nodes;
    this.#random = random;
  }

  async write(keys: number): Promise<void> {
    for (let key = 0; key < keys; key += 1) this.#write();
    await this.#nodes.until(() => this.written.size === keys);
  }

  start(): void {
    for (let client = 0; client < clients; client += 1) this.#goOn();
  }

  /** Resolves when all that was begun is acknowledged. */
  async stop(): Promise<void> {
    this.#writing = false;
    await this.#nodes.until(() => this.written.size === this.#named);
  }

  #goOn(): void {
    if (!this.#writing) return;
    this.#write(() => this.#nodes.world.scheduler.after(writeEveryMs, () => this.#goOn()));
  }

  /** Until it is acknowledged, through one node after the other. */
  #write(then: () => void = () => undefined): void {
    this.#named += 1;
    const key = `key-${this.#named}`;
    const value = `${this.#named} `.padEnd(valueBytes, '.');
    const attempt = (): void => {
      const again = (): void => void this.#nodes.world.scheduler.after(writeEveryMs, attempt);
      const up = this.#nodes.all.filter((node) => node.facade() !== undefined);
      if (up.length === 0) return again();
      const node = this.#random.pick(up);
      this.#put(node, key, value).then((done) => {
        if (!done) return again();
        this.written.set(key, value);
        then();
      }, this.#nodes.world.violated);
    };
    attempt();
  }

  /** False when it was not acknowledged. */
  async #put(node: SimNode, key: string, value: string): Promise<boolean> {
    const { scheduler } = this.#nodes.world;
    scheduler.promisesMove();
    let forget: () => void = () => undefined;
    const died = new Promise<undefined>((resolve) => {
      forget = node.onEnd(() => {
        scheduler.promisesMove();
        resolve(undefined);
      });
    });
    const operation = {
      type: 'put',
      key: Buffer.from(key),
      value: Buffer.from(value),
      contentType: '',
      ttlMs: 0,
    } as const;
    const body = encodeCommand({ ...operation, conditions: unconditional });
    const deadlineAt = (node.facade()?.nowMs() ?? 0) + writeTimeoutMs;
    const asked = node.execute({ type: 'write', key: operation.key, body }, { route: 'forward', deadlineAt, hops: 0 });
    const outcome = await Promise.race([asked, died]);
    forget();
    return outcome?.type === 'done';
  }
}
