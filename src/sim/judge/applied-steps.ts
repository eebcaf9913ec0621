/**
 * State Machine Safety (paper 5.4.3, figure 3): what any replica applied at an index is what all others apply there,
 * with the same changes and the same state after it. Each step is compared with the first one seen at its index, so
 * equal states at equal applied indexes follow from one step to the next; a replica that restarts enters at an index
 * that is compared as well.
 */
import { emptyMachineState } from '../../kv/machine.ts';
import { encodeResult } from '../../kv/result-codec.ts';
import type { MachineState, StateWrite, ValueRecord } from '../../kv/types.ts';
import type { PartitionId } from '../../replica/ports.ts';
import { Violation } from '../violation.ts';
import { isSameBytes, named } from './entries.ts';

interface AppliedStep {
  readonly writes: readonly StateWrite[];
  readonly machineState: MachineState;
  readonly firstBy: string;
}

const beforeFirst: AppliedStep = {
  writes: [],
  machineState: emptyMachineState,
  firstBy: 'everyone',
};

export class AppliedSteps {
  readonly #partition: PartitionId;
  /** By index. */
  readonly #steps: AppliedStep[] = [beforeFirst];

  constructor(partition: PartitionId) {
    this.#partition = partition;
  }

  applied(node: string, writes: readonly StateWrite[], machineState: MachineState): void {
    const step = this.#steps[machineState.appliedIndex];
    if (step === undefined) {
      this.#steps[machineState.appliedIndex] = { writes, machineState, firstBy: node };
      return;
    }
    if (!isSameWrites(step.writes, writes)) {
      const entry = named({ index: machineState.appliedIndex, term: machineState.appliedTerm });
      this.#fail(`entry ${entry} changed other keys or values on ${node} than on ${step.firstBy}`);
    }
    this.#compare(node, step, machineState);
  }

  /** A replica goes on from this state, which another one, or it itself, has had after applying that index. */
  reached(node: string, machineState: MachineState, how: string): void {
    const step = this.#steps[machineState.appliedIndex];
    if (step === undefined) this.#fail(`${node} ${how} a state at ${machineState.appliedIndex}, never applied`);
    this.#compare(node, step, machineState);
  }

  #compare(node: string, { machineState: first, firstBy }: AppliedStep, machineState: MachineState): void {
    for (const field of ['appliedTerm', 'logTime', 'keys', 'bytes', 'expiring', 'remembered'] as const) {
      if (first[field] === machineState[field]) continue;
      const values = `${machineState[field]} on ${node} and ${first[field]} on ${firstBy}`;
      this.#fail(`after applying ${machineState.appliedIndex}, ${field} is ${values}`);
    }
  }

  #fail(message: string): never {
    throw new Violation('state machine safety', message, this.#partition);
  }
}

function isSameWrites(a: readonly StateWrite[], b: readonly StateWrite[]): boolean {
  if (a.length !== b.length) return false;
  for (let position = 0; position < a.length; position += 1) {
    if (!isSameWrite(a[position] as StateWrite, b[position] as StateWrite)) return false;
  }
  return true;
}

function isSameWrite(a: StateWrite, b: StateWrite): boolean {
  switch (a.type) {
    case 'put': {
      if (b.type !== 'put' || a.expiresBefore !== b.expiresBefore) return false;
      return isSameBytes(a.key, b.key) && isSameRecord(a.record, b.record);
    }
    case 'delete':
      return b.type === 'delete' && a.expiresBefore === b.expiresBefore && isSameBytes(a.key, b.key);
    case 'forget':
      return b.type === 'forget' && a.at === b.at && isSameBytes(a.name, b.name);
    case 'remember':
      return (
        b.type === 'remember' &&
        isSameBytes(a.name, b.name) &&
        a.remembered.at === b.remembered.at &&
        isSameBytes(a.remembered.digest, b.remembered.digest) &&
        isSameBytes(encodeResult(a.remembered.result), encodeResult(b.remembered.result))
      );
  }
}

function isSameRecord(a: ValueRecord, b: ValueRecord): boolean {
  return (
    a.revision === b.revision &&
    a.incarnation === b.incarnation &&
    a.expiresAt === b.expiresAt &&
    a.contentType === b.contentType &&
    isSameBytes(a.value, b.value)
  );
}
