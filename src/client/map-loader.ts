/** Fetches who is in the cluster and who leads what, beside the calls: nobody waits for it, and a failure costs redirects only. */
import type { HttpAnswer, HttpExchanger } from './http-exchange.ts';
import type { Leaders } from './leaders.ts';
import { clientLimits } from './limits.ts';
import type { Nodes } from './nodes.ts';
import type { NodeStatus, PartitionStatus } from './options.ts';

interface Parts {
  readonly exchanger: HttpExchanger;
  readonly nodes: Nodes;
  readonly leaders: Leaders;
  readonly nowMs: () => number;
}

export class MapLoader {
  readonly #parts: Parts;
  #beganAtMs = -Infinity;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** `node` has just answered. Returns whether it is being asked: not so soon after the last time. */
  maybeLoad(node: string): boolean {
    const nowMs = this.#parts.nowMs();
    if (nowMs - this.#beganAtMs < clientLimits.mapIntervalMs) return false;
    this.#beganAtMs = nowMs;
    void this.#load(node);
    return true;
  }

  async #load(node: string): Promise<void> {
    const [cluster, partitions] = await Promise.all([
      this.#fetch(node, '/v1/cluster'),
      this.#fetch(node, '/v1/cluster/partitions'),
    ]);
    const members = (cluster as { readonly nodes?: readonly NodeStatus[] } | undefined)?.nodes;
    if (members === undefined || !Array.isArray(partitions)) return;
    const present = members.filter(({ state }) => state !== 'removed');
    const urls = new Map(present.map(({ nodeId, http }) => [nodeId, http.replace(/\/$/, '')]));
    this.#parts.nodes.replaceLearned([...urls.values()]);
    this.#parts.leaders.takeMap(partitions as readonly PartitionStatus[], urls);
  }

  async #fetch(node: string, path: string): Promise<unknown> {
    const { mapTimeoutMs: timeoutMs, connectTimeoutMs } = clientLimits;
    const request = { method: 'GET', node, path, headers: {}, body: undefined, timeoutMs, connectTimeoutMs };
    const answer = await this.#parts.exchanger.send(request);
    return answer.type === 'answer' && answer.status === 200 ? parse(answer) : undefined;
  }
}

function parse({ body }: HttpAnswer): unknown {
  try {
    return JSON.parse(body.toString()) as unknown;
  } catch {
    return undefined;
  }
}
