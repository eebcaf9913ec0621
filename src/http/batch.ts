/**
 * Many operations over any partitions. The node that was asked sends each partition its part; parts run beside one another,
 * and within a part operations run in order. Each operation is atomic, the whole is not.
 */
import type { KvOutcome, KvRequest } from '../cluster/types.ts';
import { encodeCommand } from '../kv/command.ts';
import { operationBytes } from '../kv/operation.ts';
import type { BatchItem, GetOperation, OperationResult } from '../kv/types.ts';
import { failure, type Failure } from './failure.ts';
import type { PartitionId } from '../replica/ports.ts';
import { outcomeFailure } from './outcome-failure.ts';

export interface BatchOperation {
  /** Where it stands in the request, and its result in the answer. */
  readonly position: number;
  readonly item: BatchItem;
}

/** What one operation came to. */
export type BatchResult =
  | {
      readonly type: 'result';
      readonly partition: PartitionId;
      readonly result: OperationResult;
      readonly logTime: number;
    }
  | { readonly type: 'failure'; readonly partition: PartitionId | undefined; readonly failure: Failure };

export interface BatchPorts {
  partitionOf(key: Uint8Array): PartitionId;
  execute(request: KvRequest): Promise<KvOutcome>;
  /** One command may have so many bytes. */
  readonly commandBytesMax: number;
  /** Values that are read may have so many bytes together. */
  readonly readBytesMax: number;
}

/** One result for each operation, in their order. */
export async function runBatch(operations: readonly BatchOperation[], ports: BatchPorts): Promise<BatchResult[]> {
  const results: BatchResult[] = [];
  const budget = { bytes: ports.readBytesMax };
  const parts = partsOf(operations, ports);
  await Promise.all(
    [...parts].map(async ([partition, part]) => {
      for (const step of stepsOf(part, ports.commandBytesMax)) {
        const settled = await runStep(step, { partition, ports, budget });
        for (const [i, result] of settled.entries()) results[(step[i] as BatchOperation).position] = result;
      }
    }),
  );
  return results;
}

function partsOf(operations: readonly BatchOperation[], ports: BatchPorts): Map<PartitionId, BatchOperation[]> {
  const parts = new Map<PartitionId, BatchOperation[]>();
  for (const operation of operations) {
    const partition = ports.partitionOf(operation.item.operation.key);
    const part = parts.get(partition);
    if (part === undefined) parts.set(partition, [operation]);
    else part.push(operation);
  }
  return parts;
}

/**
 * Writes that follow one another go together, as far as one command takes them; reads that do go at the same time. What is
 * read never goes through the log.
 */
function stepsOf(part: readonly BatchOperation[], commandBytesMax: number): BatchOperation[][] {
  const steps: BatchOperation[][] = [];
  let bytes = 0;
  for (const operation of part) {
    const size = bytesInCommand(operation.item);
    const step = steps.at(-1);
    const same = step?.[0] !== undefined && isRead(step[0]) === isRead(operation);
    if (same && (isRead(operation) || bytes + size <= commandBytesMax)) {
      step.push(operation);
      bytes += size;
    } else {
      steps.push([operation]);
      bytes = commandOverheadBytes + size;
    }
  }
  return steps;
}

/** Header and frame of a batch command. */
const commandOverheadBytes = 64;
/** Length, name and digest of one of its operations, at most. */
const itemOverheadBytes = 300;

function bytesInCommand({ operation }: BatchItem): number {
  return operationBytes(operation) + itemOverheadBytes;
}

function isRead({ item }: BatchOperation): boolean {
  return item.operation.type === 'get';
}

function isDelete({ item }: BatchOperation): boolean {
  return item.operation.type === 'delete';
}

interface StepContext {
  readonly partition: PartitionId;
  readonly ports: BatchPorts;
  readonly budget: { bytes: number };
}

function runStep(step: readonly BatchOperation[], context: StepContext): Promise<readonly BatchResult[]> {
  const [first] = step;
  if (first !== undefined && isRead(first)) {
    return Promise.all(step.map(({ item }) => read(item.operation as GetOperation, context)));
  }
  return write(step, context);
}

async function read({ key }: GetOperation, { partition, ports, budget }: StepContext): Promise<BatchResult> {
  const outcome = await ports.execute({ type: 'read', key });
  if (outcome.type !== 'value') return failed(partition, outcome, 'read');
  const { record, logTime } = outcome;
  if (record === undefined) return { type: 'result', partition, result: { type: 'not_found' }, logTime };
  budget.bytes -= record.value.length;
  if (budget.bytes >= 0) return { type: 'result', partition, result: { type: 'value', record }, logTime };
  const detail = `The values of one answer may have ${ports.readBytesMax} bytes together: read fewer keys at once.`;
  return { type: 'failure', partition, failure: failure('value_too_large', detail) };
}

async function write(step: readonly BatchOperation[], context: StepContext): Promise<readonly BatchResult[]> {
  const { partition, ports } = context;
  const items = step.map(({ item }) => item);
  const { key } = (items[0] as BatchItem).operation;
  const outcome = await ports.execute({ type: 'write', key, body: encodeCommand({ type: 'batch', items }) });
  if (outcome.type !== 'done' || outcome.result.type !== 'batch') {
    const one = failed(partition, outcome, 'write');
    const deletes = step.filter(isDelete);
    if (outcome.type !== 'disk_full' || deletes.length === 0 || deletes.length === step.length)
      return step.map(() => one);
    // What needs no room is not refused for the sake of what does.
    const deleted = (await write(deletes, context)).values();
    return step.map((operation) => (isDelete(operation) ? (deleted.next().value ?? one) : one));
  }
  const { result, logTime } = outcome;
  return result.results.map((one) => ({ type: 'result', partition, result: one, logTime }));
}

function failed(partition: PartitionId, outcome: KvOutcome, kind: 'read' | 'write'): BatchResult {
  return { type: 'failure', partition, failure: outcomeFailure(outcome, kind, '') };
}
