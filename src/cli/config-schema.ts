/**
 * The one description of every configuration key: its type, its range and how it reads in an error. `config.ts` has the
 * shape, the reasons and the defaults; a test holds both to the same keys.
 */
import { hostPortPattern, labels as labelsCheck, nodeIdPattern, plainHttpUrlPattern } from '../api/member-fields.ts';

export type Schema = Section | Leaf;

/** A group of keys with a fixed set of names. */
export interface Section {
  readonly type: 'object';
  readonly properties: Readonly<Record<string, Schema>>;
}

/** One key: what `--set`, one environment variable and one line of `flotilla config` speak of. */
export interface Leaf {
  /** How the text of a flag or variable is read: `json` for lists and maps. */
  readonly reads: 'text' | 'number' | 'boolean' | 'json';
  /** Completes "expected …" in an error. */
  readonly expected: string;
  /** What ajv checks. */
  readonly check: Readonly<Record<string, unknown>>;
}

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;
const minuteMs = 60_000;

const text = (expected: string, check: Readonly<Record<string, unknown>>): Leaf => ({
  reads: 'text',
  expected,
  check: { type: 'string', ...check },
});
const whole = (minimum: number, maximum: number, unit = ''): Leaf => ({
  reads: 'number',
  expected: `a whole number from ${minimum} to ${maximum}${unit && ` ${unit}`}`,
  check: { type: 'integer', minimum, maximum },
});
const milliseconds = (minimum: number, maximum: number): Leaf => whole(minimum, maximum, 'milliseconds');
const bytes = (minimum: number, maximum: number): Leaf => whole(minimum, maximum, 'bytes');
const boolean: Leaf = { reads: 'boolean', expected: 'true or false', check: { type: 'boolean' } };
const oneOf = (...values: readonly (string | number)[]): Leaf => ({
  reads: typeof values[0] === 'number' ? 'number' : 'text',
  expected: `one of ${values.join(', ')}`,
  check: { enum: values },
});
const section = (properties: Readonly<Record<string, Schema>>): Section => ({ type: 'object', properties });

const nodeId = text('1 to 64 of the characters A-Z a-z 0-9 . _ -', { pattern: nodeIdPattern });
const host = text('a host name or address', { minLength: 1, maxLength: 255, pattern: '^[^\\s/]+$' });
const port = whole(1, 65_535);
const hostPort = text('host:port', { pattern: hostPortPattern });
const httpUrl = text('a URL like http://host:7001, without a path or trailing slash', { pattern: plainHttpUrlPattern });
const labels: Leaf = {
  reads: 'json',
  expected: 'names with text values, like { "zone": "a" }',
  check: labelsCheck,
};

/** The founders' list is one key: it is given as a whole. Its entries' fields are checked by `founderFields`. */
const founders: Leaf = {
  reads: 'json',
  expected: '1 to 256 founding nodes, each { "nodeId", "peer": "host:port", "http": "http://host:port", "labels"? }',
  check: {
    type: 'array',
    minItems: 1,
    maxItems: 256,
    items: {
      type: 'object',
      required: ['nodeId', 'peer', 'http'],
      additionalProperties: false,
      properties: { nodeId: nodeId.check, peer: hostPort.check, http: httpUrl.check, labels: labels.check },
    },
  },
};

/** How the fields within one founder read in an error. */
export const founderFields: Readonly<Record<string, Leaf>> = { nodeId, peer: hostPort, http: httpUrl, labels };

