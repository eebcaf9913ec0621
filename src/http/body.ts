/** Reads a request body into memory, never more of it than is allowed. */
import type { Exchange } from './exchange.ts';
import { failure, type Failure } from './failure.ts';

/** `aborted`: the client went away before the body was whole. */
export type BodyResult = { readonly type: 'body'; readonly bytes: Buffer } | { readonly type: 'aborted' } | Failure;

const empty: BodyResult = { type: 'body', bytes: Buffer.alloc(0) };

/**
 * A body whose length is declared is refused before a byte is read; one that is not (chunked) is cut off at
 * `bytesMax`. No body is an empty one.
 */
export function readBody(exchange: Exchange, bytesMax: number): BodyResult | Promise<BodyResult> {
  const { headers } = exchange.request;
  const declared = headers['content-length'];
  if (headers['transfer-encoding'] === undefined && (declared === undefined || declared === '0')) return empty;
  const refusal = checkDeclaredBody(exchange, bytesMax);
  if (refusal !== undefined) return refusal;
  exchange.welcomeBody();
  return collect(exchange, bytesMax);
}

/** Why a body would not be taken, by what the headers say of it. */
export function checkDeclaredBody(exchange: Exchange, bytesMax: number): Failure | undefined {
  const { headers } = exchange.request;
  const encoding = headers['transfer-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'chunked') {
    return failure('unsupported_media_type', 'The only Transfer-Encoding that is understood is chunked.');
  }
  const declared = headers['content-length'];
  return declared !== undefined && Number(declared) > bytesMax ? tooLarge(bytesMax) : undefined;
}

function collect(exchange: Exchange, bytesMax: number): Promise<BodyResult> {
  const { request } = exchange;
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let received = 0;
    request.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (received > bytesMax) {
        chunks.length = 0;
        resolve(tooLarge(bytesMax));
      } else {
        chunks.push(chunk);
      }
    });
    request.once('end', () => {
      const [only] = chunks;
      resolve({ type: 'body', bytes: chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks) });
    });
    // After 'end' this comes too late to matter: a promise is settled once.
    request.once('close', () => resolve({ type: 'aborted' }));
  });
}

function tooLarge(bytesMax: number): Failure {
  return failure('value_too_large', `The body may have at most ${bytesMax} bytes.`);
}
