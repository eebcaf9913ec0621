/** What the page at `/docs` says of one operation: what it takes, what it answers, what it refuses, and how it is called. */
import type { JsonSchema } from '../api/schema-parts.ts';
import {
  nameOf,
  type Call,
  type Content,
  type Document,
  type DocumentResponse,
  type Reference,
} from './docs-document.ts';
import { curlOf } from './docs-example.ts';
import { markup, prose, type Html } from './docs-html.ts';
import { schemaText } from './docs-schema.ts';

/** One code that a refusal may carry. */
interface Code {
  readonly status: string;
  readonly code: string;
  readonly title: string;
}

const nothing: Html = { html: '' };
const example = 'http://127.0.0.1:7001';

export function callSection(call: Call, common: readonly Code[]): Html {
  const { operation, method, path, withHead } = call;
  const id = operation.operationId;
  const special = codesOf(call).filter(({ code }) => !common.some((one) => one.code === code));
  return markup`<article id="${id}" aria-labelledby="${id}-title">
    <h3 id="${id}-title">
      <a class="path" href="#${id}"
        ><span class="method ${method.toLowerCase()}">${method}</span> <code>${path}</code></a
      >
      <span>${operation.summary}</span>
    </h3>
    ${operation.description === undefined ? nothing : markup`<p>${prose(operation.description)}</p>`}
    ${withHead ? markup`<p class="quiet">HEAD gives the headers alone.</p>` : nothing}
    <pre class="curl" tabindex="0" aria-label="Example">${curlOf(call, example)}</pre>
    ${parameterTable(call)}
    ${
      operation.requestBody === undefined
        ? nothing
        : markup`<h4>Body</h4>
            <p>${contentText(operation.requestBody.content)}</p>`
    }
    ${answerTable(call)}
    ${
      special.length === 0
        ? nothing
        : markup`<details>
            <summary>What it may be refused with</summary>
            ${problemTable(special)}
          </details>`
    }
  </article>`;
}

function parameterTable({ parameters }: Call): Html {
  if (parameters.length === 0) return nothing;
  const row = (one: Call['parameters'][number]): Html =>
    markup`<tr>
      <th scope="row">
        <code>${one.name}</code>${one.required === true ? markup`<small class="needed">needed</small>` : nothing}
      </th>
      <td>${one.in}<small>${typeOf(one.schema)}</small></td>
      <td>${prose(one.description)}</td>
    </tr>`;
  return markup`<h4>Parameters</h4>
    <div class="wide-table">
      <table>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Where</th>
            <th scope="col">What</th>
          </tr>
        </thead>
        <tbody>
          ${parameters.map(row)}
        </tbody>
      </table>
    </div>`;
}

function typeOf(schema: JsonSchema): string {
  const byDefault = schema['default'] === undefined ? '' : `, by default ${JSON.stringify(schema['default'])}`;
  return schemaText(schema, new Map()) + byDefault;
}

function answerTable({ operation }: Call): Html {
  const row = ([status, one]: [string, DocumentResponse]): Html =>
    markup`<tr>
      <th scope="row">${status}</th>
      <td>${prose(one.description)}${headerList(one)}</td>
      <td>${one.content === undefined ? 'no body' : contentText(one.content)}</td>
    </tr>`;
  return markup`<h4>Answers</h4>
    <div class="wide-table">
      <table>
        <thead>
          <tr>
            <th scope="col">Status</th>
            <th scope="col">What</th>
            <th scope="col">Body</th>
          </tr>
        </thead>
        <tbody>
          ${Object.entries(operation.responses)
            .filter(([, one]) => !isProblem(one))
            .map(row)}
        </tbody>
      </table>
    </div>`;
}

function headerList({ headers = {} }: DocumentResponse): Html {
  const names = Object.keys(headers).flatMap((name, place) => [place === 0 ? '' : ', ', markup`<code>${name}</code>`]);
  return markup`<small>Headers: ${names}</small>`;
}

function contentText(content: Content): Html[] {
  return Object.entries(content).map(([type, { schema }]) => {
    if (!('$ref' in schema)) return markup`<code class="type">${type === '*/*' ? 'bytes of any type' : type}</code> `;
    const name = nameOf(schema as Reference);
    return markup`<span class="type"><code>${type}</code> <a href="#schema-${name}">${name}</a></span> `;
  });
}

function isProblem({ content = {}, description }: DocumentResponse): boolean {
  return 'application/problem+json' in content || description.startsWith('`not_leader`');
}

/** A response of problems names each code and its title: `code`: Title. */
function codesOf({ operation }: Call): Code[] {
  return Object.entries(operation.responses)
    .filter(([, one]) => isProblem(one))
    .flatMap(([status, one]) =>
      [...one.description.matchAll(/`(\w+)`: ([^`]+)\.(?= `|$)/g)].map(([, code = '', title = '']) => ({
        status,
        code,
        title,
      })),
    );
}

/** What every operation may meet, said once. */
export function commonCodes(calls: readonly Call[]): readonly Code[] {
  const [first, ...others] = calls.map(codesOf);
  return (first ?? []).filter(({ code }) => others.every((codes) => codes.some((one) => one.code === code)));
}

export function problemTable(codes: readonly Code[]): Html {
  return markup`<div class="wide-table">
    <table>
      <thead>
        <tr>
          <th scope="col">Status</th>
          <th scope="col">Code</th>
          <th scope="col">What</th>
        </tr>
      </thead>
      <tbody>
        ${codes.map(
          (one) =>
            markup`<tr>
              <th scope="row">${one.status}</th>
              <td><code>${one.code}</code></td>
              <td>${one.title}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

export function schemaSections({ components }: Document): Html {
  const known = new Map<unknown, string>(Object.entries(components.schemas).map(([name, schema]) => [schema, name]));
  const one = ([name, schema]: [string, JsonSchema]): Html =>
    markup`<article id="schema-${name}" aria-labelledby="schema-${name}-title">
      <h3 id="schema-${name}-title"><code>${name}</code></h3>
      <pre tabindex="0" aria-labelledby="schema-${name}-title">${schemaText(schema, known)}</pre>
    </article>`;
  return markup`<section id="schemas" aria-labelledby="schemas-title">
    <h2 id="schemas-title">schemas</h2>
    <p>
      What stands in bodies of JSON. A question mark: it may be missing; with <code>Base64</code> behind a name: bytes
      that are not UTF-8.
    </p>
    ${Object.entries(components.schemas).map(one)}
  </section>`;
}
