/** What other nodes ask of this one over the peer connection, besides Raft. */
import type { Formation } from '../cluster/formation.ts';
import type { Router } from '../cluster/router.ts';
import { encodeStatus } from '../cluster/status.ts';
import type { NodeId } from '../replica/ports.ts';
import type { GroupHost } from './group-host.ts';

export interface PeerRequestsOptions {
  readonly router: Router;
  readonly host: GroupHost;
  readonly formation: Formation;
}

export class PeerRequests {
  readonly #options: PeerRequestsOptions;

  constructor(options: PeerRequestsOptions) {
    this.#options = options;
  }

  /** Rejects for a kind not known here: the asker is newer than this node. */
  answer(from: NodeId, kind: string, payload: unknown): Promise<unknown> {
    const { router, host, formation } = this.#options;
    switch (kind) {
      case 'forward':
        return router.handleForward(payload);
      case 'status':
        return Promise.resolve(encodeStatus(host.statuses()));
      case 'formation.state':
      case 'formation.prepare':
        return Promise.resolve(formation.handle(kind, payload, from));
      default:
        return Promise.reject(new Error(`this node knows no request of kind ${JSON.stringify(kind)}`));
    }
  }
}
