/** What makes a configuration sound: each key by itself (ajv, from the schema), then keys against each other. */
import { Ajv, type ErrorObject } from 'ajv';
import { defaults, type Config } from '../config.ts';
import { configKeys, configSchema, founderFields, isSection, type Schema } from './config-schema.ts';

/** One thing wrong. `expected` is undefined for a key that doesn't exist. */
export interface Problem {
  readonly path: string;
  readonly expected: string | undefined;
  readonly found: unknown;
  /** Where it was given, when that is not where the key's value came from. */
  readonly source?: string;
}

/**
 * Types and ranges. At most one problem for each key. Our own schema and our own defaults are held to the standard by a test, not
 * here: each node's start waits for this, and most keys are what they are by default.
 */
export function checkKeys(candidate: Readonly<Record<string, unknown>>): Problem[] {
  const trusted = { meta: false, validateSchema: false, code: { optimize: false } } as const;
  const ajv = new Ajv({ allErrors: true, strict: true, verbose: true, ...trusted });
  const validate = ajv.compile(toJsonSchema(configSchema, { candidate, trusted: defaults }));
  if (validate(candidate)) return [];
  const problems = (validate.errors ?? []).map(toProblem);
  return [...new Map(problems.map((problem) => [problem.path, problem])).values()];
}

/** Keys that have no default and can't be done without. */
const required = new Set([
  'nodeId',
  'dataDir',
  'http',
  'peer',
  'host',
  'port',
  'partitions',
  'replicationFactor',
  'nodes',
]);

/** As ajv reads it; without the keys that a candidate leaves as they are trusted to be. */
export function toJsonSchema(
  schema: Schema,
  known?: { readonly candidate: unknown; readonly trusted: unknown },
): object {
  if (!isSection(schema)) return schema.check;
  const properties = Object.entries(schema.properties).flatMap(([name, child]): [string, object][] => {
    if (known === undefined) return [[name, toJsonSchema(child)]];
    const [candidate, trusted] = [member(known.candidate, name), member(known.trusted, name)];
    if (candidate === trusted && trusted !== undefined) return [];
    return [[name, toJsonSchema(child, { candidate, trusted })]];
  });
  return {
    type: 'object',
    properties: Object.fromEntries(properties),
    required: Object.keys(schema.properties).filter((name) => required.has(name)),
  };
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;
}

function toProblem(error: ErrorObject): Problem {
  const parent = dotted(error.instancePath);
  const within = (name: unknown): string => (parent === '' ? String(name) : `${parent}.${String(name)}`);
  if (error.keyword === 'additionalProperties') {
    const path = within(error.params['additionalProperty']);
    return { path, expected: `only ${Object.keys(founderFields).join(', ')} here`, found: path.split('.').at(-1) };
  }
  if (error.keyword === 'required') {
    const path = within(error.params['missingProperty']);
    return { path, expected: expectation(path), found: undefined };
  }
  return { path: parent, expected: expectation(parent), found: error.data };
}

/** `/bootstrap/nodes/0/peer` is written `bootstrap.nodes[0].peer`. */
function dotted(instancePath: string): string {
  return instancePath
    .slice(1)
    .replaceAll(/\/([0-9]+)(?=\/|$)/g, '[$1]')
    .replaceAll('/', '.');
}

function expectation(path: string): string {
  const founderField = /^bootstrap\.nodes\[\d+\]\.(\w+)/.exec(path)?.[1];
  if (founderField !== undefined) return founderFields[founderField]?.expected ?? 'a known field';
  const [first = '', second = ''] = path.split('.');
  return (configKeys.get(`${first}.${second}`) ?? configKeys.get(first))?.expected ?? `an object with ${path}'s keys`;
}

/** Rules between keys. Called with a configuration whose every key passed by itself. */
export function checkTogether(config: Config): Problem[] {
  return [...timing(config), ...sizes(config), ...addresses(config), ...founding(config), ...belonging(config)];
}

/** A node founds a cluster, or joins one. */
function belonging({ bootstrap, join }: Config): Problem[] {
  if (bootstrap === undefined && join === undefined) {
    return [
      { path: 'bootstrap', expected: "an object with bootstrap's keys, or join instead of it", found: undefined },
    ];
  }
  if (bootstrap === undefined || join === undefined || join.length === 0) return [];
  return [{ path: 'join', expected: 'only one of bootstrap and join', found: join }];
}

