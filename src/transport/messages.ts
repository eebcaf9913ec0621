/**
 * Raft messages on the wire, written by hand because nearly all traffic is these. A Raft frame's payload is one message
 * after the other; README.md has the layouts. Entry bodies travel as the bytes they are.
 */
import { assert, unreachable } from '../assert.ts';
import { writeU64 } from '../bytes.ts';
import { EntryKind } from '../raft/types.ts';
import type { AppendEntriesRequest, Entry, LogIndex, Message, ReplicaId, Term } from '../raft/types.ts';
import type { PartitionId } from '../replica/ports.ts';
import { WireError, type WireReader } from './wire.ts';

/** The numbers are sent: they never change. */
const MessageType = {
  PreVoteRequest: 1,
  PreVoteResponse: 2,
  VoteRequest: 3,
  VoteResponse: 4,
  AppendEntriesRequest: 5,
  AppendEntriesResponse: 6,
  Heartbeat: 7,
  HeartbeatResponse: 8,
  TimeoutNow: 9,
  ReplicaRemoved: 10,
} as const satisfies Record<Message['type'], number>;

/** Type, partition, from, to, term: what every message begins with. */
const envelopeBytes = 1 + 4 + 4 + 4 + 8;
/** Term, kind, length: what stands before each body. The index follows from the message's `prevLogIndex`. */
const entryHeaderBytes = 8 + 1 + 4;
const indexMax = Number.MAX_SAFE_INTEGER;

/** A message and the group it belongs to. */
export interface RaftEnvelope {
  readonly partition: PartitionId;
  readonly message: Message;
}

/** The exact bytes that `encodeMessage` will write. */
export function messageBytes(message: Message): number {
  switch (message.type) {
    case 'PreVoteRequest':
      return envelopeBytes + 16;
    case 'VoteRequest':
      return envelopeBytes + 17;
    case 'PreVoteResponse':
      return envelopeBytes + 1;
    case 'VoteResponse':
      return envelopeBytes + 17;
    case 'AppendEntriesRequest': {
      let bytes = envelopeBytes + 28 + message.entries.length * entryHeaderBytes;
      for (const entry of message.entries) bytes += entry.body.length;
      return bytes;
    }
    case 'AppendEntriesResponse':
      return envelopeBytes + 25;
    case 'Heartbeat':
      return envelopeBytes + 41;
    case 'HeartbeatResponse':
      return envelopeBytes + 16;
    case 'TimeoutNow':
    case 'ReplicaRemoved':
      return envelopeBytes;
    default:
      return unreachable(message);
  }
}

/** Writes one message at `at`; returns its end. `page` has `messageBytes(message)` bytes of room there. */
export function encodeMessage(page: Buffer, at: number, envelope: RaftEnvelope): number {
  const message = envelope.message;
  page[at] = MessageType[message.type];
  page.writeUInt32BE(envelope.partition, at + 1);
  page.writeUInt32BE(message.from, at + 5);
  page.writeUInt32BE(message.to, at + 9);
  writeU64(page, message.term, at + 13);
  at += envelopeBytes;
  switch (message.type) {
    case 'PreVoteRequest':
    case 'VoteRequest':
      writeU64(page, message.lastLogIndex, at);
      writeU64(page, message.lastLogTerm, at + 8);
      if (message.type === 'PreVoteRequest') return at + 16;
      return page.writeUInt8(message.transfer ? 1 : 0, at + 16);
    case 'PreVoteResponse':
      return page.writeUInt8(message.granted ? 1 : 0, at);
    case 'VoteResponse':
      writeU64(page, message.timeTerm, at + 1);
      writeU64(page, message.logTime, at + 9);
      page.writeUInt8(message.granted ? 1 : 0, at);
      return at + 17;
    case 'AppendEntriesRequest':
      return encodeAppendEntries(page, at, message);
    case 'AppendEntriesResponse':
      page[at] = message.success ? 1 : 0;
      writeU64(page, message.index, at + 1);
      writeU64(page, message.hintIndex, at + 9);
      writeU64(page, message.hintTerm, at + 17);
      return at + 25;
    case 'Heartbeat':
      assert(Number.isSafeInteger(message.logTime), 'log time is a whole number of milliseconds');
      writeU64(page, message.leaderCommit, at);
      writeU64(page, message.readRound, at + 8);
      writeU64(page, message.logTime, at + 16);
      writeU64(page, message.freshIndex, at + 24);
      writeU64(page, message.freshTime, at + 32);
      return page.writeUInt8(message.quiesce ? 1 : 0, at + 40);
    case 'HeartbeatResponse':
      writeU64(page, message.readRound, at);
      writeU64(page, message.logTime, at + 8);
      return at + 16;
    case 'TimeoutNow':
    case 'ReplicaRemoved':
      return at;
    default:
      return unreachable(message);
  }
}

