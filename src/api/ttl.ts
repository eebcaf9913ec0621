/** How long a key is to live, as clients write it. */

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
export const ttlMsMin = 1;
/** Ten years of 365 days. */
export const ttlMsMax = 3650 * unitMs.d;

const part = /(\d{1,12}(?:\.\d{1,9})?)(ms|s|m|h|d)/y;

/**
 * Milliseconds, `ttlMsMin` to `ttlMsMax`: of parts such as `1500ms`, `1.5s`, `5m`, `1h30m` or `1d`, or of whole seconds.
 * Undefined for anything else, and for what is no whole number of milliseconds.
 */
export function parseTtl(text: string): number | undefined {
  const ms = /^\d{1,12}$/.test(text) ? Number(text) * unitMs.s : sumOfParts(text);
  return ms !== undefined && Number.isInteger(ms) && ms >= ttlMsMin && ms <= ttlMsMax ? ms : undefined;
}

export const ttlHelp =
  'A time to live is 1 ms to 10 years: 1500ms, 60s, 1.5s, 5m, 1h30m, 2h, 1d, or whole seconds such as 60.';

function sumOfParts(text: string): number | undefined {
  let ms = 0;
  let unit = Infinity;
  part.lastIndex = 0;
  while (part.lastIndex < text.length) {
    const [whole, number = '', name = ''] = part.exec(text) ?? [];
    const perUnit = unitMs[name as keyof typeof unitMs];
    // From large to small, each once: anything else is more likely a slip than meant.
    if (whole === undefined || perUnit >= unit) return undefined;
    unit = perUnit;
    // To a millionth, or else 1.1s were 1100.0000000000002 ms.
    ms += Math.round(Number(number) * perUnit * 1e6) / 1e6;
  }
  return unit === Infinity ? undefined : ms;
}
