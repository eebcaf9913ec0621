/** What the commands on the cluster itself do. */
import type { Plan } from '../client/connect.ts';
import { line, print, withStore, type ClientWords } from './client-session.ts';
import { nodeLines, operationLines, partitionLines, planLines } from './cluster-lines.ts';

export interface ChangeWords extends ClientWords {
  readonly dryRun?: boolean;
}

export interface AddWords extends ChangeWords {
  readonly http: string;
  readonly peer: string;
  readonly label: Readonly<Record<string, string>>;
  readonly weight?: number;
}

export async function runNodeList(words: ClientWords): Promise<void> {
  await withStore(words, async (store) => {
    const { nodes } = await store.status();
    return printLines(words, nodes, nodeLines(nodes));
  });
}

export async function runNodeAdd(nodeId: string, words: AddWords): Promise<void> {
  await withStore(words, async ({ cluster }) => {
    const { http, peer, label: labels, weight } = words;
    const node = { nodeId, http, peer, labels, ...(weight === undefined ? {} : { weight }) };
    const plan = await cluster.addNode(node, { dryRun: words.dryRun === true });
    return printPlan(plan, words, `${nodeId} joins.`);
  });
}

export async function runNodeDrain(nodeId: string, words: ChangeWords): Promise<void> {
  await withStore(words, async ({ cluster }) => {
    const plan = await cluster.removeNode(nodeId, { dryRun: words.dryRun === true });
    return printPlan(plan, words, `${nodeId} is drained first, and leaves the cluster once it holds nothing.`);
  });
}

export async function runRebalance(words: ChangeWords): Promise<void> {
  await withStore(words, async ({ cluster }) => {
    const plan = await cluster.rebalance({ dryRun: words.dryRun === true });
    return printPlan(plan, words, 'Leaderships are evened out behind that.');
  });
}

export async function runPartitionList(words: ClientWords): Promise<void> {
  await withStore(words, async (store) => {
    const { partitions } = await store.status();
    return printLines(words, partitions, partitionLines(partitions));
  });
}

export async function runPartitionTransfer(
  { partition, nodeId }: { readonly partition: number; readonly nodeId: string },
  words: ClientWords,
): Promise<void> {
  await withStore(words, async ({ cluster }) => {
    const { leader, term } = await cluster.moveLeader(partition, nodeId);
    const said = `partition ${partition} is led by ${leader} in term ${term}`;
    return printLines(words, { partition, leader, term }, [said]);
  });
}

export async function runOperations(words: ClientWords): Promise<void> {
  await withStore(words, async ({ cluster }) => {
    const operations = await cluster.operations();
    return printLines(words, operations, operationLines(operations));
  });
}

/** `said`: what has been decided, besides the moves. */
function printPlan(plan: Plan, words: ChangeWords, said: string): Promise<boolean> {
  const end =
    words.dryRun === true ? 'This was a dry run: nothing is changed.' : `${said} What moves is told by: flotilla ops`;
  return printLines(words, plan, [...planLines(plan), end]);
}

function printLines({ json }: ClientWords, value: object, lines: readonly string[]): Promise<boolean> {
  return print(json === true ? line(value) : `${lines.join('\n')}\n`);
}
