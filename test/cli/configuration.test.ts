/** Where a value comes from, and what a user is told when one is wrong. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { configKeys, environmentName } from '../../src/cli/config-schema.ts';
import { loadConfiguration, type ConfigurationInput, type ConfigurationResult } from '../../src/cli/configuration.ts';
import { defaults } from '../../src/config.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'flotilla-config-'));
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

const founders = [1, 2, 3].map((n) => ({
  nodeId: `n${n}`,
  peer: `127.0.0.1:710${n}`,
  http: `http://127.0.0.1:700${n}`,
}));
const good = {
  nodeId: 'n1',
  dataDir: 'data/n1',
  http: { port: 7001 },
  peer: { port: 7101 },
  bootstrap: { partitions: 12, replicationFactor: 3, nodes: founders },
};

function writeFile(content: unknown): string {
  const file = join(directory, 'node.json');
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
}

function load(input: Partial<ConfigurationInput> = {}): ConfigurationResult {
  return loadConfiguration({ file: undefined, flags: [], environment: {}, ...input });
}

const set = (text: string): ConfigurationInput['flags'][number] => {
  const [path = '', value = ''] = text.split('=');
  return { name: '--set', path, text: value };
};

function problems(result: ConfigurationResult): readonly string[] {
  return result.type === 'bad' ? result.problems.map((line) => line.replaceAll(directory, '')) : ['nothing is wrong'];
}

function loaded(result: ConfigurationResult): ConfigurationResult & { type: 'ok' } {
  if (result.type === 'bad') throw new Error(result.problems.join('\n'));
  return result;
}

describe('the layers', () => {
  it('rank flags over environment over file over default, and remember which it was', () => {
    const file = writeFile({ ...good, raft: { tickMs: 30, heartbeatTicks: 1, electionTicksMax: 40 } });
    const environment = { FLOTILLA_RAFT_TICK_MS: '20', FLOTILLA_RAFT_HEARTBEAT_TICKS: '3' };
    const { config, settings } = loaded(load({ file, environment, flags: [set('raft.tickMs=10')] }));
    expect(config.raft).toEqual({ ...defaults.raft, tickMs: 10, heartbeatTicks: 3, electionTicksMax: 40 });
    const source = (path: string): string | undefined => settings.find((setting) => setting.path === path)?.source;
    expect(source('raft.tickMs')).toBe('--set');
    expect(source('raft.heartbeatTicks')).toBe('FLOTILLA_RAFT_HEARTBEAT_TICKS');
    expect(source('raft.electionTicksMax')).toBe(`file ${file}`);
    expect(source('raft.electionTicksMin')).toBe('default');
    expect(source('http.advertise')).toBe('derived');
  });

  it('let the later of two flags win', () => {
    const { config } = loaded(load({ flags: [set('raft.tickMs=10'), set('raft.tickMs=11')] }));
    expect(config.raft.tickMs).toBe(11);
  });

  it('read every kind of value from text', () => {
    const environment = {
      FLOTILLA_STORAGE_SYNC: 'false',
      FLOTILLA_LABELS: '{ "zone": "a" }',
      FLOTILLA_ROUTING: 'forward',
      FLOTILLA_DATA_DIR: '/somewhere',
    };
    const { config } = loaded(load({ environment, flags: [set('labels.host=h1')] }));
    expect(config).toMatchObject({ storage: { sync: false }, routing: 'forward', dataDir: '/somewhere' });
    expect(config.labels).toEqual({ zone: 'a', host: 'h1' });
  });

  it('give each key one variable of its own', () => {
    const names = [...configKeys.keys()].map(environmentName);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(expect.arrayContaining(['FLOTILLA_DATA_DIR', 'FLOTILLA_HTTP_PORT', 'FLOTILLA_RAFT_TICK_MS']));
  });
});

describe('the schema', () => {
  const leafPaths = (value: object, prefix = ''): string[] =>
    Object.entries(value).flatMap(([name, child]: [string, unknown]) =>
      typeof child === 'object' && child !== null && name !== 'labels'
        ? leafPaths(child, `${prefix}${name}.`)
        : [`${prefix}${name}`],
    );

  it('knows exactly the keys that have a default, and those that can have none', () => {
    const withoutDefault = ['nodeId', 'dataDir', 'http', 'peer', 'bootstrap', 'join'];
    const known = [...configKeys.keys()].filter((path) => !withoutDefault.includes(path.split('.')[0] ?? ''));
    expect(known.toSorted()).toEqual(leafPaths(defaults).toSorted());
  });

  it('accepts the defaults, and the three files in config/', () => {
    expect(load().type).toBe('ok');
    for (const nodeId of ['n1', 'n2', 'n3']) {
      const file = new URL(`../../config/node-${nodeId.slice(1)}.json`, import.meta.url).pathname;
      const { config } = loaded(load({ file }));
      expect(config.nodeId).toBe(nodeId);
      expect(config.bootstrap?.nodes).toEqual(founders);
    }
  });

  it('takes the example of a config file as far as it is built', () => {
    const file = writeFile({ ...good, clusterName: 'dev', labels: { zone: 'a' }, join: [], insecure: false });
    expect(load({ file }).type).toBe('ok');
  });
});

describe('a store of one node', () => {
  it('follows from a port and a directory, and says aloud what it is', () => {
    const { config, notices } = loaded(
      load({
        flags: [
          { name: '--port', path: 'http.port', text: '7501' },
          { name: '--data', path: 'dataDir', text: 'd' },
        ],
      }),
    );
    expect(config).toMatchObject({
      nodeId: 'n1',
      dataDir: 'd',
      http: { host: '127.0.0.1', port: 7501, advertise: 'http://127.0.0.1:7501' },
      peer: { host: '127.0.0.1', port: 7601, advertise: '127.0.0.1:7601' },
      bootstrap: {
        partitions: 12,
        replicationFactor: 1,
        nodes: [{ nodeId: 'n1', peer: '127.0.0.1:7601', http: 'http://127.0.0.1:7501' }],
      },
    });
    expect(notices).toEqual(['a one-node store: replication factor 1, every value is on this disk only']);
  });

  it('is not what a file without founders means', () => {
    const { bootstrap: _, ...withoutFounders } = good;
    expect(problems(load({ file: writeFile(withoutFounders) }))).toEqual([
      'bootstrap.partitions: expected a whole number from 1 to 4096, found nothing',
      'bootstrap.replicationFactor: expected one of 1, 3, 5, 7, found nothing',
      'bootstrap.nodes: expected 1 to 256 founding nodes, each { "nodeId", "peer": "host:port", "http": "http://host:port", "labels"? }, found nothing',
    ]);
  });
});

describe('one clear line for each mistake', () => {
  const fromFile: readonly (readonly [string, unknown, string])[] = [
    ['an unknown key', { ...good, rafft: {} }, 'rafft (file /node.json): no such key, did you mean raft?'],
    [
      'an unknown key within',
      { ...good, raft: { tickMS: 1 } },
      'raft.tickMS (file /node.json): no such key, did you mean raft.tickMs?',
    ],
    [
      'a key in the wrong section',
      { ...good, http: { port: 7001, keyBytesMax: 9 } },
      'http.keyBytesMax (file /node.json): no such key, did you mean limits.keyBytesMax?',
    ],
    [
      'a key that is everywhere',
      JSON.stringify(good).replace('{', '{"__proto__":{"insecure":true},'),
      expect.stringMatching(/^__proto__ \(file \/node.json\): no such key/) as string,
    ],
    [
      'a word for a number',
      { ...good, raft: { tickMs: 'fast' } },
      'raft.tickMs (file /node.json): expected a whole number from 1 to 1000 milliseconds, found "fast"',
    ],
    ['a number for a section', { ...good, raft: 3 }, 'raft (file /node.json): expected an object, found 3'],
    [
      'a fraction',
      { ...good, raft: { tickMs: 1.5 } },
      'raft.tickMs (file /node.json): expected a whole number from 1 to 1000 milliseconds, found 1.5',
    ],
    [
      'out of range',
      { ...good, http: { port: 70_000 } },
      'http.port (file /node.json): expected a whole number from 1 to 65535, found 70000',
    ],
    [
      'another routing',
      { ...good, routing: 'proxy' },
      'routing (file /node.json): expected one of redirect, forward, found "proxy"',
    ],
    [
      'a bad node id',
      { ...good, nodeId: 'a b' },
      'nodeId (file /node.json): expected 1 to 64 of the characters A-Z a-z 0-9 . _ -, found "a b"',
    ],
    [
      'founding and joining',
      { ...good, join: ['http://127.0.0.1:7001'] },
      'join (file /node.json): expected only one of bootstrap and join, found ["http://127.0.0.1:7001"]',
    ],
    [
      'a founder without an address',
      {
        ...good,
        bootstrap: {
          ...good.bootstrap,
          nodes: [...founders.slice(1), { nodeId: 'n1', http: 'http://127.0.0.1:7001' }],
        },
      },
      'bootstrap.nodes[2].peer (file /node.json): expected host:port, found nothing',
    ],
    [
      'a founder with a bad address',
      { ...good, bootstrap: { ...good.bootstrap, nodes: [{ ...founders[0], peer: '7101' }, ...founders.slice(1)] } },
      'bootstrap.nodes[0].peer (file /node.json): expected host:port, found "7101"',
    ],
    [
      'a founder with an unknown field',
      { ...good, bootstrap: { ...good.bootstrap, nodes: [{ ...founders[0], url: 'x' }, ...founders.slice(1)] } },
      'bootstrap.nodes[0].url (file /node.json): expected only nodeId, peer, http, labels here, found "url"',
    ],
    [
      'no JSON',
      '{ "nodeId": ',
      'config (file /node.json): expected a readable JSON file, found "Unexpected end of JSON input"',
    ],
    ['no object', '[]', 'config (file /node.json): expected a JSON object, found []'],
  ];
  it.each(fromFile)('in a file: %s', (_, content, line) => {
    expect(problems(load({ file: writeFile(content) }))).toEqual([line]);
  });

  const together: readonly (readonly [string, readonly string[], string])[] = [
    [
      'elections sooner than heartbeats',
      ['raft.electionTicksMin=5'],
      'raft.electionTicksMin (--set): expected at least 3 x raft.heartbeatTicks (6), found 5',
    ],
    [
      'no spread of elections',
      ['raft.electionTicksMax=12'],
      'raft.electionTicksMax (--set): expected more than raft.electionTicksMin (12), found 12',
    ],
    [
      'silence shorter than heartbeats',
      ['transport.silenceTimeoutMs=200', 'transport.pingIntervalMs=50'],
      'transport.silenceTimeoutMs (--set): expected at least 3 heartbeats (300 milliseconds), found 200',
    ],
    [
      'pings rarer than silence',
      ['transport.pingIntervalMs=3000'],
      'transport.pingIntervalMs (--set): expected less than transport.silenceTimeoutMs (3000), found 3000',
    ],
    [
      'values larger than a frame',
      ['transport.frameBytesMax=1000000'],
      'transport.frameBytesMax (--set): expected at least the largest command, or value with its key and fields, plus raft.appendBytesMax (4718592 bytes), found 1000000',
    ],
    [
      'chunks of snapshots larger than a frame',
      ['snapshots.chunkBytes=8388608'],
      'transport.frameBytesMax (default): expected at least the largest command, or value with its key and fields, plus snapshots.chunkBytes (12582912 bytes), found 8388608',
    ],
    [
      'a log that may keep less for those who lag',
      ['raft.logBytesMax=65536'],
      'raft.logBytesMax (--set): expected at least raft.logKeepBytes (16777216), found 65536',
    ],
    [
      'a disk on which a node would stop before it refuses anything',
      ['storage.diskFreeBytesMin=1000000'],
      'storage.diskFreeBytesMin (--set): expected at least storage.diskFreeBytesStop (268435456), found 1000000',
    ],
    [
      'a word that holds no longer than until the next one',
      ['storage.diskToldMs=1000'],
      'storage.diskToldMs (--set): expected at least 3 x storage.diskCheckMs (1500 milliseconds), found 1000',
    ],
    [
      'a connection that does not outlast one chunk',
      ['transport.bulkIdleMs=4999'],
      'transport.bulkIdleMs (--set): expected at least snapshots.chunkTimeoutMs (5000), found 4999',
    ],
    [
      'values larger than the log takes',
      ['raft.uncommittedBytesMax=1024'],
      'raft.uncommittedBytesMax (--set): expected at least the largest command, or value with its key and fields (4194304 bytes), found 1024',
    ],
    [
      'keys that no URL can carry',
      ['limits.keyBytesMax=8192'],
      'limits.urlBytesMax (default): expected more than 3 x limits.keyBytesMax (24576), found 8192',
    ],
    [
      'headers slower than the request',
      ['limits.receiveTimeoutMs=9999'],
      'limits.receiveTimeoutMs (--set): expected at least limits.headersTimeoutMs (10000), found 9999',
    ],
    [
      'a default beyond its maximum',
      ['limits.requestTimeoutMsMax=10'],
      'limits.requestTimeoutMsMax (--set): expected at least limits.requestTimeoutMsDefault (5000), found 10',
    ],
    [
      'an open port unsaid',
      ['http.host=10.0.0.7'],
      'insecure (default): expected true, said aloud, because 10.0.0.7 can be reached from other machines and there is no TLS or token check yet, found false',
    ],
    [
      'every address and none to tell',
      ['http.host=0.0.0.0', 'insecure=true'],
      'http.advertise: expected an address that others can reach, because http.host is 0.0.0.0, found nothing',
    ],
    ['one port for both', ['peer.port=7001'], 'peer.port (--set): expected another port than http.port, found 7001'],
    [
      'more replicas than nodes',
      ['bootstrap.replicationFactor=3'],
      'bootstrap.replicationFactor (--set): expected at most the number of founders (1), found 3',
    ],
    ['an unknown key', ['raft.tick=1'], 'raft.tick (--set): no such key, did you mean raft.tickMs?'],
    [
      'no number',
      ['raft.tickMs=fast'],
      'raft.tickMs (--set): expected a whole number from 1 to 1000 milliseconds, found "fast"',
    ],
    [
      'an empty number',
      ['raft.tickMs='],
      'raft.tickMs (--set): expected a whole number from 1 to 1000 milliseconds, found ""',
    ],
    ['no boolean', ['insecure=yes'], 'insecure (--set): expected true or false, found "yes"'],
    ['a section', ['raft=1'], 'raft (--set): no such key, did you mean raft?'],
  ];
  it.each(together)('on the command line: %s', (_, sets, line) => {
    expect(problems(load({ flags: sets.map(set) }))).toEqual([line]);
  });

  it('when this node is not among the founders', () => {
    const file = writeFile({ ...good, nodeId: 'n9' });
    expect(problems(load({ file }))).toEqual([
      'bootstrap.nodes (file /node.json): expected this node (n9) among the founders, found ["n1","n2","n3"]',
    ]);
  });

  it('when its address is another than the founders were told', () => {
    const file = writeFile({ ...good, http: { port: 7001, advertise: 'http://127.0.0.1:7009' } });
    expect(problems(load({ file }))).toEqual([
      'http.advertise (file /node.json): expected http://127.0.0.1:7001, as in bootstrap.nodes, found "http://127.0.0.1:7009"',
    ]);
  });

  it('when two founders are the same', () => {
    const nodes = [founders[0], founders[0], founders[2]];
    const lines = problems(load({ file: writeFile({ ...good, bootstrap: { ...good.bootstrap, nodes } }) }));
    expect(lines[0]).toBe(
      'bootstrap.nodes (file /node.json): expected a different nodeId for each founder, found ["n1","n1","n3"]',
    );
  });

  it('all of them at once, each key once', () => {
    const file = writeFile({ ...good, raft: { tickMs: -1 }, storage: { sync: 1 }, rooting: 'x' });
    expect(problems(load({ file }))).toEqual([
      'rooting (file /node.json): no such key, did you mean routing?',
      'raft.tickMs (file /node.json): expected a whole number from 1 to 1000 milliseconds, found -1',
      'storage.sync (file /node.json): expected true or false, found 1',
    ]);
  });

  it('when the file is not there', () => {
    expect(problems(load({ file: '/nowhere/node.json' }))[0]).toMatch(
      /^config \(file \/nowhere\/node.json\): expected a readable JSON file, found "ENOENT/,
    );
  });
});

describe('the environment', () => {
  it('only points out a variable it does not know: Kubernetes names some too', () => {
    const environment = {
      FLOTILLA_PORT: 'tcp://10.0.0.1:7001',
      FLOTILLA_RAFT_TICKMS: '5',
      FLOTILLA_SERVER: 'x',
      HOME: '/',
    };
    const { config, notices } = loaded(load({ environment }));
    expect(config.raft.tickMs).toBe(defaults.raft.tickMs);
    expect(notices.slice(0, 2)).toEqual([
      expect.stringMatching(
        /^environment variable FLOTILLA_PORT means nothing here, did you mean FLOTILLA_(HTTP|PEER)_PORT\?$/,
      ),
      'environment variable FLOTILLA_RAFT_TICKMS means nothing here, did you mean FLOTILLA_RAFT_TICK_MS?',
    ]);
  });

  it('names the variable whose value is wrong', () => {
    expect(problems(load({ environment: { FLOTILLA_HTTP_PORT: 'http' } }))).toEqual([
      'http.port (FLOTILLA_HTTP_PORT): expected a whole number from 1 to 65535, found "http"',
    ]);
  });
});