function encodeAppendEntries(page: Buffer, at: number, message: AppendEntriesRequest): number {
  writeU64(page, message.prevLogIndex, at);
  writeU64(page, message.prevLogTerm, at + 8);
  writeU64(page, message.leaderCommit, at + 16);
  page.writeUInt32BE(message.entries.length, at + 24);
  at += 28;
  let index: number = message.prevLogIndex;
  for (const entry of message.entries) {
    // The receiver counts on from prevLogIndex: a gap here would put an entry under another's index there.
    assert(entry.index === ++index, 'entries are consecutive from prevLogIndex + 1');
    writeU64(page, entry.term, at);
    page[at + 8] = entry.kind;
    page.writeUInt32BE(entry.body.length, at + 9);
    at += entryHeaderBytes;
    page.set(entry.body, at);
    at += entry.body.length;
  }
  return at;
}

/** All messages of a Raft frame, or none: anything wrong throws a WireError. Keeps nothing of the frame's memory. */
export function decodeMessages(reader: WireReader): readonly RaftEnvelope[] {
  const envelopes: RaftEnvelope[] = [];
  while (reader.remaining() > 0) envelopes.push(decodeMessage(reader));
  return envelopes;
}

function decodeMessage(reader: WireReader): RaftEnvelope {
  const type = reader.u8();
  const partition = reader.u32() as PartitionId;
  const from = replicaId(reader);
  const to = replicaId(reader);
  const term = reader.u64() as Term;
  return { partition, message: decodeContent(reader, type, { from, to, term }) };
}

function decodeContent(
  reader: WireReader,
  type: number,
  { from, to, term }: { from: ReplicaId; to: ReplicaId; term: Term },
): Message {
  switch (type) {
    case MessageType.PreVoteRequest: {
      const { lastLogIndex, lastLogTerm } = lastLog(reader);
      return { type: 'PreVoteRequest', from, to, term, lastLogIndex, lastLogTerm };
    }
    case MessageType.PreVoteResponse:
      return { type: 'PreVoteResponse', from, to, term, granted: reader.boolean() };
    case MessageType.VoteRequest: {
      const { lastLogIndex, lastLogTerm } = lastLog(reader);
      return { type: 'VoteRequest', from, to, term, lastLogIndex, lastLogTerm, transfer: reader.boolean() };
    }
    case MessageType.VoteResponse: {
      const granted = reader.boolean();
      const timeTerm = reader.u64() as Term;
      return { type: 'VoteResponse', from, to, term, granted, timeTerm, logTime: reader.u64() };
    }
    case MessageType.AppendEntriesRequest: {
      const prevLogIndex = logIndex(reader);
      const prevLogTerm = reader.u64() as Term;
      const leaderCommit = logIndex(reader);
      const entries = decodeEntries(reader, { prevLogIndex, prevLogTerm, term });
      return { type: 'AppendEntriesRequest', from, to, term, prevLogIndex, prevLogTerm, entries, leaderCommit };
    }
    case MessageType.AppendEntriesResponse: {
      const success = reader.boolean();
      const index = logIndex(reader);
      const hintIndex = logIndex(reader);
      const hintTerm = reader.u64() as Term;
      return { type: 'AppendEntriesResponse', from, to, term, success, index, hintIndex, hintTerm };
    }
    case MessageType.Heartbeat: {
      const leaderCommit = logIndex(reader);
      const readRound = reader.u64();
      const logTime = reader.u64();
      const freshIndex = logIndex(reader);
      const freshTime = reader.u64();
      const quiesce = reader.boolean();
      return { type: 'Heartbeat', from, to, term, leaderCommit, readRound, logTime, freshIndex, freshTime, quiesce };
    }
    case MessageType.HeartbeatResponse:
      return { type: 'HeartbeatResponse', from, to, term, readRound: reader.u64(), logTime: reader.u64() };
    case MessageType.TimeoutNow:
      return { type: 'TimeoutNow', from, to, term };
    case MessageType.ReplicaRemoved:
      return { type: 'ReplicaRemoved', from, to, term };
    default:
      throw new WireError(`message type ${type} does not exist`);
  }
}

