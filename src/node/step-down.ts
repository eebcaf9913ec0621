/** A leader whose own state is in doubt goes: somebody whose state is not leads instead. */
import type { Clock, NodeId } from '../replica/ports.ts';
import type { Replica } from '../replica/replica.ts';

export interface StepDownOptions {
  readonly clock: Clock;
  readonly replica: Pick<Replica, 'status' | 'transferLeadership'>;
  readonly heirs: readonly NodeId[];
  /** For each of them. */
  readonly attemptMs: number;
}

/** Looks so often whether the leadership has moved: a transfer takes a few messages and fsyncs. */
const lookEveryMs = 5;

/** Resolves once this replica leads no more, or none of them has taken it over in time. Returns which. */
export async function stepDown({ clock, replica, heirs, attemptMs }: StepDownOptions): Promise<boolean> {
  const leads = (): boolean => replica.status().role === 'leader';
  for (const heir of heirs) {
    if (!leads()) break;
    const endsAt = clock.monotonicMs() + attemptMs;
    const begun = replica.transferLeadership(heir);
    while (begun.type === 'started' && leads() && clock.monotonicMs() < endsAt) {
      await new Promise<void>((resolve) => void clock.after(lookEveryMs, resolve));
    }
  }
  return !leads();
}
