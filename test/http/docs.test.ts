/** The page at `/docs` says what the OpenAPI document says, needs nothing else, and gives examples that work. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openApiDocument } from '../../src/api/openapi/document.ts';
import { callsOf, type Document } from '../../src/dashboard/docs-document.ts';
import { curlOf } from '../../src/dashboard/docs-example.ts';
import { markup, prose } from '../../src/dashboard/docs-html.ts';
import { docsPage } from '../../src/dashboard/docs-page.ts';
import { schemaText } from '../../src/dashboard/docs-schema.ts';
import { expectProblem } from './expect-answer.ts';
import { send } from './http-client.ts';
import { startFront, type Front } from './start-front.ts';

let front: Front;
beforeAll(async () => {
  front = await startFront();
  front.node.watchOutcome = ({ begin }) => {
    begin().end({ type: 'shutting_down' });
    return { type: 'watching', close: () => undefined };
  };
});
afterAll(() => front.close());

const document = openApiDocument() as unknown as Document;
const calls = callsOf(document);
const page = docsPage(document);

describe('the page', () => {
  it('is served under a policy that allows its style and nothing else', async () => {
    const answer = await send(front.baseUrl, { path: '/docs' });
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(answer.headers['content-security-policy']).toMatch(
      /^default-src 'none'; style-src 'sha256-[^' ]+'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/,
    );
    expect(answer.body.toString()).toBe(page.html);
    const [, style = ''] = /<style>(.*)<\/style>/s.exec(page.html) ?? [];
    const hash = createHash('sha256').update(style).digest('base64');
    expect(answer.headers['content-security-policy']).toContain(`'sha256-${hash}'`);
    const head = await send(front.baseUrl, { method: 'HEAD', path: '/docs' });
    expect(head.headers['content-length']).toBe(String(answer.body.length));
    expectProblem(await send(front.baseUrl, { path: '/docs?theme=dark' }), 'invalid_request');
  });

  it('has nothing of elsewhere, nothing that runs, and is no heavier than a picture', () => {
    expect(page.html).not.toMatch(/<script|\son\w+=|\sstyle=|<(img|iframe|object)|(src|href)="(?!#|\/|data:,)/);
    expect(Buffer.byteLength(page.html)).toBeLessThan(300_000);
  });

  it('tells of every operation with all its parameters, bodies and codes, and of every schema', () => {
    for (const { operation, parameters } of calls) {
      const section = sectionOf(operation.operationId);
      expect(section).toContain(operation.summary);
      for (const { name } of parameters) expect(section).toContain(`<code>${name}</code>`);
      const said = section + sectionOf('introduction');
      for (const { description } of Object.values(operation.responses)) {
        for (const [, code = ''] of description.matchAll(/^`(\w+)`:|(?<=\. )`(\w+)`:/g)) expect(said).toContain(code);
      }
    }
    for (const name of Object.keys(document.components.schemas)) expect(page.html).toContain(`id="schema-${name}"`);
  });

  it('leads nowhere that is not there, and names no place twice', () => {
    const ids = [...page.html.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const ends = [...page.html.matchAll(/(?:href="#|aria-labelledby=")([^"]+)"/g)].map(([, id]) => id);
    expect(ends.filter((id) => !ids.includes(id))).toEqual([]);
  });
});

it.each(calls.map((call) => [call.operation.operationId, call] as const))(
  'gives an example of %s that is taken',
  async (_id, call) => {
    const words = curlOf(call, front.baseUrl);
    const [, method = 'GET'] = /-X (\w+)/.exec(words) ?? [];
    const [, url = ''] = /(http:[^\s']+)/.exec(words) ?? [];
    const [, body] = /-d '(.*)'$/s.exec(words) ?? [];
    const [, type] = /Content-Type: ([^']+)'/.exec(words) ?? [];
    const answer = await send(front.baseUrl, {
      method,
      path: url.slice(front.baseUrl.length),
      ...(body === undefined ? {} : { body }),
      ...(type === undefined ? {} : { headers: { 'Content-Type': type } }),
    });
    expect([200, 201, 202, 303, 404]).toContain(answer.status);
    // Where nothing is: a key that nobody has put, and no route or parameter that does not exist.
    if (answer.status === 404) expect(answer.body.toString()).toMatch(/key_not_found|"not_found"/);
  },
);

describe('a text that is put in', () => {
  it('never becomes markup', () => {
    expect(markup`<p>${'<b title="x">&'}${[1, markup`<i></i>`]}</p>`.html).toBe(
      '<p>&lt;b title=&quot;x&quot;&gt;&amp;1<i></i></p>',
    );
    expect(prose('a `<b>` c').html).toBe('a <code>&lt;b&gt;</code> c');
  });
});

describe('a schema', () => {
  const { scanLine, batchRequest, watchLine } = document.components.schemas;
  const known = new Map<unknown, string>([[document.components.schemas['problem'], 'problem']]);

  it('is told with what may be missing, and once where only base64 differs', () => {
    expect(schemaText(scanLine ?? {}, known)).toMatchInlineSnapshot(`
      "{
        key or keyBase64: string
        revision: integer
        etag: string
        expiresAt?: string
      }
      or {
        key or keyBase64: string
        value or valueBase64: string
        revision: integer
        etag: string
        expiresAt?: string
      }
      or { end: true, count: integer, cursor?: string }
      or { end: false, count: integer, error: problem, cursor?: string }"
    `);
    expect(schemaText(watchLine ?? {}, known)).toMatchInlineSnapshot(`
      "{
        event: "put"
        cursor: string
        data: {
          key or keyBase64: string
          value: string
          revision: integer
          etag: string
          partition: integer
          contentType?: string
        }
      }
      or {
        event: "put"
        cursor: string
        data: {
          key or keyBase64: string
          valueBase64: string
          revision: integer
          etag: string
          partition: integer
          contentType?: string
        }
      }
      or {
        event: "delete" | "expire"
        cursor: string
        data: {
          key or keyBase64: string
          revision: integer
          etag: string
          partition: integer
        }
      }
      or { event: "bookmark", cursor: string }
      or { event: "end", data: problem }"
    `);
  });

  it('is told with what holds between its parts', () => {
    expect(schemaText(batchRequest ?? {}, known)).toMatchInlineSnapshot(`
      "{
        ops: [ {
          op: "get"
          key?: string
          keyBase64?: string
          // exactly one: key or keyBase64
        }
        or {
          op: "delete"
          ifMatch?: string
          ifNoneMatch?: string
          key?: string
          keyBase64?: string
          // exactly one: key or keyBase64
        }
        or {
          op: "put"
          ifMatch?: string
          ifNoneMatch?: string
          ttl?: string | number
          contentType?: string
          key?: string
          keyBase64?: string
          value?: string
          valueBase64?: string
          // exactly one: key or keyBase64
          // exactly one: value or valueBase64
        }, … ] (at most 1000)
      }"
    `);
  });
});

/** From where one article or section begins to where the next one does. */
function sectionOf(id: string): string {
  const start = page.html.indexOf(`id="${id}"`);
  const ends = ['<article', '<section'].map((tag) => page.html.indexOf(tag, start)).filter((end) => end > 0);
  return page.html.slice(start, Math.min(...ends, page.html.length));
}
