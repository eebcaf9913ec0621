/** A thread that checks the tables that it was started with. */
import { parentPort, workerData } from 'node:worker_threads';
import { tablesProblem, type LiveTable } from './table-check.ts';

parentPort?.postMessage(tablesProblem(workerData as readonly LiveTable[]));
