/** A request's JSON body: read, parsed and checked against its schema, or refused with a word on what to send instead. */
import { Ajv, type ErrorObject, type Options, type ValidateFunction } from 'ajv';
import { requestSchemas, type RequestBodies } from '../api/schemas.ts';
import type { Config } from '../config.ts';
import { readBody } from './body.ts';
import type { Exchange } from './exchange.ts';
import { failure, type Failure } from './failure.ts';

/** `aborted`: the client went away before the body was whole. */
export type JsonResult<T> = { readonly type: 'json'; readonly value: T } | { readonly type: 'aborted' } | Failure;

/** What our request schemas are written for. (What is required in one of several ways stands beside the properties, not among them.) */
export const schemaOptions = {
  strict: true,
  strictRequired: false,
  allowUnionTypes: true,
  discriminator: true,
} as const satisfies Options;
// Stops at the first mistake: a body made of nothing else costs no more than any other. The schemas are our own, and held to the standard
// by a test; to check them, and to compile those that nobody uses, would delay each start.
// Verbose: a mistake carries the schema it broke, whose description says more than a pattern.
const ajv = new Ajv({ ...schemaOptions, meta: false, validateSchema: false, verbose: true });
const validators = new Map<keyof RequestBodies, ValidateFunction>();

function validatorOf<Name extends keyof RequestBodies>(name: Name): ValidateFunction<RequestBodies[Name]> {
  const validate = validators.get(name) ?? ajv.compile(requestSchemas[name]);
  validators.set(name, validate);
  return validate as ValidateFunction<RequestBodies[Name]>;
}

export async function readJson<Name extends keyof RequestBodies>(
  exchange: Exchange,
  name: Name,
  limits: Pick<Config['limits'], 'jsonBytesMax'>,
): Promise<JsonResult<RequestBodies[Name]>> {
  const refusal = checkHeaders(exchange);
  if (refusal !== undefined) return refusal;
  const body = await readBody(exchange, limits.jsonBytesMax);
  if (body.type !== 'body') return body;
  const parsed = parse(body.bytes);
  if (parsed.type === 'failure') return parsed;
  const validate = validatorOf(name);
  const { value } = parsed;
  if (validate(value)) return { type: 'json', value };
  return failure('invalid_request', mistake(validate.errors?.[0]));
}

function checkHeaders({ request: { headers } }: Exchange): Failure | undefined {
  const mediaType = headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  if (mediaType !== 'application/json') {
    return failure('unsupported_media_type', 'Send JSON, with the header Content-Type: application/json.');
  }
  const encoding = headers['content-encoding'];
  if (encoding === undefined || encoding.toLowerCase() === 'identity') return undefined;
  return failure('unsupported_media_type', 'Send the JSON as it is, without Content-Encoding.');
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function parse(bytes: Buffer): { readonly type: 'parsed'; readonly value: unknown } | Failure {
  if (bytes.length === 0) return failure('invalid_request', 'The body is empty; JSON was expected.');
  try {
    return { type: 'parsed', value: JSON.parse(utf8.decode(bytes)) };
  } catch (error) {
    // What is no UTF-8 says so in its message, too.
    return failure('invalid_request', `The body is not JSON: ${(error as Error).message}.`);
  }
}

/** Names the field and what is wrong with it. */
function mistake(error: ErrorObject | undefined): string {
  if (error === undefined) return 'The body has not the shape that this route takes.';
  const path = dotted(error.instancePath);
  const within = (name: unknown): string => shortened(path === '' ? String(name) : `${path}.${String(name)}`);
  switch (error.keyword) {
    case 'required':
      return `The body lacks ${within(error.params['missingProperty'])}.`;
    case 'additionalProperties':
      return `The body has a field that is not known here: ${within(error.params['additionalProperty'])}.`;
    case 'pattern': {
      const described: unknown = error.parentSchema?.['description'];
      return `${path === '' ? 'The body' : path} must ${typeof described === 'string' ? `be ${described}` : 'look otherwise'}.`;
    }
    default:
      return `${path === '' ? 'The body' : path} ${error.message ?? 'is not valid'}.`;
  }
}

/** A name that the client made up may be as long as its body. */
function shortened(path: string): string {
  return path.length <= shownCharactersMax ? path : `${path.slice(0, shownCharactersMax)}…`;
}

const shownCharactersMax = 100;

/** `/ops/0/key` is written `ops[0].key`. */
function dotted(instancePath: string): string {
  return instancePath
    .slice(1)
    .replaceAll(/\/([0-9]+)(?=\/|$)/g, '[$1]')
    .replaceAll('/', '.');
}
