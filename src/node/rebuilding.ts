/** A node that came in anew because its disk could not be believed, or was empty: until when something is missing, and what is said of it. */
import type { LiveMap } from '../cluster/live-map.ts';
import { lackingReplicas } from '../cluster/partition-map.ts';
import type { Logger } from '../logger.ts';
import type { NodeId } from '../replica/ports.ts';
import type { RebuildNote } from '../storage/set-aside.ts';

export interface RebuildingOptions {
  readonly map: LiveMap;
  readonly nodeId: NodeId;
  readonly replicationFactor: number;
  readonly note: RebuildNote;
  readonly logger: Pick<Logger, 'info'>;
  /** Called once: nobody has to know of it any more. */
  readonly onWhole: () => void;
}

/**
 * All partitions of the cluster have as many replicas as they should, by the directory, which names a replica once it votes: what was lost with the disk has
 * been made good, here or elsewhere. Until then the node is not ready, so that whoever restarts nodes one after the other waits: with disks that are lost
 * at each restart, the second one would else take a majority of what the first has not got again.
 */
export class Rebuilding {
  readonly #options: RebuildingOptions;
  #whole = false;

  constructor(options: RebuildingOptions) {
    this.#options = options;
    options.map.onChange(() => this.#look());
    this.#look();
  }

  /** Why the node is not ready; undefined once it is whole. */
  reason(): string | undefined {
    if (this.#whole) return undefined;
    const { map, nodeId, note } = this.#options;
    const lacking = this.#lacking();
    const what =
      map.node(nodeId)?.standing === 'up' ? `partitions ${lacking.join(', ')} lack a replica` : 'it is being let in';
    const why = note.kind === 'empty' ? note.reason : `its disk could not be believed (${note.reason})`;
    return `the node is filled ${note.kind === 'empty' ? '' : 'again, '}as ${why}: ${what}`;
  }

  #look(): void {
    const { map, nodeId, note, logger, onWhole } = this.#options;
    if (this.#whole || map.node(nodeId)?.standing !== 'up' || this.#lacking().length > 0) return;
    this.#whole = true;
    onWhole();
    const rest =
      note.movedTo === undefined ? '' : ' again: what was set aside is not needed any more, and may be deleted';
    logger.info(note, `the node is whole${rest}`);
  }

  #lacking(): readonly number[] {
    return lackingReplicas(this.#options.map, this.#options.replicationFactor);
  }
}
