/** Names for requests that came without one: short, and told apart from those of other nodes and earlier starts. */
import { randomBytes } from 'node:crypto';

export class RequestIds {
  readonly #start = randomBytes(6).toString('base64url');
  #count = 0;

  next(): string {
    this.#count += 1;
    return `${this.#start}-${this.#count.toString(36)}`;
  }
}
