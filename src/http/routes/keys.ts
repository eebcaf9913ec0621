/** Many keys by their order: a page, or all of them as lines; and the removal of a prefix. */
import { formatETag } from '../../api/etag.ts';
import { problem } from '../../api/errors.ts';
import type { KvRequest, KvOutcome } from '../../cluster/types.ts';
import type { Exchange } from '../exchange.ts';
import type { FrontContext } from '../front-context.ts';
import { outcomeFailure } from '../outcome-failure.ts';
import { deletePrefix } from '../prefix-delete.ts';
import { scan, ScanFailure, type ScanItem, type ScanPorts } from '../../cluster/scan.ts';
import { parseScan, type ScanCall } from '../scan-query.ts';
import { splitTarget } from '../target.ts';
import { asText } from '../utf8.ts';
import type { Route } from './route.ts';

export const keysRoute: Route = {
  path: '/v1/kv',
  operation: (method) => (method === 'DELETE' ? 'delete_prefix' : 'scan'),
  methods: ['GET', 'HEAD', 'DELETE'],
  answer: (context, exchange) =>
    exchange.request.method === 'DELETE' ? deletePrefix(context, exchange) : answerScan(context, exchange),
};

const ndjson = 'application/x-ndjson';
const scanHeaders = ['Flotilla-Scan', 'per-partition', 'Flotilla-Consistency', 'linearizable', 'Vary', 'Accept'];

async function answerScan(context: FrontContext, exchange: Exchange): Promise<void> {
  const { headers, url = '' } = exchange.request;
  const streams = exchange.request.method === 'GET' && headers.accept?.includes(ndjson) === true;
  const call = parseScan({ headers, query: splitTarget(url).query, streams }, context.config.limits);
  if (call.type === 'failure') return exchange.problem(call);
  if (streams) return streamLines(context, exchange, call);
  const deadlineAt = context.node.nowMs() + call.timeoutMs;
  try {
    const page = await readPage(context, call, () => deadlineAt);
    const items = page.items.map((item) => itemInJson(context, call, item));
    exchange.json(200, { items, ...(page.cursor === undefined ? {} : { cursor: page.cursor }) }, [...scanHeaders]);
  } catch (error) {
    if (!(error instanceof ScanFailure)) throw error;
    exchange.problem(outcomeFailure(error.outcome, 'read', ''));
  }
}

interface Page {
  readonly items: readonly ScanItem[];
  readonly cursor: string | undefined;
}

/** Up to the limit, or to as many bytes as a page takes. */
async function readPage(context: FrontContext, call: ScanCall, deadlineAt: () => number): Promise<Page> {
  const { scanPageBytesMax, scanKeysDefault } = context.config.limits;
  const limit = call.limit ?? scanKeysDefault;
  const items: ScanItem[] = [];
  let bytes = 0;
  for await (const found of scan(call.query, portsOf(context, deadlineAt), limit + 1)) {
    for (const item of found) {
      bytes += item.key.length + item.record.value.length;
      const last = items.at(-1);
      if (last !== undefined && (items.length === limit || bytes > scanPageBytesMax)) {
        return { items, cursor: call.cursorBehind(last.key) };
      }
      items.push(item);
    }
  }
  return { items, cursor: undefined };
}

/** So many characters are gathered before they are sent. */
const writeCharacters = 64 * 1024;

/** One line each; the last one says how it ended. Each partition's piece has a deadline of its own, the whole has none. */
async function streamLines(context: FrontContext, exchange: Exchange, call: ScanCall): Promise<void> {
  const stream = exchange.stream(['Content-Type', ndjson, 'Cache-Control', 'no-store', ...scanHeaders]);
  const deadlineAt = (): number => context.node.nowMs() + call.timeoutMs;
  let count = 0;
  let last: ScanItem | undefined;
  let text = '';
  const cursor = (): { cursor?: string } => (last === undefined ? {} : { cursor: call.cursorBehind(last.key) });
  const line = (value: object): string => `${JSON.stringify(value)}\n`;
  try {
    const wanted = call.limit === undefined ? Infinity : call.limit + 1;
    for await (const found of scan(call.query, portsOf(context, deadlineAt), wanted)) {
      for (const item of found) {
        if (stream.gone) return;
        if (count === call.limit) return stream.end(text + line({ end: true, count, ...cursor() }));
        text += line(itemInJson(context, call, item));
        count += 1;
        last = item;
        if (text.length < writeCharacters) continue;
        await stream.write(text);
        text = '';
      }
    }
    stream.end(text + line({ end: true, count }));
  } catch (error) {
    if (!(error instanceof ScanFailure)) {
      exchange.breakOff();
      throw error;
    }
    const { code, detail, partition } = outcomeFailure(error.outcome, 'read', '');
    const broken = problem({ code, detail, requestId: exchange.requestId(), partition });
    // The status was sent long ago. It can go on from here, if there is a "here".
    stream.end(text + line({ end: false, count, ...cursor(), error: broken }));
  }
}

function portsOf({ node, config }: FrontContext, deadlineAt: () => number): ScanPorts {
  return {
    partitions: node.partitions(),
    limits: config.limits,
    read: (partition, range): Promise<KvOutcome> => {
      const request: KvRequest = { type: 'range', partition, range };
      return node.execute(request, { route: 'forward', hops: 0, deadlineAt: deadlineAt() });
    },
  };
}

/** Always with the same properties, as far as V8 is concerned: what is undefined does not come into the JSON. */
function itemInJson({ node }: FrontContext, { query }: ScanCall, { key, record, logTime }: ScanItem): object {
  const { revision, incarnation, expiresAt } = record;
  const name = asText(key);
  const value = query.keysOnly ? undefined : asText(record.value);
  return {
    key: name.text,
    keyBase64: name.base64,
    value: value?.text,
    valueBase64: value?.base64,
    revision,
    etag: formatETag(incarnation, revision),
    expiresAt: expiresAt === 0 ? undefined : new Date(node.wallMs() + expiresAt - logTime).toISOString(),
  };
}
