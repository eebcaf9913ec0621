/** Who watches over HTTP: what has come so far, as it came. */
import { Agent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';

export class WatchClient {
  readonly answer: IncomingMessage;
  readonly #outgoing: ClientRequest;
  readonly #pieces: string[] = [];
  #ended = false;
  #wake: () => void = () => {};

  private constructor(outgoing: ClientRequest, answer: IncomingMessage) {
    this.#outgoing = outgoing;
    this.answer = answer;
    answer.setEncoding('utf8').on('data', (text: string) => {
      this.#pieces.push(text);
      this.#wake();
    });
    const end = (): void => {
      this.#ended = true;
      this.#wake();
    };
    answer.on('end', end).on('close', end).on('error', end);
  }

  /** Resolves once the headers are there. */
  static open(baseUrl: string, path: string, headers: Record<string, string> = {}): Promise<WatchClient> {
    const { hostname, port } = new URL(baseUrl);
    return new Promise((resolve, reject) => {
      const outgoing = httpRequest({ host: hostname, port, path, headers, agent: new Agent() }, (answer) =>
        resolve(new WatchClient(outgoing, answer)),
      );
      outgoing.on('error', reject).end();
    });
  }

  /** Everything that has come once it ends in `ending`, or all that ever came. */
  async until(ending: string): Promise<string> {
    // Of what comes in one piece or two.
    while (!this.#pieces.slice(-2).join('').endsWith(ending) && !this.#ended) await this.#more();
    return this.#pieces.join('');
  }

  /** Everything, once the answer is whole or broken off. */
  async all(): Promise<string> {
    while (!this.#ended) await this.#more();
    return this.#pieces.join('');
  }

  leave(): void {
    this.#outgoing.destroy();
  }

  #more(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }
}
