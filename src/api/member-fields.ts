/** What a member of the cluster may be called and where it may be reached: in its configuration as in requests. */
import { name, type JsonSchema } from './schema-parts.ts';

/** Names in ASCII, as headers carry them: one in another script is written in its ASCII form (`xn--…`). */
const host = '(?:\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]+)';
/** 1 to 65535: a larger one could be noted down and never be connected to. */
const port = '(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])';

export const nodeIdPattern = '^[A-Za-z0-9._-]{1,64}$';
export const hostPortPattern = `^${host}:${port}$`;
/** What nodes themselves speak. */
export const plainHttpUrlPattern = `^http://${host}(?::${port})?$`;

export const nodeId: JsonSchema = {
  ...name,
  maxLength: 64,
  pattern: nodeIdPattern,
  description: '1 to 64 of the characters A-Z a-z 0-9 . _ -',
};
export const peerAddress: JsonSchema = {
  ...name,
  maxLength: 300,
  pattern: hostPortPattern,
  description: 'host:port, such as 10.0.0.4:7101',
};
/** Clients may have to go through something that speaks TLS for the node. */
export const httpAddress: JsonSchema = {
  ...name,
  maxLength: 300,
  pattern: `^https?://${host}(?::${port})?$`,
  description: 'a URL such as http://10.0.0.4:7001, without a path or trailing slash',
};
export const labels: JsonSchema = {
  type: 'object',
  maxProperties: 64,
  // Not `__proto__`, for one, which the wire format refuses.
  propertyNames: {
    pattern: '^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$',
    description: 'an object with names of 1 to 64 of the characters A-Z a-z 0-9 . _ / -, the first a letter or digit',
  },
  // No bytes are what half of a character pair stands for.
  additionalProperties: {
    type: 'string',
    maxLength: 256,
    pattern: '^[^\\ud800-\\udfff]*$',
    description: 'a well-formed text',
  },
};
