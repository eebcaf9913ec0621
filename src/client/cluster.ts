/** What is asked of the cluster itself rather than of its keys. */
import { jsonOf } from './answers.ts';
import type { Call, Caller } from './caller.ts';
import type { ChangeOptions, LeaderMoved, NewNode, Operation, Plan } from './cluster-options.ts';
import type { CallOptions } from './options.ts';

/**
 * Changes of the cluster, as `store.cluster`. A change is decided when its call returns, and made in the background:
 * `operations` tells how far it has come. One that can't be made fails with `change_refused`, and the reason. A change whose
 * answer is lost is not asked for again: the error's outcome is `unknown`.
 */
export class ClusterCalls {
  readonly #caller: Caller;
  readonly #timeoutOf: (options: CallOptions) => number;

  /** Use `connect`. */
  constructor(caller: Caller, timeoutOf: (options: CallOptions) => number) {
    this.#caller = caller;
    this.#timeoutOf = timeoutOf;
  }

  /** The node joins and is given its share. */
  addNode(node: NewNode, options: ChangeOptions = {}): Promise<Plan> {
    return this.#change({ method: 'POST', path: '/v1/cluster/nodes', ...jsonBody(node) }, options);
  }

  /** What it holds is moved elsewhere; then it is no member any more. */
  removeNode(nodeId: string, options: ChangeOptions = {}): Promise<Plan> {
    return this.#change({ method: 'DELETE', path: `/v1/cluster/nodes/${encodeURIComponent(nodeId)}` }, options);
  }

  /** Evens out what the nodes hold. */
  rebalance(options: ChangeOptions = {}): Promise<Plan> {
    return this.#change({ method: 'POST', path: '/v1/cluster/rebalance' }, options);
  }

  /** Fails with `leader_not_moved` where the node could not take over now. To move it twice does no harm. */
  async moveLeader(partition: number, nodeId: string, options: CallOptions = {}): Promise<LeaderMoved> {
    const path = `/v1/cluster/partitions/${partition}/leader`;
    const call = { method: 'POST', path, ...jsonBody({ nodeId }), timeoutMs: this.#timeoutOf(options) } as const;
    const { leader, term } = jsonOf(await this.#caller.call(call), 'not_applied') as LeaderMoved;
    return { leader, term };
  }

  /** What moves now, or waits to. */
  async operations(options: CallOptions = {}): Promise<Operation[]> {
    const timeoutMs = this.#timeoutOf(options);
    const answer = await this.#caller.call({ method: 'GET', path: '/v1/cluster/operations', timeoutMs });
    const { operations } = jsonOf(answer, 'not_applied') as { readonly operations: readonly OperationInJson[] };
    return operations.map((one) => ({ ...one, since: new Date(one.since), blockedBy: one.blockedBy }));
  }

  async #change(call: Omit<Call, 'timeoutMs'>, options: ChangeOptions): Promise<Plan> {
    const timeoutMs = this.#timeoutOf(options);
    // What changes nothing may be asked as often as it takes.
    const asked: Call =
      options.dryRun === true
        ? { ...call, timeoutMs, path: `${call.path}?dry_run=true` }
        : { ...call, timeoutMs, once: true };
    const answer = await this.#caller.call(asked);
    return (jsonOf(answer, asked.once === true ? 'unknown' : 'not_applied') as { readonly plan: Plan }).plan;
  }
}

type OperationInJson = Omit<Operation, 'since' | 'blockedBy'> & {
  readonly since: string;
  readonly blockedBy?: string;
};

function jsonBody(value: object): Pick<Call, 'headers' | 'body'> {
  return { headers: { 'Content-Type': 'application/json' }, body: Buffer.from(JSON.stringify(value)) };
}