function timing({ raft, snapshots, storage, transport, limits }: Config): Problem[] {
  const heartbeatMs = raft.heartbeatTicks * raft.tickMs;
  return rules([
    // One lost heartbeat, or two, must not start an election.
    [
      raft.electionTicksMin >= 3 * raft.heartbeatTicks,
      'raft.electionTicksMin',
      `at least 3 x raft.heartbeatTicks (${3 * raft.heartbeatTicks})`,
      raft.electionTicksMin,
    ],
    // Without a spread candidates keep splitting the vote (paper, section 5.2).
    [
      raft.electionTicksMax > raft.electionTicksMin,
      'raft.electionTicksMax',
      `more than raft.electionTicksMin (${raft.electionTicksMin})`,
      raft.electionTicksMax,
    ],
    [
      transport.silenceTimeoutMs >= 3 * heartbeatMs,
      'transport.silenceTimeoutMs',
      `at least 3 heartbeats (${3 * heartbeatMs} milliseconds)`,
      transport.silenceTimeoutMs,
    ],
    [
      transport.pingIntervalMs < transport.silenceTimeoutMs,
      'transport.pingIntervalMs',
      `less than transport.silenceTimeoutMs (${transport.silenceTimeoutMs})`,
      transport.pingIntervalMs,
    ],
    [
      transport.reconnectDelayMsMax >= transport.reconnectDelayMsMin,
      'transport.reconnectDelayMsMax',
      `at least transport.reconnectDelayMsMin (${transport.reconnectDelayMsMin})`,
      transport.reconnectDelayMsMax,
    ],
    [
      limits.requestTimeoutMsMax >= limits.requestTimeoutMsDefault,
      'limits.requestTimeoutMsMax',
      `at least limits.requestTimeoutMsDefault (${limits.requestTimeoutMsDefault})`,
      limits.requestTimeoutMsMax,
    ],
    // Node refuses a server whose headers may take longer than the request.
    [
      limits.receiveTimeoutMs >= limits.headersTimeoutMs,
      'limits.receiveTimeoutMs',
      `at least limits.headersTimeoutMs (${limits.headersTimeoutMs})`,
      limits.receiveTimeoutMs,
    ],
    // One lost word must not let in what the disk has no room for.
    [
      storage.diskToldMs >= 3 * storage.diskCheckMs,
      'storage.diskToldMs',
      `at least 3 x storage.diskCheckMs (${3 * storage.diskCheckMs} milliseconds)`,
      storage.diskToldMs,
    ],
    // A transfer's connection outlasts the wait for one chunk.
    [
      transport.bulkIdleMs >= snapshots.chunkTimeoutMs,
      'transport.bulkIdleMs',
      `at least snapshots.chunkTimeoutMs (${snapshots.chunkTimeoutMs})`,
      transport.bulkIdleMs,
    ],
  ]);
}