export const configSchema: Section = section({
  nodeId,
  clusterName: text('1 to 64 of the characters A-Z a-z 0-9 . _ -', { pattern: nodeIdPattern }),
  dataDir: text('a directory', { minLength: 1, maxLength: 4096 }),
  http: section({ host, port, advertise: httpUrl }),
  peer: section({ host, port, advertise: hostPort }),
  labels,
  bootstrap: section({ partitions: whole(1, 4096), replicationFactor: oneOf(1, 3, 5, 7), nodes: founders }),
  join: {
    reads: 'json',
    expected: 'a list of URLs of members, like ["http://127.0.0.1:7001"]',
    check: { type: 'array', maxItems: 64, items: { type: 'string', pattern: plainHttpUrlPattern } },
  },
  insecure: boolean,
  routing: oneOf('redirect', 'forward'),
  raft: section({
    tickMs: milliseconds(1, 1000),
    heartbeatTicks: whole(1, 1000),
    electionTicksMin: whole(3, 10_000),
    electionTicksMax: whole(4, 20_000),
    appendBytesMax: bytes(1 * KiB, 64 * MiB),
    inflightMessagesMax: whole(1, 65_536),
    inflightBytesMax: bytes(1 * KiB, 1 * GiB),
    uncommittedBytesMax: bytes(1 * KiB, 1 * GiB),
    applyBytesMax: bytes(1 * KiB, 1 * GiB),
    logCacheBytesMax: bytes(0, 1 * GiB),
    mailboxMessagesMax: whole(16, 1_048_576),
    pendingRequestsMax: whole(1, 1_048_576),
    rangeReadsMax: whole(1, 65_536),
    readiesPerTurnMax: whole(1, 1024),
    promotionLagMax: whole(0, 1_000_000),
    quiesceTicks: whole(0, 100_000),
    earlyCampaignDelayMs: milliseconds(0, 10_000),
    logKeepEntries: whole(1, 100_000_000),
    logKeepBytes: bytes(64 * KiB, 64 * GiB),
    logBytesMax: bytes(64 * KiB, 64 * GiB),
    compactEntriesMin: whole(1, 1_000_000),
    compactEntriesMax: whole(1, 1_000_000),
    handOverTimeoutMs: milliseconds(0, minuteMs),
  }),
  state: section({
    sweepItemsMax: whole(1, 10_000),
    sweepItemsUnhurried: whole(1, 10_000),
    sweepPercent: whole(1, 100),
    sweepLateMs: milliseconds(0, 24 * 60 * minuteMs),
    sweepTimeoutMs: milliseconds(10, minuteMs),
    idempotencyRetentionMs: milliseconds(1000, 7 * 24 * 60 * minuteMs),
    idempotencyEntriesMax: whole(1, 100_000_000),
  }),
  snapshots: section({
    chunkBytes: bytes(4 * KiB, 64 * MiB),
    pauseFactor: whole(0, 100),
    transfersMax: whole(1, 1024),
    chunkTimeoutMs: milliseconds(10, 10 * minuteMs),
    resumeMs: milliseconds(0, 60 * minuteMs),
    retryDelayMs: milliseconds(1, minuteMs),
  }),
  placement: section({
    weight: {
      reads: 'number',
      expected: 'a number above 0, up to 1000',
      check: { type: 'number', exclusiveMinimum: 0, maximum: 1000 },
    },
    virtualNodes: whole(1, 4096),
    replaceDownAfterMs: milliseconds(1000, 30 * 24 * 60 * minuteMs),
    movesMax: whole(1, 1024),
    moveBytesPerSecondMax: bytes(64 * KiB, 64 * GiB),
    stepMs: milliseconds(1, minuteMs),
    idleStepMs: milliseconds(1, minuteMs),
    stepTimeoutMs: milliseconds(10, minuteMs),
    contactTimeoutMs: milliseconds(10, minuteMs),
    mapPollMs: milliseconds(10, 10 * minuteMs),
    mapTimeoutMs: milliseconds(10, minuteMs),
    mapSaveDelayMs: milliseconds(0, minuteMs),
  }),
  scrub: section({
    everyMs: milliseconds(0, 30 * 24 * 60 * minuteMs),
    bytesPerSecondMax: bytes(64 * KiB, 64 * GiB),
    pieceBytes: bytes(1 * KiB, 16 * MiB),
    trapTimeoutMs: milliseconds(10, 10 * minuteMs),
    timeoutMs: milliseconds(100, 7 * 24 * 60 * minuteMs),
    askEveryMs: milliseconds(1, minuteMs),
    askTimeoutMs: milliseconds(10, minuteMs),
    silenceMs: milliseconds(10, 60 * minuteMs),
    retryMs: milliseconds(1, 60 * minuteMs),
  }),
  storage: section({
    sync: boolean,
    compression: boolean,
    recordSyncPoints: boolean,
    stateFlushDelayMs: milliseconds(0, 10_000),
    pendingBytesMax: bytes(1 * MiB, 4 * GiB),
    batchBytesMax: bytes(64 * KiB, 256 * MiB),
    writeBufferBytes: bytes(1 * MiB, 1 * GiB),
    tableBytesMax: bytes(1 * MiB, 1 * GiB),
    tableCheckMs: milliseconds(10, minuteMs),
    logDeletedBytesMax: bytes(1 * MiB, 64 * GiB),
    logDeletedCheckMs: milliseconds(10, 60 * minuteMs),
    blockCacheBytes: bytes(0, 64 * GiB),
    logBlockCacheBytes: bytes(0, 64 * GiB),
    headerCacheBytes: bytes(0, 64 * GiB),
    setAsideMax: whole(0, 1000),
    replicasInDoubtMax: whole(0, 1000),
    diskFreeBytesMin: bytes(0, 1024 * GiB),
    diskFreeBytesMargin: bytes(0, 1024 * GiB),
    diskFreeBytesStop: bytes(0, 1024 * GiB),
    diskCheckMs: milliseconds(10, minuteMs),
    diskToldMs: milliseconds(30, 10 * minuteMs),
  }),
  transport: section({
    peerQueueBytesMax: bytes(1 * MiB, 4 * GiB),
    frameBytesMax: bytes(64 * KiB, 256 * MiB),
    connectTimeoutMs: milliseconds(10, minuteMs),
    handshakeTimeoutMs: milliseconds(10, minuteMs),
    silenceTimeoutMs: milliseconds(50, 10 * minuteMs),
    reconnectDelayMsMin: milliseconds(1, minuteMs),
    reconnectDelayMsMax: milliseconds(1, 10 * minuteMs),
    pendingConnectionsMax: whole(1, 65_536),
    requestsMax: whole(1, 1_048_576),
    pingIntervalMs: milliseconds(10, minuteMs),
    controlReserveBytes: bytes(1 * KiB, 64 * MiB),
    coalesceBytesMax: bytes(1 * KiB, 64 * MiB),
    helloBytesMax: bytes(256, 64 * KiB),
    bulkIdleMs: milliseconds(10, 10 * minuteMs),
    bulkSpareBytesMax: bytes(0, 256 * MiB),
  }),
  limits: section({
    keyBytesMax: bytes(1, 64 * KiB),
    valueBytesMax: bytes(1, 64 * MiB),
    commandBytesMax: bytes(1, 64 * MiB),
    batchReadBytesMax: bytes(1, 1024 * MiB),
    scanKeysDefault: whole(1, 1_000_000),
    scanKeysMax: whole(1, 1_000_000),
    scanPageBytesMax: bytes(1, 1024 * MiB),
    scanBytesMax: bytes(1, 64 * MiB),
    scanPieceKeysMax: whole(1, 100_000),
    scanPiecesAtOnce: whole(1, 4096),
    streamStallTimeoutMs: milliseconds(100, 60 * minuteMs),
    unreadBytesMax: bytes(0, 1 * GiB),
    jsonBytesMax: bytes(1 * KiB, 256 * MiB),
    headerBytesMax: bytes(1 * KiB, 1 * MiB),
    urlBytesMax: bytes(256, 1 * MiB),
    contentTypeBytesMax: bytes(1, 4 * KiB),
    requestTimeoutMsDefault: milliseconds(1, 10 * minuteMs),
    requestTimeoutMsMax: milliseconds(1, 10 * minuteMs),
    headersTimeoutMs: milliseconds(1, 10 * minuteMs),
    receiveTimeoutMs: milliseconds(1, 60 * minuteMs),
    keepAliveTimeoutMs: milliseconds(1, 60 * minuteMs),
    connectionCheckIntervalMs: milliseconds(10, minuteMs),
    lingerTimeoutMs: milliseconds(0, minuteMs),
    connectionsMax: whole(1, 1_000_000),
    pipelinedRequestsMax: whole(1, 65_536),
    requestsMax: whole(1, 1_000_000),
    writeWaitMs: milliseconds(1, minuteMs),
    writesUnderWayMin: whole(1, 1_000_000),
    loopLagMsMax: milliseconds(1, minuteMs),
    drainTimeoutMs: milliseconds(0, 10 * minuteMs),
    drainIdleMs: milliseconds(0, 10 * minuteMs),
    hopsMax: whole(0, 1),
    leaderWaitMsMax: milliseconds(0, 10 * minuteMs),
    leaderRetryDelayMs: milliseconds(1, minuteMs),
    forwardReturnMs: milliseconds(0, minuteMs),
    deadlineSweepMs: milliseconds(1, 1000),
    statusTimeoutMs: milliseconds(1, minuteMs),
    staleReadTimeoutMs: milliseconds(1, minuteMs),
    formationRetryDelayMs: milliseconds(1, minuteMs),
    formationRequestTimeoutMs: milliseconds(1, minuteMs),
    oldCopyWaitMs: milliseconds(1, minuteMs),
    fastPath: boolean,
    slowRequestMs: milliseconds(0, 60 * minuteMs),
    slowRequestLinesMax: whole(1, 10_000),
  }),
  watch: section({
    watchersMax: whole(0, 1_000_000),
    bookmarkMs: milliseconds(10, minuteMs),
    confirmMs: milliseconds(10, minuteMs),
    contactMs: milliseconds(10, 10 * minuteMs),
    pollMs: milliseconds(10, minuteMs),
    pollReturnMs: milliseconds(1, minuteMs),
    retryMs: milliseconds(1, minuteMs),
    pageBytesMax: bytes(1 * KiB, 4 * MiB),
    bufferBytesMax: bytes(1 * KiB, 1 * GiB),
    buffersBytesMax: bytes(1 * KiB, 64 * GiB),
  }),
  metrics: section({
    partitionsMax: whole(0, 4097),
    loopSampleMs: milliseconds(10, minuteMs),
  }),
  logLevel: oneOf('debug', 'info', 'warn', 'error'),
});

export function isSection(schema: Schema): schema is Section {
  return 'properties' in schema;
}

/** Every key by its dotted path, in the order of the schema. */
export const configKeys: ReadonlyMap<string, Leaf> = new Map(leaves(configSchema, ''));

function leaves(schema: Section, prefix: string): [string, Leaf][] {
  return Object.entries(schema.properties).flatMap(([name, child]): [string, Leaf][] =>
    isSection(child) ? leaves(child, `${prefix}${name}.`) : [[`${prefix}${name}`, child]],
  );
}

/** `raft.tickMs` is `FLOTILLA_RAFT_TICK_MS`. */
export function environmentName(path: string): string {
  return `FLOTILLA_${path
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .replaceAll('.', '_')
    .toUpperCase()}`;
}
