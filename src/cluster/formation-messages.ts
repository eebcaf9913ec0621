/** What founders tell each other, and its checks. */
import { isFields } from './shapes.ts';

/** The answer to 'formation.state': what is durable at that founder. `clusterId` is null exactly when it is unformed. */
export type FounderState = {
  readonly founding: string;
  /** Of the founder's present start. */
  readonly nonce: string;
} & (
  | { readonly phase: 'unformed'; readonly clusterId: null }
  | { readonly phase: 'prepared' | 'formed'; readonly clusterId: string }
);

/** 'formation.prepare'. */
export interface PrepareRequest {
  readonly clusterId: string;
  readonly founding: string;
  /** Of the start that the request is meant for. */
  readonly nonce: string;
}

export type PrepareAnswer = { readonly type: 'prepared' } | { readonly type: 'refused'; readonly reason: string };

const hex32 = /^[0-9a-f]{32}$/;

export function decodeFounderState(payload: unknown): FounderState | undefined {
  if (!isFields(payload)) return undefined;
  const { phase, clusterId, founding, nonce } = payload;
  if (typeof founding !== 'string' || !isHex32(nonce)) return undefined;
  if (phase === 'unformed') return { phase, clusterId: null, founding, nonce };
  if ((phase !== 'prepared' && phase !== 'formed') || !isHex32(clusterId)) return undefined;
  return { phase, clusterId, founding, nonce };
}

export function decodePrepare(payload: unknown): PrepareRequest | undefined {
  if (!isFields(payload)) return undefined;
  const { clusterId, founding, nonce } = payload;
  if (!isHex32(clusterId) || typeof founding !== 'string' || !isHex32(nonce)) return undefined;
  return { clusterId, founding, nonce };
}

export function decodePrepareAnswer(payload: unknown): PrepareAnswer | undefined {
  if (!isFields(payload)) return undefined;
  const { type, reason } = payload;
  if (type === 'prepared') return { type };
  return type === 'refused' && typeof reason === 'string' ? { type, reason } : undefined;
}

function isHex32(value: unknown): value is string {
  return typeof value === 'string' && hex32.test(value);
}
