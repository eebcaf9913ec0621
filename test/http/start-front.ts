/** Starts the HTTP front over a `LocalFacade`, on a free port. */
import { defaults, type Config, type LimitsConfig } from '../../src/config.ts';
import { startHttp, type HttpServer } from '../../src/http/server.ts';
import { silentLogger, type Logger } from '../../src/logger.ts';
import { Metrics } from '../../src/metrics/metrics.ts';
import { LocalFacade } from './local-facade.ts';

export interface Front {
  readonly baseUrl: string;
  readonly node: LocalFacade;
  readonly server: HttpServer;
  readonly metrics: Metrics;
  close(): Promise<void>;
}

export async function startFront(
  options: {
    readonly limits?: Partial<LimitsConfig>;
    readonly config?: Partial<Config>;
    readonly logger?: Logger;
  } = {},
): Promise<Front> {
  const node = new LocalFacade();
  const config = frontConfig(options);
  const metrics = new Metrics(config.metrics);
  const { logger = silentLogger } = options;
  const server = await startHttp({ node, config, logger, metrics });
  const close = (): Promise<void> => server.close(0).finally(() => metrics.close());
  return { baseUrl: server.url, node, server, metrics, close };
}

export function frontConfig(options: {
  readonly limits?: Partial<LimitsConfig>;
  readonly config?: Partial<Config>;
}): Config {
  return {
    ...defaults,
    nodeId: 'n1',
    dataDir: 'unused',
    http: { host: '127.0.0.1', port: 0, advertise: 'http://127.0.0.1:0' },
    peer: { host: '127.0.0.1', port: 0, advertise: '127.0.0.1:0' },
    bootstrap: undefined,
    ...options.config,
    // Closing costs a test nothing, unless it is about closing.
    limits: { ...defaults.limits, drainIdleMs: 0, ...options.limits },
  };
}
