/** Whether all replicas hold the same: each is read by itself, without asking the leader. */
import { setTimeout as delay } from 'node:timers/promises';
import { HttpClient } from '../testing/http.ts';
import type { TestNode } from '../testing/cluster.ts';

/** A follower applies a little after its leader. */
const agreeWithinMs = 20_000;
const tryEveryMs = 100;

/** The keys under which nodes differ in the end, with what each holds. */
export async function differences(nodes: readonly TestNode[], keys: readonly string[]): Promise<string[]> {
  const client = new HttpClient();
  const differing: string[] = [];
  const giveUpAt = performance.now() + agreeWithinMs;
  const waiting = [...keys];
  const compareNext = async (): Promise<void> => {
    for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) {
      const name = key;
      for (;;) {
        const held = await Promise.all(nodes.map((node) => heldBy(client, node, name)));
        if (new Set(held).size === 1) break;
        if (performance.now() > giveUpAt) {
          differing.push(`${key}: ${nodes.map(({ nodeId }, index) => `${nodeId} ${held[index]}`).join(', ')}`);
          break;
        }
        await delay(tryEveryMs);
      }
    }
  };
  await Promise.all(Array.from({ length: 16 }, compareNext));
  client.close();
  return differing;
}

/** By its own replica, however old that may be: every node of a rig holds every partition. */
async function heldBy(client: HttpClient, node: TestNode, key: string): Promise<string> {
  const url = `${node.url}/v1/kv/${encodeURIComponent(key)}?consistency=stale`;
  try {
    const answer = await client.request('GET', url);
    return answer.status === 200 ? `${answer.text()} (${answer.headers.etag ?? ''})` : String(answer.status);
  } catch (error) {
    return String(error);
  }
}
