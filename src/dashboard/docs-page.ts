/** The page at `/docs`: the OpenAPI document for people, made of nothing but that document, and without a script. */
import { createHash } from 'node:crypto';
import { callsOf, type Call, type Document } from './docs-document.ts';
import { markup, prose, type Html } from './docs-html.ts';
import { callSection, commonCodes, problemTable, schemaSections } from './docs-parts.ts';
import { docsStyle } from './docs-style.ts';
import type { Page } from './page.ts';

export function docsPage(source: object): Page {
  const document = source as Document;
  const calls = callsOf(document);
  const { html: text } = markup`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>The API · Flotilla</title>
        <link rel="icon" href="data:," />
        <style>${{ html: docsStyle }}</style>
      </head>
      <body class="docs">
        <a class="skip" href="#content">To the routes</a>
        <header>
          <h1><span class="mark" aria-hidden="true"></span>${document.info.title}</h1>
          <p class="where">The API</p>
          <p class="elsewhere"><a href="/">The page</a> <a href="/openapi.json">openapi.json</a></p>
        </header>
        <div class="columns">
          ${contents(document, calls)}
          <main id="content">
            <section id="introduction" aria-labelledby="introduction-title">
              <h2 id="introduction-title">${document.info.summary}</h2>
              <p>${prose(document.info.description)}</p>
              <details>
                <summary>What any request may be refused with</summary>
                ${problemTable(commonCodes(calls))}
              </details>
            </section>
            ${document.tags.map((tag) => tagSection(tag, calls))} ${schemaSections(document)}
          </main>
        </div>
      </body>
    </html> `;
  return { html: text, contentSecurityPolicy: policy };
}

/** Its own style, and nothing else: there is nothing to run and nobody to ask. */
const policy = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(docsStyle).digest('base64')}'`,
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

function contents(document: Document, calls: readonly Call[]): Html {
  const entry = ({ operation, method, path }: Call): Html =>
    markup`<li>
      <a href="#${operation.operationId}"><span class="method ${method.toLowerCase()}">${method}</span> ${path}</a>
    </li>`;
  const group = (name: string): Html =>
    markup`<h2><a href="#${anchorOf(name)}">${name}</a></h2>
      <ul>
        ${ofTag(calls, name).map(entry)}
      </ul>`;
  return markup`<nav aria-label="Routes">
    ${document.tags.map(({ name }) => group(name))}
    <h2><a href="#schemas">schemas</a></h2>
  </nav>`;
}

function tagSection(tag: Document['tags'][number], calls: readonly Call[]): Html {
  const common = commonCodes(calls);
  return markup`<section id="${anchorOf(tag.name)}" aria-labelledby="${anchorOf(tag.name)}-title">
    <h2 id="${anchorOf(tag.name)}-title">${tag.name}</h2>
    <p>${prose(tag.description)}</p>
    ${ofTag(calls, tag.name).map((call) => callSection(call, common))}
  </section>`;
}

function ofTag(calls: readonly Call[], name: string): readonly Call[] {
  return calls.filter(({ operation }) => operation.tags.includes(name));
}

/** Beside the ids of operations, which have no dash. */
function anchorOf(tag: string): string {
  return `tag-${tag.replaceAll(' ', '-')}`;
}
