/** Which requests this process sends: Node's own report of them, so that the client needs no hook. */
import { channel, type ChannelListener } from 'node:diagnostics_channel';

export interface SeenRequest {
  readonly method: string;
  /** `http://127.0.0.1:7001` */
  readonly node: string;
  readonly path: string;
  readonly status: number;
}

interface Message {
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly host: string;
    getHeader(name: string): unknown;
  };
  readonly response: { readonly statusCode: number };
}

const finished = channel('http.client.response.finish');

export class RequestsSeen {
  readonly all: SeenRequest[] = [];
  readonly #listener: ChannelListener = (message) => {
    const { request, response } = message as Message;
    const node = `http://${String(request.getHeader('host'))}`;
    this.all.push({ method: request.method, node, path: request.path, status: response.statusCode });
  };

  constructor() {
    finished.subscribe(this.#listener);
  }

  /** Those under `/v1/kv`, and forgets all so far. */
  takeKeyRequests(): SeenRequest[] {
    return this.all.splice(0).filter(({ path }) => path.startsWith('/v1/kv'));
  }

  stop(): void {
    finished.unsubscribe(this.#listener);
  }
}
