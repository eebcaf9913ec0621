/** What one stream has stored, and what the store must therefore answer. */

export interface Stored {
  readonly value: Buffer;
  readonly contentType: string;
  /** Undefined where the answer to the write did not say it. */
  readonly etag: string | undefined;
  readonly revision: number;
  readonly expires: boolean;
}

/** As a header and as a field of JSON alike. */
export interface Conditions {
  readonly ifMatch?: string;
  readonly ifNoneMatch?: string;
}

/** What a condition is drawn as; which ETag that is, is known when it is sent. */
export type ConditionChoice =
  'none' | 'create' | 'match any' | 'match current' | 'match another' | 'match several' | 'none match current';

export class Model {
  readonly #stored = new Map<string, Stored>();

  get(key: Buffer): Stored | undefined {
    return this.#stored.get(key.toString('hex'));
  }

  put(key: Buffer, stored: Stored): void {
    this.#stored.set(key.toString('hex'), stored);
  }

  delete(key: Buffer): void {
    this.#stored.delete(key.toString('hex'));
  }
}

const another = '"1-9007199254740991"';

export function conditionsOf(choice: ConditionChoice, current: Stored | undefined): Conditions {
  const known = current === undefined ? another : (current.etag ?? '*');
  switch (choice) {
    case 'none':
      return {};
    case 'create':
      return { ifNoneMatch: '*' };
    case 'match any':
      return { ifMatch: '*' };
    case 'match current':
      return { ifMatch: known };
    case 'match another':
      return { ifMatch: another };
    case 'match several':
      return { ifMatch: known === '*' ? '*' : `"a,b", ${known}` };
    case 'none match current':
      return { ifNoneMatch: known === '*' ? '*' : `W/"x", ${known}` };
  }
}

/** Whether they hold: told from what was drawn, not from the text, so that this is no second parser. */
export function holds(choice: ConditionChoice, current: Stored | undefined): boolean {
  const present = current !== undefined;
  switch (choice) {
    case 'none':
      return true;
    case 'create':
    case 'none match current':
      return !present;
    case 'match any':
    case 'match current':
    case 'match several':
      return present;
    case 'match another':
      return false;
  }
}

/** The status of a write or read that comes to `success` where nothing is in its way. */
export function expectedStatus(
  kind: 'get' | 'put' | 'delete',
  choice: ConditionChoice,
  current: Stored | undefined,
): number {
  const held = holds(choice, current);
  const present = current !== undefined;
  switch (kind) {
    case 'put':
      return held ? (present ? 200 : 201) : 412;
    case 'delete':
      return held ? (present ? 200 : 404) : 412;
    case 'get':
      if (choice === 'create' || choice === 'none match current') return present ? 304 : 404;
      return held ? (present ? 200 : 404) : 412;
  }
}
