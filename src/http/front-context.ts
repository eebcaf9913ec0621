/** What every handler of the front works with. */
import type { NodeFacade } from '../cluster/types.ts';
import type { Config } from '../config.ts';
import type { Logger } from '../logger.ts';
import type { FrontMetrics } from '../metrics/ports.ts';

export interface FrontContext {
  readonly node: NodeFacade;
  readonly config: Config;
  readonly logger: Logger;
  readonly metrics: FrontMetrics;
}
