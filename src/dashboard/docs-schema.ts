/** A JSON schema in a few lines that people read: what stands where, and what of it may be missing. */
import type { JsonSchema } from '../api/schema-parts.ts';

/** The names of schemas that are shown by themselves, so that others only name them. */
export type KnownSchemas = ReadonlyMap<unknown, string>;

interface Field {
  readonly name: string;
  readonly type: string;
}

export function schemaText(schema: JsonSchema, known: KnownSchemas): string {
  const { oneOf } = schema as { readonly oneOf?: readonly JsonSchema[] };
  if (oneOf !== undefined) return alternatives(oneOf, known);
  if ('const' in schema) return JSON.stringify(schema['const']);
  if (Array.isArray(schema['enum'])) return schema['enum'].map((value) => JSON.stringify(value)).join(' | ');
  if (schema['type'] === 'object') return objectText(fieldsOf(schema, known), rulesOf(schema));
  if (schema['type'] === 'array') return `[ ${named(schema['items'] as JsonSchema, known)}, … ]${bounds(schema)}`;
  const { type: types = 'anything' } = schema as { readonly type?: string | readonly string[] };
  const type = [types].flat().join(' | ');
  return `${type}${bounds(schema)}`;
}

function named(schema: JsonSchema, known: KnownSchemas): string {
  return known.get(schema) ?? schemaText(schema, known);
}

interface Bounds {
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly maxItems?: number;
  readonly maxLength?: number;
}

function bounds({ minimum = 0, exclusiveMinimum, maximum, maxItems, maxLength }: Bounds): string {
  if (maxItems !== undefined) return ` (at most ${String(maxItems)})`;
  if (maxLength !== undefined) return ` (at most ${String(maxLength)} characters)`;
  if (exclusiveMinimum !== undefined) return ` (above ${String(exclusiveMinimum)}, at most ${String(maximum)})`;
  if (maximum !== undefined && maximum !== Number.MAX_SAFE_INTEGER)
    return ` (${String(minimum)} to ${String(maximum)})`;
  return minimum === 0 ? '' : ` (at least ${String(minimum)})`;
}

function fieldsOf(schema: JsonSchema, known: KnownSchemas): Field[] {
  const { properties = {}, required = [] } = schema as {
    readonly properties?: Readonly<Record<string, JsonSchema>>;
    readonly required?: readonly string[];
  };
  const rest = schema['additionalProperties'];
  const fields = Object.entries(properties).map(([name, one]) => ({
    name: `${name}${required.includes(name) ? '' : '?'}`,
    type: named(one, known),
  }));
  return typeof rest === 'object' ? [...fields, { name: '…', type: named(rest as JsonSchema, known) }] : fields;
}

/** What holds between the properties of one object. */
function rulesOf(schema: JsonSchema): string[] {
  type Needs = { readonly required?: readonly string[] };
  const { allOf = [], not } = schema as {
    readonly allOf?: readonly { readonly oneOf?: readonly Needs[] }[];
    readonly not?: Needs;
  };
  const choices = allOf.map(({ oneOf = [] }) => oneOf.flatMap(({ required = [] }) => required).join(' or '));
  return [
    ...choices.map((choice) => `exactly one: ${choice}`),
    ...(not?.required === undefined ? [] : [`not both: ${not.required.join(' and ')}`]),
  ];
}

function objectText(fields: readonly Field[], rules: readonly string[] = []): string {
  if (fields.length === 0) return '{ … }';
  const lines = [...fields.map(({ name, type }) => `${name}: ${type}`), ...rules.map((rule) => `// ${rule}`)];
  const short = `{ ${lines.join(', ')} }`;
  if (rules.length === 0 && short.length <= 76 && !short.includes('\n')) return short;
  return `{\n${lines.map((line) => `  ${line.replaceAll('\n', '\n  ')}`).join('\n')}\n}`;
}

function alternatives(nested: readonly JsonSchema[], known: KnownSchemas): string {
  const oneOf = nested.flatMap(flat);
  const names = oneOf.filter((one) => known.has(one)).map((one) => known.get(one) ?? '');
  const whole = oneOf.filter((one) => !known.has(one));
  const plain = whole.filter((one) => one['type'] === 'object' && rulesOf(one).length === 0);
  const merged = merge(plain.map((one) => fieldsOf(one, known)));
  const others = whole.filter((one) => !plain.includes(one)).map((one) => schemaText(one, known));
  return [...names, ...merged.map((fields) => objectText(fields)), ...others].join('\nor ');
}

function flat(schema: JsonSchema): readonly JsonSchema[] {
  const { oneOf, type } = schema as { readonly oneOf?: readonly JsonSchema[]; readonly type?: unknown };
  return oneOf === undefined || type !== undefined ? [schema] : oneOf.flatMap(flat);
}

/** Alternatives that differ in nothing but that one property stands as base64 are one. */
function merge(all: readonly Field[][]): Field[][] {
  const merged: Field[][] = [];
  for (const fields of all) {
    const place = merged.findIndex((other) => bothOf(other, fields) !== undefined);
    const both = merged[place] === undefined ? undefined : bothOf(merged[place], fields);
    if (both === undefined) merged.push(fields);
    else merged[place] = both;
  }
  return merged.length === all.length ? merged : merge(merged);
}

function bothOf(one: readonly Field[], other: readonly Field[]): Field[] | undefined {
  const [inOne, ...moreInOne] = one.filter((field) => !other.some((there) => same(there, field)));
  const [inOther, ...moreInOther] = other.filter((field) => !one.some((there) => same(there, field)));
  if (inOne === undefined || inOther === undefined || moreInOne.length + moreInOther.length > 0) return undefined;
  if (inOther.name !== `${inOne.name}Base64` || inOne.type !== inOther.type) return undefined;
  const name = `${inOne.name} or ${inOther.name}`;
  return one.map((field) => (field === inOne ? { ...field, name } : field));
}

function same(one: Field, other: Field): boolean {
  return one.name === other.name && one.type === other.type;
}
