/** As much of the OpenAPI document as the page that shows it relies on. */
import type { JsonSchema } from '../api/schema-parts.ts';

export interface Reference {
  readonly $ref: string;
}

export interface DocumentParameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly description: string;
  readonly required?: true;
  readonly schema: JsonSchema;
  readonly example?: string | number;
}

export type Content = Readonly<Record<string, { readonly schema: JsonSchema | Reference; readonly example?: unknown }>>;

export interface DocumentResponse {
  readonly description: string;
  readonly headers?: Readonly<Record<string, Reference>>;
  readonly content?: Content;
}

export interface DocumentOperation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description?: string;
  readonly parameters: readonly Reference[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, DocumentResponse>>;
}

export interface Document {
  readonly info: { readonly title: string; readonly summary: string; readonly description: string };
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, DocumentOperation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, JsonSchema>>;
    readonly parameters: Readonly<Record<string, DocumentParameter>>;
    readonly headers: Readonly<Record<string, { readonly description: string; readonly schema: JsonSchema }>>;
  };
}

/** One operation, and where it is. */
export interface Call {
  readonly path: string;
  readonly method: string;
  /** HEAD is answered as well. */
  readonly withHead: boolean;
  readonly operation: DocumentOperation;
  readonly parameters: readonly DocumentParameter[];
}

export function callsOf(document: Document): readonly Call[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(([method]) => method !== 'head')
      .map(([method, operation]) => ({
        path,
        method: method.toUpperCase(),
        withHead: method === 'get' && item['head'] !== undefined,
        operation,
        parameters: operation.parameters.map((one) => document.components.parameters[nameOf(one)] as DocumentParameter),
      })),
  );
}

/** The name behind the last slash of a reference. */
export function nameOf({ $ref }: Reference): string {
  return $ref.slice($ref.lastIndexOf('/') + 1);
}
