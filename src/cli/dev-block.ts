/** The block that `flotilla dev` prints once its cluster serves. */
import { readFileSync } from 'node:fs';
import { shortPath } from './report.ts';
import type { HttpClient } from '../testing/http.ts';
import type { DevNode } from './dev.ts';

export interface ReadyBlockOptions {
  readonly nodes: readonly DevNode[];
  readonly client: HttpClient;
  /** From starting the processes to the last partition's read. */
  readonly tookMs: number;
}

export async function readyBlock({ nodes, client, tookMs }: ReadyBlockOptions): Promise<string> {
  const [first] = nodes;
  const bootstrap = first?.config.bootstrap;
  if (first === undefined || bootstrap === undefined) return '';
  const leads = await leadsByNode(client, first.config.http.advertise);
  const others = (await otherNodes({ client, nodes, asked: first })) ?? [];
  const rows = nodes.map(({ config, logFile, process: { pid } }) => [
    config.nodeId,
    String(pid),
    config.http.advertise,
    shortPath(config.dataDir),
    shortPath(logFile),
    String(leads.get(config.nodeId) ?? 0),
  ]);
  const [most] = nodes.toSorted((a, b) => (leads.get(b.config.nodeId) ?? 0) - (leads.get(a.config.nodeId) ?? 0));
  const count = (number: number, word: string): string => `${number} ${word}${number === 1 ? '' : 's'}`;
  const shape = `${count(nodes.length, 'node')}, ${count(bootstrap.partitions, 'partition')}, ${count(bootstrap.replicationFactor, 'replica')} each`;
  return [
    '',
    `Flotilla ${version()}: ${shape}. Every partition has answered a read, after ${(tookMs / 1000).toFixed(1)} s.`,
    '',
    ...table([['node', 'process', 'page and API', 'data', 'log', 'leads'], ...rows]).map((row) => `  ${row}`),
    ...others
      .filter(({ state }) => state !== 'removed')
      .map(
        ({ nodeId, http, state }) =>
          `  ${nodeId} joined later and is ${state}: this command does not start it. ${http}`,
      ),
    '',
    `  page    ${first.config.http.advertise}/`,
    `  API     ${first.config.http.advertise}/v1/kv/{key}, from any node`,
    `  write   curl -L -X PUT ${address(nodes[1] ?? first)}/v1/kv/hello -d world`,
    `  read    curl -L ${address(nodes[2] ?? first)}/v1/kv/hello`,
    ...(most === undefined || nodes.length === 1
      ? []
      : [
          `  kill    kill -9 ${String(most.process.pid)}   (${most.config.nodeId} leads ${count(leads.get(most.config.nodeId) ?? 0, 'partition')})`,
        ]),
    '  stop    Ctrl-C',
    '',
    '',
  ].join('\n');
}

/** As a person would type it. */
function address(node: DevNode): string {
  return `localhost:${node.config.http.port}`;
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('   ')
      .trimEnd(),
  );
}

async function leadsByNode(client: HttpClient, url: string): Promise<ReadonlyMap<string, number>> {
  const response = await client.request('GET', `${url}/v1/cluster/partitions`);
  const leads = new Map<string, number>();
  for (const { leader } of response.json() as readonly { readonly leader: string | null }[]) {
    if (leader !== null) leads.set(leader, (leads.get(leader) ?? 0) + 1);
  }
  return leads;
}

export interface OtherNode {
  readonly nodeId: string;
  readonly http: string;
  readonly state: string;
}

/** Members that came in beside those that this command runs, the removed ones too; undefined when `asked` does not answer. */
export async function otherNodes({
  client,
  nodes,
  asked,
}: {
  readonly client: HttpClient;
  readonly nodes: readonly DevNode[];
  readonly asked: DevNode;
}): Promise<readonly OtherNode[] | undefined> {
  const response = await client.request('GET', `${asked.config.http.advertise}/v1/cluster`).catch(() => undefined);
  if (response?.status !== 200) return undefined;
  const members = (response.json() as { readonly nodes: readonly OtherNode[] }).nodes;
  const own = new Set<string>(nodes.map(({ config }) => config.nodeId));
  return members.filter(({ nodeId }) => !own.has(nodeId));
}

function version(): string {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return manifest.version;
}