/** The largest value with its key, and the fields around them, must pass every bound on its way, or it could never be written. */
function sizes({ raft, snapshots, storage, transport, limits }: Config): Problem[] {
  const single = limits.valueBytesMax + limits.keyBytesMax + fieldBytes;
  const largest = Math.max(single, limits.commandBytesMax);
  const perEntry = `the largest command, or value with its key and fields (${largest} bytes)`;
  // A message of entries, or a chunk of a snapshot, is full only once something has passed its bound.
  const filled = raft.appendBytesMax >= snapshots.chunkBytes ? 'raft.appendBytesMax' : 'snapshots.chunkBytes';
  const frame = largest + Math.max(raft.appendBytesMax, snapshots.chunkBytes);
  return rules([
    // A key may come wholly percent-encoded, three characters a byte, after the route.
    [
      limits.urlBytesMax > 3 * limits.keyBytesMax,
      'limits.urlBytesMax',
      `more than 3 x limits.keyBytesMax (${3 * limits.keyBytesMax})`,
      limits.urlBytesMax,
    ],
    [
      limits.commandBytesMax >= single,
      'limits.commandBytesMax',
      `at least the largest value with its key and fields (${single} bytes)`,
      limits.commandBytesMax,
    ],
    [raft.uncommittedBytesMax >= largest, 'raft.uncommittedBytesMax', `at least ${perEntry}`, raft.uncommittedBytesMax],
    [
      raft.inflightBytesMax >= raft.appendBytesMax,
      'raft.inflightBytesMax',
      `at least raft.appendBytesMax (${raft.appendBytesMax})`,
      raft.inflightBytesMax,
    ],
    // A follower that lags is a reason to keep more of the log, never less.
    [
      raft.logBytesMax >= raft.logKeepBytes,
      'raft.logBytesMax',
      `at least raft.logKeepBytes (${raft.logKeepBytes})`,
      raft.logBytesMax,
    ],
    [
      storage.diskFreeBytesMin >= storage.diskFreeBytesStop,
      'storage.diskFreeBytesMin',
      `at least storage.diskFreeBytesStop (${storage.diskFreeBytesStop})`,
      storage.diskFreeBytesMin,
    ],
    [storage.batchBytesMax >= largest, 'storage.batchBytesMax', `at least ${perEntry}`, storage.batchBytesMax],
    [
      storage.pendingBytesMax >= storage.batchBytesMax,
      'storage.pendingBytesMax',
      `at least storage.batchBytesMax (${storage.batchBytesMax})`,
      storage.pendingBytesMax,
    ],
    [
      transport.frameBytesMax >= frame,
      'transport.frameBytesMax',
      `at least the largest command, or value with its key and fields, plus ${filled} (${frame} bytes)`,
      transport.frameBytesMax,
    ],
    [
      transport.peerQueueBytesMax >= transport.frameBytesMax,
      'transport.peerQueueBytesMax',
      `at least transport.frameBytesMax (${transport.frameBytesMax})`,
      transport.peerQueueBytesMax,
    ],
  ]);
}

/** Room for content type, indexes, terms and checksums around one value. */
const fieldBytes = 64 * 1024;

function addresses(config: Config): Problem[] {
  const { http, peer } = config;
  const exposed = [http, peer].find(({ host }) => !isLoopback(host));
  return rules([
    [http.port !== peer.port || http.host !== peer.host, 'peer.port', 'another port than http.port', peer.port],
    [
      exposed === undefined || config.insecure,
      'insecure',
      `true, said aloud, because ${exposed?.host ?? ''} can be reached from other machines and there is no TLS or token check yet`,
      config.insecure,
    ],
  ]);
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.[0-9]{1,3}){3}$/.test(host);
}

function founding({ nodeId, http, peer, bootstrap }: Config): Problem[] {
  if (bootstrap === undefined) return [];
  const founders = bootstrap.nodes;
  const self = founders.find((founder) => founder.nodeId === nodeId);
  const ids = founders.map((founder) => founder.nodeId);
  return rules([
    [self !== undefined, 'bootstrap.nodes', `this node (${nodeId}) among the founders`, ids],
    [new Set(ids).size === ids.length, 'bootstrap.nodes', 'a different nodeId for each founder', ids],
    ...(['peer', 'http'] as const).map((field): Rule => {
      const given = founders.map((founder) => founder[field]);
      return [
        new Set(given).size === given.length,
        'bootstrap.nodes',
        `a different ${field} address for each founder`,
        given,
      ];
    }),
    [
      bootstrap.replicationFactor <= founders.length,
      'bootstrap.replicationFactor',
      `at most the number of founders (${founders.length})`,
      bootstrap.replicationFactor,
    ],
    // The founders' list is what all nodes and clients are told.
    [
      self === undefined || self.http === http.advertise,
      'http.advertise',
      `${self?.http ?? ''}, as in bootstrap.nodes`,
      http.advertise,
    ],
    [
      self === undefined || self.peer === peer.advertise,
      'peer.advertise',
      `${self?.peer ?? ''}, as in bootstrap.nodes`,
      peer.advertise,
    ],
  ]);
}

/** Holds or not, then: the key to mend, what was expected, what was found. */
type Rule = readonly [holds: boolean, path: string, expected: string, found: unknown];

function rules(list: readonly Rule[]): Problem[] {
  return list.filter(([holds]) => !holds).map(([, path, expected, found]) => ({ path, expected, found }));
}
