/**
 * Last words without a request that Node's parser has seen: it gave up on one, or the node leaves. There is no response
 * object, so the problem goes straight to the socket.
 */
import { STATUS_CODES } from 'node:http';
import { errorTable, problem, problemContentType, type ErrorCode } from '../api/errors.ts';
import type { Connection } from './connection.ts';
import type { ExchangeHost } from './exchange.ts';

export function answerBrokenRequest(options: {
  readonly error: NodeJS.ErrnoException;
  readonly connection: Connection;
  readonly host: ExchangeHost;
}): void {
  const { error, connection, host } = options;
  const { socket } = connection;
  if (connection.closing) return;
  connection.closing = true;
  const what = describe(error.code);
  const course = what === undefined || !socket.writable ? 'cut_off' : connection.afterBrokenBytes();
  if (course === 'finish_earlier') return;
  if (what === undefined || course === 'cut_off') {
    socket.destroy();
    return;
  }
  endWith(what, connection, host);
}

/**
 * Closes a connection on which nothing is under way. A request that crosses this on its way is dropped unserved, and its
 * client takes what is said here for the answer to it, which it then is.
 */
export function answerBeforeRequest(connection: Connection, host: ExchangeHost): void {
  if (connection.closing) return;
  connection.closing = true;
  endWith({ code: 'shutting_down', detail: 'This node is shutting down; ask another one.' }, connection, host);
}

/** As with every last answer: what still comes is dropped for a while, so that a reset does not overtake it. */
function endWith(what: Description, { socket }: Connection, host: ExchangeHost): void {
  const cutOff = setTimeout(() => socket.destroy(), host.lingerTimeoutMs);
  socket.once('close', () => clearTimeout(cutOff));
  socket.once('end', () => socket.destroySoon());
  socket.end(rawProblem(what, host));
}

interface Description {
  readonly code: ErrorCode;
  readonly detail: string;
}

/** Undefined when nobody is left to answer: the connection itself broke. */
function describe(code: string | undefined): Description | undefined {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return { code: 'headers_too_large', detail: 'The request line and headers are larger than this node takes.' };
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return { code: 'value_too_large', detail: 'The chunk extensions are larger than this node takes.' };
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { code: 'request_timeout', detail: 'The request did not arrive whole within the time allowed.' };
    default:
      if (code?.startsWith('HPE_') !== true) return undefined;
      return { code: 'invalid_request', detail: 'This is not a well-formed HTTP/1.1 request.' };
  }
}

function rawProblem({ code, detail }: Description, host: ExchangeHost): string {
  host.refused(code);
  const requestId = host.newRequestId();
  const body = `${JSON.stringify(problem({ code, detail, requestId }))}\n`;
  const { status } = errorTable[code];
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    `Date: ${new Date().toUTCString()}`,
    `Content-Type: ${problemContentType}`,
    'Cache-Control: no-store',
    `X-Request-Id: ${requestId}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    `Flotilla-Node: ${host.nodeId}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}
