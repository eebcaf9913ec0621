/**
 * Reads Prometheus's text format, version 0.0.4, and takes nothing that its description does not allow: so a test that has read an answer has
 * looked at every line of it.
 */

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly samples: readonly Sample[];
}

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const name = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const helpLine = new RegExp(`^# HELP (${name}) (\\S.*)$`);
const typeLine = new RegExp(`^# TYPE (${name}) (counter|gauge|histogram)$`);
const sampleLine = new RegExp(`^(${name})(?:\\{(.+)\\})? (\\S+)$`);
const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/;

/** Throws at the first line that is not as it should be. */
export function parseExposition(text: string): ReadonlyMap<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end in a newline');
  const families = new Map<string, Family & { readonly samples: Sample[] }>();
  const seen = new Set<string>();
  let help: { readonly name: string; readonly text: string } | undefined;
  let current: (Family & { readonly samples: Sample[] }) | undefined;
  for (const line of text.slice(0, -1).split('\n')) {
    const [, helpName, helpText = ''] = helpLine.exec(line) ?? [];
    const [, typeName, type] = typeLine.exec(line) ?? [];
    if (helpName !== undefined) {
      help = { name: helpName, text: helpText };
    } else if (typeName !== undefined) {
      if (help?.name !== typeName) throw new Error(`${typeName} has a type and no help right before it`);
      if (families.has(typeName)) throw new Error(`${typeName} comes twice`);
      current = { name: typeName, help: help.text, type: type as Family['type'], samples: [] };
      families.set(typeName, current);
    } else if (line === '') {
      current = undefined;
    } else {
      const sample = parseSample(line);
      if (current === undefined || !belongs(sample, current)) throw new Error(`not of the family before it: ${line}`);
      const series = `${sample.name}${JSON.stringify(Object.entries(sample.labels).toSorted())}`;
      if (seen.has(series)) throw new Error(`the series comes twice: ${line}`);
      seen.add(series);
      current.samples.push(sample);
    }
  }
  for (const family of families.values()) if (family.type === 'histogram') checkHistogram(family);
  return families;
}

function parseSample(line: string): Sample {
  const [, sampleName, labelText = '', valueText = ''] = sampleLine.exec(line) ?? [];
  const value = valueText === '+Inf' ? Infinity : Number(valueText);
  if (sampleName === undefined || valueText === '' || Number.isNaN(value)) throw new Error(`no sample: ${line}`);
  const labels: Record<string, string> = {};
  for (let rest = labelText; rest !== '';) {
    const [whole, labelName, labelValue] = label.exec(rest) ?? [];
    if (whole === undefined || labelName === undefined || labelValue === undefined) throw new Error(`labels: ${line}`);
    if (labelName in labels) throw new Error(`a label twice: ${line}`);
    labels[labelName] = labelValue;
    rest = rest.slice(whole.length);
  }
  return { name: sampleName, labels, value };
}

function belongs({ name: sampleName, labels }: Sample, family: Family): boolean {
  if (family.type !== 'histogram') return sampleName === family.name;
  const suffix = sampleName.slice(family.name.length);
  if (!sampleName.startsWith(family.name)) return false;
  return suffix === '_bucket' ? 'le' in labels : suffix === '_sum' || suffix === '_count';
}

/** Buckets only grow, and the last one is +Inf and what `_count` says. */
function checkHistogram({ name: family, samples }: Family): void {
  const key = ({ labels }: Sample): string =>
    JSON.stringify(Object.entries(labels).filter(([labelName]) => labelName !== 'le'));
  const counts = samples.filter((sample) => sample.name === `${family}_count`);
  for (const count of counts) {
    const buckets = samples.filter((sample) => sample.name === `${family}_bucket` && key(sample) === key(count));
    if (buckets.at(-1)?.labels['le'] !== '+Inf') throw new Error(`${family} has no bucket +Inf at its end`);
    const bounds = buckets.map(({ labels }) => (labels['le'] === '+Inf' ? Infinity : Number(labels['le'])));
    const grows = (values: readonly number[]): boolean =>
      values.every((value, at) => at === 0 || value >= (values[at - 1] ?? NaN));
    if (!grows(bounds) || !grows(buckets.map(({ value }) => value))) throw new Error(`${family}'s buckets do not grow`);
    if (buckets.at(-1)?.value !== count.value) throw new Error(`${family} counts otherwise than its buckets`);
  }
}

/** One value; undefined when there is no such series. `labels` has to be all of them. */
export function valueOf(
  families: ReadonlyMap<string, Family>,
  sample: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const wanted = JSON.stringify(Object.entries(labels).toSorted());
  for (const { samples } of families.values()) {
    const found = samples.find(
      (one) => one.name === sample && JSON.stringify(Object.entries(one.labels).toSorted()) === wanted,
    );
    if (found !== undefined) return found.value;
  }
  return undefined;
}

export function seriesCount(families: ReadonlyMap<string, Family>): number {
  return [...families.values()].reduce((count, { samples }) => count + samples.length, 0);
}
