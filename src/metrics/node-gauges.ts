/** What is true of the node as a whole, read at a scrape. Its totals are kept by whoever counts them, and copied here. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { NodeReadings } from './ports.ts';

export class NodeGauges {
  readonly #takes: readonly ((readings: NodeReadings) => void)[];

  constructor(registry: Registry) {
    const registers = [registry];
    const gauge = (name: string, help: string, of: (readings: NodeReadings) => number) => {
      const made = new Gauge({ name: `flotilla_${name}`, help: `Gauge, ${help}`, registers });
      return (readings: NodeReadings): void => made.set(of(readings));
    };
    const total = (name: string, help: string, of: (readings: NodeReadings) => number) => {
      const made = new Counter({ name: `flotilla_${name}_total`, help: `Counter, ${help}`, registers });
      return (readings: NodeReadings): void => {
        made.reset();
        made.inc(of(readings));
      };
    };
    this.#takes = [
      gauge('ready', '1 or 0: what /readyz says.', ({ ready }) => (ready ? 1 : 0)),
      total(
        'elections_started',
        'elections: in which a replica here asked for votes, the pre-vote not counted.',
        ({ electionsStarted }) => electionsStarted,
      ),
      total('elections_won', 'elections: that a replica here won.', ({ electionsWon }) => electionsWon),
      gauge(
        'raft_messages_waiting',
        'messages: of Raft, that replicas here have not looked at yet.',
        ({ queues }) => queues.messages,
      ),
      gauge(
        'writes_waiting',
        'writes: to be proposed or committed by leaders here; above raft.pendingRequestsMax in one partition more are refused.',
        ({ queues }) => queues.writes,
      ),
      gauge(
        'writes_under_way',
        'writes: of clients, taken on by leaders here.',
        ({ writesUnderWay }) => writesUnderWay,
      ),
      gauge(
        'writes_under_way_max',
        'writes: above it more are refused, by what the disk was seen to take; +Inf as long as it keeps up.',
        ({ writesUnderWayMax }) => writesUnderWayMax,
      ),
      gauge('reads_waiting', 'reads: to be confirmed by leaders here, likewise.', ({ queues }) => queues.reads),
      gauge(
        'storage_pending_bytes',
        'bytes: staged and not durable yet; above storage.pendingBytesMax writes are refused.',
        ({ pendingBytes }) => pendingBytes,
      ),
      gauge('snapshots_sending', 'snapshots: being sent or about to be.', ({ snapshots }) => snapshots.sending),
      gauge('snapshots_receiving', 'snapshots: being taken in.', ({ snapshots }) => snapshots.receiving),
      total('snapshot_sent_bytes', 'bytes: of snapshots, that receivers hold.', ({ snapshots }) => snapshots.sentBytes),
      total(
        'snapshots_installed',
        'snapshots: that became the state of a replica here.',
        ({ snapshots }) => snapshots.installed,
      ),
      snapshotsEnded(registry),
      gauge('watchers', 'watches: open at this node.', ({ watchers }) => watchers),
      gauge(
        'watch_queued_bytes',
        'bytes: told to watchers and not taken by them yet.',
        ({ watchQueuedBytes }) => watchQueuedBytes,
      ),
      peers(registry),
    ];
  }

  take(readings: NodeReadings): void {
    for (const take of this.#takes) take(readings);
  }
}

function snapshotsEnded(registry: Registry): (readings: NodeReadings) => void {
  const ended = new Counter({
    name: 'flotilla_snapshots_ended_total',
    help: 'Counter, snapshots: that this node sent, by what came of it.',
    labelNames: ['outcome'],
    registers: [registry],
  });
  return ({ snapshots }) => {
    ended.reset();
    for (const [outcome, count] of Object.entries(snapshots.ended)) ended.inc({ outcome }, count);
  };
}

/** One series for each other member of the cluster. */
function peers(registry: Registry): (readings: NodeReadings) => void {
  const labelNames = ['peer'] as const;
  const registers = [registry];
  const connected = new Gauge({
    name: 'flotilla_peer_connected',
    help: 'Gauge, 1 or 0: whether the connection to the peer is up.',
    labelNames,
    registers,
  });
  const queued = new Gauge({
    name: 'flotilla_peer_queued_bytes',
    help: 'Gauge, bytes: that wait to be sent to the peer, on both lanes.',
    labelNames,
    registers,
  });
  const dropped = new Counter({
    name: 'flotilla_peer_dropped_messages_total',
    help: 'Counter, messages: of Raft, not sent to the peer as it was not connected or its queue was full.',
    labelNames,
    registers,
  });
  return (readings) => {
    for (const metric of [connected, queued, dropped]) metric.reset();
    for (const { nodeId: peer, ...reading } of readings.peers) {
      connected.set({ peer }, reading.connected ? 1 : 0);
      queued.set({ peer }, reading.queuedBytes);
      dropped.inc({ peer }, reading.droppedMessages);
    }
  };
}
