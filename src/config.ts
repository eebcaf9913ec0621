/**
 * The configuration's shape. Every limit and timeout of a node is named here, unit last, with its reason; `defaults`
 * below are what a node runs with when nothing else is said. Checking and merging (flags over environment over file
 * over default) is `cli/configuration.ts`.
 */
export interface FounderConfig {
  readonly nodeId: string;
  /** host:port that other nodes reach. */
  readonly peer: string;
  /** URL that clients reach, without a trailing slash. */
  readonly http: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface BootstrapConfig {
  /** How many partitions, for good: 1 to 4,096. */
  readonly partitions: number;
  /** Replicas of each partition: 1, 3, 5 or 7, at most the number of founders. */
  readonly replicationFactor: number;
  readonly nodes: readonly FounderConfig[];
}

export interface Config {
  readonly nodeId: string;
  readonly clusterName: string;
  readonly dataDir: string;
  readonly http: { readonly host: string; readonly port: number; readonly advertise: string };
  readonly peer: { readonly host: string; readonly port: number; readonly advertise: string };
  readonly labels: Readonly<Record<string, string>>;
  /** The founders. A node has either these, or `join`. */
  readonly bootstrap: BootstrapConfig | undefined;
  /** HTTP addresses of members of the cluster that it is to join; of none: it waits to be let in. */
  readonly join?: readonly string[] | undefined;
  /** Says aloud that other machines may reach this node without TLS and tokens. */
  readonly insecure: boolean;
  readonly routing: 'redirect' | 'forward';
  readonly raft: RaftConfig;
  readonly state: StateConfig;
  readonly snapshots: SnapshotConfig;
  readonly placement: PlacementConfig;
  readonly scrub: ScrubConfig;
  readonly storage: StorageConfig;
  readonly transport: TransportConfig;
  readonly limits: LimitsConfig;
  readonly watch: WatchConfig;
  readonly metrics: MetricsConfig;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
}

export interface RaftConfig {
  /** Length of one Raft tick. */
  readonly tickMs: number;
  readonly heartbeatTicks: number;
  readonly electionTicksMin: number;
  readonly electionTicksMax: number;
  readonly appendBytesMax: number;
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  readonly uncommittedBytesMax: number;
  readonly applyBytesMax: number;
  readonly logCacheBytesMax: number;
  /** Messages that wait for one replica; more are dropped, and Raft repairs. */
  readonly mailboxMessagesMax: number;
  /** Requests that wait for one replica to propose, commit or confirm them; more are refused with 429. */
  readonly pendingRequestsMax: number;
  /** Ranges of one partition that a node reads from its disk at a time; more are refused with 429. */
  readonly rangeReadsMax: number;
  /** Rounds of step, persist and apply that one replica gets in a turn of the loop, so that a long catch-up starves no other. */
  readonly readiesPerTurnMax: number;
  /** A learner may become a voter when it lacks no more entries than this. */
  readonly promotionLagMax: number;
  /** Ticks without anything to do after which a group falls silent, so that idle partitions cost nothing; 0 for never. */
  readonly quiesceTicks: number;
  /** Once the leader's process is known to be gone, voters ask for votes one after the other, so long apart: mostly the first wins. */
  readonly earlyCampaignDelayMs: number;
  /** Entries and bytes of the log that are kept behind the applied index: a follower that was away for a moment needs no snapshot. */
  readonly logKeepEntries: number;
  readonly logKeepBytes: number;
  /** A log that is kept longer for a follower that lags grows up to this; then the follower gets a snapshot. */
  readonly logBytesMax: number;
  /** Old entries go in steps of so many, as each step is a write. */
  readonly compactEntriesMin: number;
  /** And never more in one write: deleting them takes a few microseconds each. */
  readonly compactEntriesMax: number;
  /** A node that was asked to stop spends so long on handing over its leaderships. */
  readonly handOverTimeoutMs: number;
}

/** What becomes of a partition's state as it grows old. */
export interface StateConfig {
  /** Keys that are due, and results kept long enough, that one entry takes out at most: other writes find their place between two of them. */
  readonly sweepItemsMax: number;
  /** So many while nothing is long due. Each costs its group some 50 µs of a core, over all its replicas. */
  readonly sweepItemsUnhurried: number;
  /** Of its time, what a group spends on such entries while nothing is long due, in percent: the rest is left to other writes. */
  readonly sweepPercent: number;
  /** What is due for so long is taken out as fast as it goes: else more could fall due all the time than goes. Log time. */
  readonly sweepLateMs: number;
  /** An entry that takes them out and was not applied within this time is given up; what it names is looked for anew. */
  readonly sweepTimeoutMs: number;
  /** The result of a request that came with an idempotency key is kept for its repeats for so long, in log time. */
  readonly idempotencyRetentionMs: number;
  /**
   * Results that one partition keeps, some 200 bytes each on disk; then requests with new idempotency keys are refused with 429, as none
   * is forgotten early. A million in ten minutes is 1,600 a second in one partition, of clients that name all they write.
   */
  readonly idempotencyEntriesMax: number;
}

/** How the state of a partition is carried to a replica that needs what the log no longer has. */
export interface SnapshotConfig {
  /** Bytes of one chunk: what sender and receiver hold in memory. Below `transport.frameBytesMax`. */
  readonly chunkBytes: number;
  /** Transfers that a node sends at a time, and those that it takes. */
  readonly transfersMax: number;
  /** A chunk is durable at its receiver within this time, or the transfer is broken off; it goes on where it was. */
  readonly chunkTimeoutMs: number;
  /**
   * So many times as long as a chunk took, from its reading to its being durable, its sender does nothing before the next: a transfer has a part of
   * the machines that way, and less of busy ones. 0 for as fast as the rate lets it.
   */
  readonly pauseFactor: number;
  /** A transfer that was broken off can go on for so long; then what was sent is dropped. */
  readonly resumeMs: number;
  /** A transfer that came to nothing is reported, and so asked for again, only after so long: a busy receiver is not pestered. */
  readonly retryDelayMs: number;
}

/** Who holds which partition, as nodes come and go. The controller, which leads the metadata group, goes by its own. */
export interface PlacementConfig {
  /** This node's share of replicas relative to others, when it joins. */
  readonly weight: number;
  /** Points on the placement ring of a node of weight 1. More even out a first guess, and cost time. */
  readonly virtualNodes: number;
  /** A node that is down for so long is replaced: long enough for a restart or a new kernel, as replacing it copies all it has. */
  readonly replaceDownAfterMs: number;
  /** Moves that are under way at a time. */
  readonly movesMax: number;
  /** Of all states that this node sends to others, for moves and to followers that lag: the foreground keeps the rest. */
  readonly moveBytesPerSecondMax: number;
  /** Between two looks at the moves that are under way, and at everything else that may have to be done. */
  readonly stepMs: number;
  readonly idleStepMs: number;
  /** What one step asks of a group's leader is answered within this time, or the step is taken anew. */
  readonly stepTimeoutMs: number;
  /** A node that is to join is in reach within this time. */
  readonly contactTimeoutMs: number;
  /** A node asks for a newer map so often, besides being told of it; and how long an answer may take. */
  readonly mapPollMs: number;
  readonly mapTimeoutMs: number;
  /** The map is stored for the next start so long after a change: several changes share a write. */
  readonly mapSaveDelayMs: number;
}

/** How often replicas are read from the disk and compared with each other. */
export interface ScrubConfig {
  /** Each partition that this node leads, so often; 0 for never. Damage that no checksum shows is found within it; all that a node stores takes hours. */
  readonly everyMs: number;
  /** Read from this node's disk for it: the foreground keeps the rest. 2 MiB take 3 % of a core, and come to 170 GiB a day. */
  readonly bytesPerSecondMax: number;
  /** Read, verified and summed up at a time: for so long nothing else is done. */
  readonly pieceBytes: number;
  /** A replica that does not come to the index within this time is left out of a round. */
  readonly trapTimeoutMs: number;
  /** A round comes to nothing after so long: until then LevelDB keeps what is overwritten. At `bytesPerSecondMax` 7 GiB of a partition. */
  readonly timeoutMs: number;
  /** The leader asks the others so often whether they are done, and waits so long for an answer. */
  readonly askEveryMs: number;
  readonly askTimeoutMs: number;
  /** A replica that nobody asks for so long ends its reading, as its leader has gone; one that does not answer for so long is left out. */
  readonly silenceMs: number;
  /** A round that came to nothing, since a node was busy with another or a leader was lost, is begun anew after about so long. */
  readonly retryMs: number;
}

export interface StorageConfig {
  /** False only in tests that show what it protects: acknowledged writes are then lost by a power cut. */
  readonly sync: boolean;
  /** Applied changes gather this long before they are written: fewer and larger batches, for more to apply again after a crash. */
  readonly stateFlushDelayMs: number;
  /** Staged and not yet durable bytes above which proposals are refused. */
  readonly pendingBytesMax: number;
  /** Bytes in one LevelDB batch; what waits beyond goes in the next. */
  readonly batchBytesMax: number;
  /** LevelDB's memtable, in each of the two databases. Larger ones are merged into tables less often, and take longer to replay at a start. */
  readonly writeBufferBytes: number;
  /** One table on disk. Larger ones make fewer, longer merges. */
  readonly tableBytesMax: number;
  /** What deleted log entries take on the disk, all groups together, before their tables are merged for that alone. */
  readonly logDeletedBytesMax: number;
  /** How often it is looked how much they take: only where something was deleted since. */
  readonly logDeletedCheckMs: number;
  /** Blocks of the state database's tables that are kept in memory. */
  readonly blockCacheBytes: number;
  /** The same of the log database, which is only read for a follower that lags or a node that starts. */
  readonly logBlockCacheBytes: number;
  /** How often it is looked whether tables were changed by somebody else, 16 at a time; those that a read needs are looked at behind it in any case. */
  readonly tableCheckMs: number;
  /** Whether tables on disk are compressed (Snappy): less disk for more processor time. */
  readonly compression: boolean;
  /** Headers of the newest records of all partitions, kept so that a write need not read the database first; 0 for none. */
  readonly headerCacheBytes: number;
  /** Damaged and old data directories that are kept beside the one in use; more in a row are no accident, and the node does not start. */
  readonly setAsideMax: number;
  /** Replicas of a node that are in doubt each by itself, at a time; with one more it is the disk that is damaged, and the whole directory is in doubt. */
  readonly replicasInDoubtMax: number;
  /**
   * With less than this free on its disk a node takes in nothing that needs more room: such writes are refused wherever it is a voter. What
   * lies between this and `diskFreeBytesStop` is for deletes, votes, what is under way (`pendingBytesMax`, once in the log and once in
   * the state) and LevelDB's merges, which write the new tables before they remove the old (eight memtables in each database).
   */
  readonly diskFreeBytesMin: number;
  /** So much more has to be free before it takes in everything again: about what a merge moves, so that it does not turn back and forth. */
  readonly diskFreeBytesMargin: number;
  /** With less than this a node stops, in order, and does not start: what closing and opening may still write. */
  readonly diskFreeBytesStop: number;
  /** Free space is looked at so often: what is written until then has to fit in between. */
  readonly diskCheckMs: number;
  /** A node with little space tells the others at each look; they go by its word for so long. A dead one holds nobody up for longer. */
  readonly diskToldMs: number;
  /** True only in tests that cut the power: the length of each log file is noted after each fsync. */
  readonly recordSyncPoints: boolean;
}

export interface TransportConfig {
  /** Bytes queued to one peer, on each lane; beyond it messages to that peer are dropped and requests fail. */
  readonly peerQueueBytesMax: number;
  /** One frame's payload. Above `limits.valueBytesMax` plus `raft.appendBytesMax`. */
  readonly frameBytesMax: number;
  readonly connectTimeoutMs: number;
  readonly handshakeTimeoutMs: number;
  /** A connection on which nothing arrives for so long is closed: a black hole. Heartbeats flow far more often. */
  readonly silenceTimeoutMs: number;
  readonly reconnectDelayMsMin: number;
  readonly reconnectDelayMsMax: number;
  /** Inbound peer connections not yet past the handshake. */
  readonly pendingConnectionsMax: number;
  /** Requests to one peer that wait for an answer, and requests of one peer that this node works on; on each lane. */
  readonly requestsMax: number;
  /** A node asks each peer "are you there?" so often; well below `silenceTimeoutMs`. */
  readonly pingIntervalMs: number;
  /** Kept above `peerQueueBytesMax` for votes, heartbeats and answers, so that entries never crowd them out. */
  readonly controlReserveBytes: number;
  /** Messages to one peer share a frame up to this size; one larger message has a frame of its own. */
  readonly coalesceBytesMax: number;
  /** One frame of a connection that has not shaken hands. */
  readonly helloBytesMax: number;
  /** A bulk connection without requests is closed after so long: longer than the pauses within a snapshot's transfer. Checked every `pingIntervalMs`. */
  readonly bulkIdleMs: number;
  /** What a bulk connection keeps of the memory that large frames came in, for those to come: room for a few chunks of a snapshot. */
  readonly bulkSpareBytesMax: number;
}

export interface LimitsConfig {
  readonly keyBytesMax: number;
  readonly valueBytesMax: number;
  /** One log entry: a transaction, or a part of a batch. Below `transport.frameBytesMax`. */
  readonly commandBytesMax: number;
  /** JSON bodies. */
  readonly jsonBytesMax: number;
  /** Values that one batch may read, together: its answer is made in one piece. */
  readonly batchReadBytesMax: number;
  /** Keys of one page of a scan, when nobody says how many, and at most. */
  readonly scanKeysDefault: number;
  readonly scanKeysMax: number;
  /** Values of one page of a scan, together: it ends before it grows beyond. One value comes whatever it takes. */
  readonly scanPageBytesMax: number;
  /** What one scan holds of all partitions' keys and values; shared out evenly, at least 16 KiB each. Below `transport.frameBytesMax`. */
  readonly scanBytesMax: number;
  /** Keys that a scan reads of a partition at a time. */
  readonly scanPieceKeysMax: number;
  /** Partitions that one scan asks at a time. */
  readonly scanPiecesAtOnce: number;
  /** A reader of a stream who takes nothing for so long is gone. */
  readonly streamStallTimeoutMs: number;
  readonly headerBytesMax: number;
  /** The request target (path and query). Above three times `keyBytesMax`, which is a key wholly percent-encoded. */
  readonly urlBytesMax: number;
  /** A value's Content-Type. */
  readonly contentTypeBytesMax: number;
  readonly requestTimeoutMsDefault: number;
  readonly requestTimeoutMsMax: number;
  /** All headers must have arrived. */
  readonly headersTimeoutMs: number;
  /** The whole request must have arrived. */
  readonly receiveTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /**
   * How often connections are checked against `headersTimeoutMs` and `receiveTimeoutMs`: they hold to within this. All that are due are cut
   * off in one go, while everybody else waits: the fewer at a time the better.
   */
  readonly connectionCheckIntervalMs: number;
  /** After refusing a body unread, the connection takes and drops what still comes for so long, so that the answer is not lost to a reset. */
  readonly lingerTimeoutMs: number;
  /** A body that nobody wants (of a GET, of a refused request) is read past up to so many bytes; a larger one costs the connection. */
  readonly unreadBytesMax: number;
  readonly connectionsMax: number;
  /** Requests of one connection that are not yet answered; beyond it 429. */
  readonly pipelinedRequestsMax: number;
  /** Requests under way in one node; beyond it 429. */
  readonly requestsMax: number;
  /**
   * Writes that would wait longer than this for the node's disk, by what it was seen to take, are refused with 429: a client that has to wait
   * is better off asking again than at the end of a queue. Above two fsyncs of the slowest disk that is to be used in earnest.
   */
  readonly writeWaitMs: number;
  /** So many writes are taken on at a time whatever the disk takes: enough for each fsync to be shared by many. */
  readonly writesUnderWayMin: number;
  /** While the event loop has been late by more than this for about a second, requests are refused with 429, but for health and metrics. */
  readonly loopLagMsMax: number;
  /** A node that was asked to stop waits so long for what is under way. */
  readonly drainTimeoutMs: number;
  /** Of these, connections that look idle are kept open: a request may be on its way on them. Above a client's usual pause between two. */
  readonly drainIdleMs: number;
  /** Forwarding ends after so many hops. */
  readonly hopsMax: number;
  /** A request waits so long for a leader that answers before it is refused with `no_leader`: longer than a usual election. */
  readonly leaderWaitMsMax: number;
  /** Pace at which a waiting request looks again for a leader that nobody told it of. */
  readonly leaderRetryDelayMs: number;
  /** A forwarded request is given so much less time than its caller has, so that the answer still gets back. */
  readonly forwardReturnMs: number;
  /** Deadlines are looked at so often: a caller waits at most this much beyond its own. */
  readonly deadlineSweepMs: number;
  /** A node that does not tell its status within this time is shown as unreachable. */
  readonly statusTimeoutMs: number;
  /** A replica on another node that does not answer a stale read in this time is passed over. */
  readonly staleReadTimeoutMs: number;
  /** While the cluster is being founded: pause between two rounds of asking the other founders, and how long one may take to answer. */
  readonly formationRetryDelayMs: number;
  readonly formationRequestTimeoutMs: number;
  /** A node that comes back waits so long for members that can't be asked whether its data directory is an old copy; those in reach answer at once. */
  readonly oldCopyWaitMs: number;
  /** Single-key requests may be answered in front of Express. */
  readonly fastPath: boolean;
  /**
   * A request that takes longer has a line in the log: a second is far beyond what disks and a quiet network take, and about what an election
   * does, so that a line says that something was the matter. 0 for none.
   */
  readonly slowRequestMs: number;
  /** Such lines in a second at most; of the others it is said how many they were. A flood of slow requests must not make a node slower. */
  readonly slowRequestLinesMax: number;
}

/** What `/metrics` tells. */
export interface MetricsConfig {
  /** With more partitions on a node none has series of its own: some ten lines each, of which Prometheus keeps each as a series of its own. */
  readonly partitionsMax: number;
  /** The event loop is asked so often how late it is; each costs a microsecond. */
  readonly loopSampleMs: number;
}

/** Who watches changes at this node. */
export interface WatchConfig {
  /** Watches that are open at one node; beyond it 429. */
  readonly watchersMax: number;
  /** A watcher is told so often that nothing is missing: with two times `confirmMs` for finding out, every five seconds at least. */
  readonly bookmarkMs: number;
  /** A partition's leader says within this time how far it is, and what it has is here within as much again. */
  readonly confirmMs: number;
  /** A watcher to whom that could not be said for so long is cut off: another node may know more. Longer than an election. */
  readonly contactMs: number;
  /** A node without a replica of a partition waits so long for changes of it at one that has, and asks again. */
  readonly pollMs: number;
  /** An answer to that takes so much longer at most. */
  readonly pollReturnMs: number;
  /** Nobody could be asked for changes: they are asked for again after so long. */
  readonly retryMs: number;
  /** Changes that are read at a time; one value comes whatever it takes. */
  readonly pageBytesMax: number;
  /** Told to one watcher and not taken by it: beyond it the watcher goes through the log at its own pace. */
  readonly bufferBytesMax: number;
  /** The same of all watchers of a node together. */
  readonly buffersBytesMax: number;
}

const KiB = 1024;
const MiB = 1024 * KiB;

export const defaults: Omit<Config, 'nodeId' | 'dataDir' | 'http' | 'peer' | 'bootstrap'> = {
  clusterName: 'dev',
  labels: {},
  insecure: false,
  routing: 'redirect',
  raft: {
    tickMs: 50,
    heartbeatTicks: 2,
    electionTicksMin: 12,
    electionTicksMax: 24,
    appendBytesMax: 512 * KiB,
    inflightMessagesMax: 64,
    inflightBytesMax: 4 * MiB,
    uncommittedBytesMax: 16 * MiB,
    applyBytesMax: 2 * MiB,
    logCacheBytesMax: 256 * KiB,
    mailboxMessagesMax: 4096,
    rangeReadsMax: 64,
    pendingRequestsMax: 4096,
    readiesPerTurnMax: 8,
    promotionLagMax: 1000,
    quiesceTicks: 20,
    earlyCampaignDelayMs: 25,
    logKeepEntries: 10_000,
    logKeepBytes: 16 * MiB,
    logBytesMax: 64 * MiB,
    compactEntriesMin: 1000,
    compactEntriesMax: 5000,
    handOverTimeoutMs: 2000,
  },
  state: {
    sweepItemsMax: 1000,
    sweepItemsUnhurried: 100,
    sweepPercent: 15,
    sweepLateMs: 1_800_000,
    sweepTimeoutMs: 5000,
    idempotencyRetentionMs: 600_000,
    idempotencyEntriesMax: 1_000_000,
  },
  snapshots: {
    chunkBytes: 256 * KiB,
    transfersMax: 2,
    chunkTimeoutMs: 5000,
    pauseFactor: 2,
    resumeMs: 30_000,
    retryDelayMs: 500,
  },
  placement: {
    weight: 1,
    virtualNodes: 64,
    replaceDownAfterMs: 300_000,
    movesMax: 2,
    moveBytesPerSecondMax: 16 * MiB,
    stepMs: 50,
    idleStepMs: 1000,
    stepTimeoutMs: 2000,
    contactTimeoutMs: 3000,
    mapPollMs: 5000,
    mapTimeoutMs: 2000,
    mapSaveDelayMs: 500,
  },
  scrub: {
    everyMs: 86_400_000,
    bytesPerSecondMax: 2 * MiB,
    pieceBytes: 64 * KiB,
    trapTimeoutMs: 5000,
    timeoutMs: 3_600_000,
    askEveryMs: 1000,
    askTimeoutMs: 2000,
    silenceMs: 15_000,
    retryMs: 30_000,
  },
  storage: {
    sync: true,
    stateFlushDelayMs: 100,
    pendingBytesMax: 64 * MiB,
    batchBytesMax: 8 * MiB,
    writeBufferBytes: 32 * MiB,
    tableBytesMax: 8 * MiB,
    tableCheckMs: 100,
    logDeletedBytesMax: 128 * MiB,
    logDeletedCheckMs: 10_000,
    blockCacheBytes: 32 * MiB,
    logBlockCacheBytes: 4 * MiB,
    compression: false,
    headerCacheBytes: 64 * MiB,
    setAsideMax: 3,
    replicasInDoubtMax: 3,
    diskFreeBytesMin: 1024 * MiB,
    diskFreeBytesMargin: 256 * MiB,
    diskFreeBytesStop: 256 * MiB,
    diskCheckMs: 500,
    diskToldMs: 3000,
    recordSyncPoints: false,
  },
  transport: {
    peerQueueBytesMax: 32 * MiB,
    frameBytesMax: 8 * MiB,
    connectTimeoutMs: 1000,
    handshakeTimeoutMs: 2000,
    silenceTimeoutMs: 3000,
    reconnectDelayMsMin: 20,
    reconnectDelayMsMax: 1000,
    pendingConnectionsMax: 64,
    requestsMax: 4096,
    pingIntervalMs: 1000,
    controlReserveBytes: 256 * KiB,
    coalesceBytesMax: 64 * KiB,
    helloBytesMax: 4 * KiB,
    bulkIdleMs: 10_000,
    bulkSpareBytesMax: 4 * MiB,
  },
  limits: {
    keyBytesMax: 1 * KiB,
    valueBytesMax: 1 * MiB,
    commandBytesMax: 4 * MiB,
    jsonBytesMax: 8 * MiB,
    batchReadBytesMax: 8 * MiB,
    scanKeysDefault: 100,
    scanKeysMax: 10_000,
    scanPageBytesMax: 8 * MiB,
    scanBytesMax: 8 * MiB,
    scanPieceKeysMax: 1000,
    scanPiecesAtOnce: 32,
    streamStallTimeoutMs: 30_000,
    headerBytesMax: 16 * KiB,
    urlBytesMax: 8 * KiB,
    contentTypeBytesMax: 255,
    requestTimeoutMsDefault: 5000,
    requestTimeoutMsMax: 60_000,
    headersTimeoutMs: 10_000,
    receiveTimeoutMs: 30_000,
    keepAliveTimeoutMs: 65_000,
    connectionCheckIntervalMs: 100,
    lingerTimeoutMs: 1000,
    unreadBytesMax: 64 * KiB,
    connectionsMax: 10_000,
    pipelinedRequestsMax: 128,
    requestsMax: 4096,
    writeWaitMs: 120,
    writesUnderWayMin: 32,
    loopLagMsMax: 250,
    drainTimeoutMs: 5000,
    drainIdleMs: 250,
    hopsMax: 1,
    leaderWaitMsMax: 1500,
    leaderRetryDelayMs: 50,
    forwardReturnMs: 50,
    deadlineSweepMs: 20,
    statusTimeoutMs: 500,
    staleReadTimeoutMs: 500,
    formationRetryDelayMs: 50,
    formationRequestTimeoutMs: 1000,
    oldCopyWaitMs: 1000,
    fastPath: true,
    slowRequestMs: 1000,
    slowRequestLinesMax: 10,
  },
  watch: {
    watchersMax: 10_000,
    bookmarkMs: 2500,
    confirmMs: 1000,
    contactMs: 10_000,
    pollMs: 5000,
    pollReturnMs: 1000,
    retryMs: 100,
    pageBytesMax: 64 * KiB,
    bufferBytesMax: 1 * MiB,
    buffersBytesMax: 64 * MiB,
  },
  metrics: {
    partitionsMax: 512,
    loopSampleMs: 100,
  },
  logLevel: 'info',
};
