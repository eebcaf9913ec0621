/** What the schemas are put together from. */

/** As much of JSON Schema as is used here. */
export type JsonSchema = Readonly<Record<string, unknown>>;

export const text: JsonSchema = { type: 'string' };
export const name: JsonSchema = { type: 'string', minLength: 1 };
export const count: JsonSchema = { type: 'integer', minimum: 0 };
export const anyObject: JsonSchema = { type: 'object' };
/** ISO 8601 in UTC, with milliseconds. */
export const time: JsonSchema = { type: 'string', pattern: '^\\d{4,6}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$' };
export const hash: JsonSchema = { type: 'integer', minimum: 0, maximum: 0xffff_ffff };
export const nodeIdOrNull: JsonSchema = { type: ['string', 'null'], minLength: 1 };
/** Standard base64 with padding (RFC 4648, section 4). */
export const base64: JsonSchema = {
  type: 'string',
  pattern: '^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$',
};

export function object(required: Record<string, JsonSchema>, optional: Record<string, JsonSchema> = {}): JsonSchema {
  return {
    type: 'object',
    properties: { ...required, ...optional },
    required: Object.keys(required),
    additionalProperties: false,
  };
}

/** An object in which each of `names` stands either as text or, with `Base64` behind its name, as base64. */
export function oneOfPairs(
  required: Record<string, JsonSchema>,
  optional: Record<string, JsonSchema>,
  names: readonly string[],
): JsonSchema {
  const pairs = names.flatMap((one) => [one, `${one}Base64`]);
  return {
    ...object(required, { ...optional, ...Object.fromEntries(pairs.map((one) => [one, text])) }),
    // Each way names its property itself: what is required and defined nowhere beside it is taken for a slip of the pen.
    allOf: names.map((one) => ({ oneOf: [needs(one), needs(`${one}Base64`)] })),
  };
}

/** Objects in which all of these stand. */
export function needs(...names: readonly string[]): JsonSchema {
  return { properties: Object.fromEntries(names.map((one) => [one, {}])), required: names };
}

export function list(items: JsonSchema): JsonSchema {
  return { type: 'array', items };
}

/** A key's bytes stand as `key` where they are UTF-8 and as `keyBase64` where they are not. */
export function withKey(required: Record<string, JsonSchema>, optional: Record<string, JsonSchema> = {}): JsonSchema {
  return {
    oneOf: [object({ key: name, ...required }, optional), object({ keyBase64: base64, ...required }, optional)],
  };
}
