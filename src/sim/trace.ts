/** What happened, as a running hash over everything, and as lines for people when they are asked for. */
import type { Message } from '../raft/types.ts';

export class Trace {
  readonly #print: ((line: string) => void) | undefined;
  readonly #now: () => number;
  #high = 0x811c9dc5;
  #low = 0x2545f491;

  constructor(now: () => number, print?: (line: string) => void) {
    this.#now = now;
    this.#print = print;
  }

  /** Numbers that took part in what happened; any change of one changes the hash. */
  mix(...values: readonly number[]): void {
    for (const value of values) {
      this.#high = Math.imul(this.#high ^ (value | 0), 0x01000193);
      this.#low = Math.imul(this.#low ^ (this.#high >>> 13) ^ (value | 0), 0x85ebca6b);
    }
  }

  /** `line` is only made when somebody reads it. */
  note(line: () => string): void {
    this.#print?.(`${this.#now().toFixed(3).padStart(11)} ${line()}`);
  }

  text(text: string): void {
    for (let at = 0; at < text.length; at += 1) this.mix(text.charCodeAt(at));
  }

  message(direction: number, message: Message): void {
    this.mix(direction, this.#now() * 1000, message.type.length, message.term, message.from, message.to);
    switch (message.type) {
      case 'AppendEntriesRequest':
        this.mix(message.prevLogIndex, message.entries.length, message.leaderCommit);
        break;
      case 'AppendEntriesResponse':
        this.mix(message.success ? 1 : 0, message.index, message.hintIndex);
        break;
      case 'Heartbeat':
        this.mix(message.leaderCommit, message.readRound, message.quiesce ? 1 : 0);
        break;
      case 'HeartbeatResponse':
        this.mix(message.readRound);
        break;
      case 'PreVoteRequest':
      case 'VoteRequest':
        this.mix(message.lastLogIndex, message.lastLogTerm);
        break;
      case 'PreVoteResponse':
      case 'VoteResponse':
        this.mix(message.granted ? 1 : 0);
        break;
      case 'TimeoutNow':
      case 'ReplicaRemoved':
        break;
    }
  }

  /** 16 hex digits. */
  hash(): string {
    return [this.#high, this.#low].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('');
  }
}

/** One message as a person reads it. */
export function describeMessage(message: Message): string {
  const { type, term } = message;
  switch (message.type) {
    case 'AppendEntriesRequest': {
      const { prevLogIndex, prevLogTerm, entries, leaderCommit } = message;
      const last = prevLogIndex + entries.length;
      const range = entries.length === 0 ? 'probe' : `entries ${prevLogIndex + 1}..${last}`;
      return `${type} term ${term} ${range} after ${prevLogIndex}/${prevLogTerm} commit ${leaderCommit}`;
    }
    case 'AppendEntriesResponse':
      if (message.success) return `${type} term ${term} durable to ${message.index}`;
      return `${type} term ${term} refuses ${message.index}, try ${message.hintIndex}/${message.hintTerm}`;
    case 'Heartbeat':
      return `${type} term ${term} commit ${message.leaderCommit} round ${message.readRound}${message.quiesce ? ', then silence' : ''}`;
    case 'HeartbeatResponse':
      return `${type} term ${term} round ${message.readRound}`;
    case 'PreVoteRequest':
    case 'VoteRequest':
      return `${type} term ${term} last ${message.lastLogIndex}/${message.lastLogTerm}`;
    case 'PreVoteResponse':
    case 'VoteResponse':
      return `${type} term ${term} ${message.granted ? 'granted' : 'refused'}`;
    case 'TimeoutNow':
    case 'ReplicaRemoved':
      return `${type} term ${term}`;
  }
}
