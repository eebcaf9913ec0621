/** The type of a value, as it is sent and as it is kept. */
import { failure, type Failure } from './failure.ts';

export const octetStream = 'application/octet-stream';
/** What `curl -d` sends when nothing is said; nobody means it. */
const formDefault = 'application/x-www-form-urlencoded';

/** What a header can carry back. One that came as a header has nothing else; a field of JSON may have. */
const headerText = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Empty for a type that says nothing. */
export function storedContentType(sent: string | undefined, bytesMax: number): string | Failure {
  if (sent === undefined || sent === '') return '';
  if (Buffer.byteLength(sent) > bytesMax) {
    return failure('invalid_request', `The Content-Type may have at most ${bytesMax} bytes.`);
  }
  if (!headerText.test(sent)) {
    return failure('invalid_request', 'The content type has characters that no header can carry.');
  }
  const lower = sent.toLowerCase();
  return lower === octetStream || lower === formDefault ? '' : sent;
}
