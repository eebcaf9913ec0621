/** HTML in which nothing that is put in becomes markup. */

/** What is markup already. */
export interface Html {
  readonly html: string;
}

type Part = string | number | Html | readonly Part[];

/** A template whose texts are escaped where they are put in. */
export function markup(frame: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return { html: frame.map((text, place) => text + markupOf(parts[place] ?? '')).join('') };
}

/** A text in which what stands between backticks is code. */
export function prose(text: string): Html {
  return { html: escaped(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>') };
}

function markupOf(part: Part): string {
  if (typeof part === 'string' || typeof part === 'number') return escaped(String(part));
  return 'html' in part ? part.html : part.map(markupOf).join('');
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
