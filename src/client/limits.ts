/** The numbers of the client, each with its unit and reason. What users set themselves is in `options.ts`. */
export const clientLimits = {
  /** Of a call when nothing else is said: what a node gives a request. */
  timeoutMsDefault: 5000,
  /** Nodes take no longer deadline. */
  timeoutMsMax: 60_000,
  /** A node on a live network answers the knock at once; one that is off the network never does. */
  connectTimeoutMs: 1000,
  /** One node may use up this part of a call's time before another is asked: a frozen one answers nothing. */
  attemptShare: 0.4,
  /** The node gives up a little before we do, so that its reason still reaches us. */
  answerReturnShare: 0.95,
  /** The wait before another attempt doubles from the first to the second, and half of it is chance. */
  backOffMsMin: 20,
  backOffMsMax: 500,
  /** Answers that point on to the next node, in a row; in an election two nodes may point at each other. */
  redirectsMax: 4,
  /** A node that failed is not asked for so long unless no other is left; doubled at each failure in a row. */
  coolDownMsMin: 500,
  coolDownMsMax: 15_000,
  /** Open to one node at a time; further calls wait their turn. */
  connectionsPerNodeDefault: 64,
  /** The map is asked for at most so often, however many answers do not agree with it. */
  mapIntervalMs: 1000,
  mapTimeoutMs: 2000,
  /** Items of one page of a scan. Keys are small, values may be a mebibyte each. */
  pageSizeDefault: 100,
  keysPageSizeDefault: 1000,
  pageSizeMax: 10_000,
  /** A node that is watched says something every 5 s: after three times that it, or the way to it, is taken for dead. */
  watchSilenceMs: 15_000,
  /** Between attempts to go on watching. Thousands may watch a cluster that is down, and none of them has a deadline. */
  watchBackOffMsMax: 5000,
  /** A value of 64 MiB, the largest that a cluster can be set to take, with each of its bytes escaped (`\u0000`); the rest is little. */
  watchLineBytesMax: 400 * 1024 * 1024,
  /** Of an answer that refuses a watch. */
  problemBytesMax: 64 * 1024,
} as const;
