/** `flotilla watch` as a user runs it, at a node that follows a script. */
import type { ServerResponse } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import {
  bookmark,
  ended,
  put,
  refusal,
  startStub,
  watched,
  type StubNode,
  type StubStream,
} from '../client/stub-node.ts';
import { run, start } from './program.ts';

const toClose: StubNode[] = [];
afterEach(async () => {
  for (const one of toClose.splice(0)) await one.close();
});

async function stub(answer: StubStream): Promise<StubNode> {
  const node = await startStub(({ url }) => (url.pathname === '/v1/watch' ? answer : refusal('not_found')));
  toClose.push(node);
  return node;
}

const told = { revision: 8, etag: '"1-8"', partition: 2 };
const changes = [
  bookmark('c0'),
  put('user/1', 'Ada', 'c1'),
  put('odd\u001b[2J\u202e', 'two\nlines\u009b', 'c2'),
  put('long', '👍'.repeat(5000), 'c3'),
  { event: 'put', cursor: 'c4', data: { keyBase64: '/2E=', valueBase64: 'AP8=', contentType: 'image/png', ...told } },
  { event: 'delete', cursor: 'c5', data: { key: 'user/1', ...told } },
  { event: 'expire', cursor: 'c6', data: { keyBase64: '/w==', ...told } },
  bookmark('c7'),
];

describe('watch', () => {
  it('prints a line for each change, none of which does more than that, until Ctrl-C', async () => {
    const responses: ServerResponse[] = [];
    const node = await stub(watched(changes.slice(0, -1), (response) => responses.push(response)));
    const running = start(['watch', 'user/', '--server', node.url]);
    await running.prints(/^expire .*\n/m);
    running.child.kill('SIGINT');
    const { code, stdout, stderr } = await running.finished;
    expect(stdout).toBe(
      'put user/1 = Ada\n' +
        'put odd\\u001b[2J\\u202e = two\\nlines\\u009b\n' +
        `put long = ${'👍'.repeat(100)}… (20000 bytes)\n` +
        'put \\xffa = \\x00\\xff\n' +
        'delete user/1\n' +
        'expire \\xff\n',
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: 'flotilla: go on with --from c6\n' });
    expect(node.requests[0]?.url.search).toBe('?prefix=user%2F');
  });

  it('prints JSON as nodes do, bookmarks among it, of one key and from a cursor', async () => {
    const node = await stub(watched(changes));
    const running = start(['watch', '--key', 'a&b', '--from', 'c0', '--json', '--server', node.url]);
    await running.prints(/"c7"\}\n/);
    running.child.kill('SIGINT');
    const { code, stdout, stderr } = await running.finished;
    const binary = 'application/octet-stream';
    const lines = stdout.trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(
      changes.map((line) => {
        if (line.event !== 'put' || !('data' in line)) return line;
        return { ...line, data: { contentType: binary, ...line.data } };
      }),
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: 'flotilla: go on with --from c7\n' });
    expect(node.requests[0]?.url.search).toBe('?key=a%26b');
    expect(node.requests[0]?.headers['last-event-id']).toBe('c0');
  });

  it('says so when it can not go on', async () => {
    const node = await stub(watched([...changes.slice(0, 2), ended('cursor_expired')]));
    const ran = await run(['watch', '--server', node.url]);
    const stderr = 'flotilla: The stub says cursor_expired.\n';
    expect(ran).toEqual({ code: 1, stdout: 'put user/1 = Ada\n', stderr });
  });

  it('takes a prefix or a key', async () => {
    const ran = await run(['watch', 'a', '--key', 'b']);
    expect(ran).toMatchObject({
      code: 2,
      stderr: 'flotilla: either a prefix or --key is watched: leave out one of them\n',
    });
  });

  it('ends quietly when nobody reads on', async () => {
    const endless = (response: ServerResponse): void => {
      const line = `${JSON.stringify(put('k', 'v'.repeat(1000), 'c1'))}\n`;
      const more = (): void => {
        while (response.write(line));
        response.once('drain', more);
      };
      more();
    };
    const node = await stub(watched([], endless));
    const running = start(['watch', '--json', '--server', node.url]);
    running.child.stdout?.once('data', () => running.child.stdout?.destroy());
    expect(await running.finished).toMatchObject({ code: 0, stderr: 'flotilla: go on with --from c1\n' });
  });
});