/**
 * Bodies are copied out of the frame, into one buffer per message. A body lives in Raft's cache, which is bounded by
 * the bytes of bodies; a view would pin all it was received with: an entry of 300 bytes of a quiet group a frame of
 * 64 KiB or more full of busy groups' traffic, 200 times what the cache counts. The bodies of one message belong to one
 * group, follow each other and leave the cache together, so sharing a buffer pins at most `appendBytesMax` a group.
 */
function decodeEntries(
  reader: WireReader,
  { prevLogIndex, prevLogTerm, term }: { prevLogIndex: LogIndex; prevLogTerm: Term; term: Term },
): readonly Entry[] {
  const count = reader.u32();
  if (count * entryHeaderBytes > reader.remaining()) throw new WireError(`${count} entries do not fit in the frame`);
  if (count > indexMax - prevLogIndex) throw new WireError('an entry index exceeds 2^53 - 1');
  if (count === 0) return [];
  const terms: Term[] = [];
  const kinds: EntryKind[] = [];
  const views: Buffer[] = [];
  let bytes = 0;
  let termBefore = prevLogTerm;
  for (let i = 0; i < count; i++) {
    const entryTerm = reader.u64() as Term;
    // Terms never fall along a log, and a leader has no entry of a later term than its own (paper, 5.1 and 5.3).
    if (entryTerm === 0 || entryTerm < termBefore || entryTerm > term)
      throw new WireError(`an entry of term ${entryTerm}`);
    const kind = entryKind(reader);
    const view = reader.view(reader.u32());
    if (kind === EntryKind.noop && view.length > 0) throw new WireError('a no-op has a body');
    terms.push((termBefore = entryTerm));
    kinds.push(kind);
    views.push(view);
    bytes += view.length;
  }
  // Not from Node's shared 8 KiB pool, which would again tie groups together.
  const bodies = Buffer.allocUnsafeSlow(bytes);
  let at = 0;
  return views.map((view, i) => {
    bodies.set(view, at);
    const body = bodies.subarray(at, (at += view.length));
    return { index: (prevLogIndex + 1 + i) as LogIndex, term: terms[i] as Term, kind: kinds[i] as EntryKind, body };
  });
}

function lastLog(reader: WireReader): { lastLogIndex: LogIndex; lastLogTerm: Term } {
  const lastLogIndex = logIndex(reader);
  return { lastLogIndex, lastLogTerm: reader.u64() as Term };
}

function logIndex(reader: WireReader): LogIndex {
  return reader.u64() as LogIndex;
}

function replicaId(reader: WireReader): ReplicaId {
  const id = reader.u32();
  if (id === 0) throw new WireError('replica id 0 names nobody');
  return id as ReplicaId;
}

function entryKind(reader: WireReader): EntryKind {
  const kind = reader.u8();
  if (kind > EntryKind.configuration) throw new WireError(`entry kind ${kind} does not exist`);
  return kind as EntryKind;
}
