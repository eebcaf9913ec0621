/** One node as a real process of its own, started from the built program. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The same place seen from `src/testing` and from `dist/testing`: tests run the built program, never the sources. */
const [bundle, entry] = ['flotilla.js', 'main.js'].map((file) =>
  fileURLToPath(new URL(`../../dist/${file}`, import.meta.url)),
) as [string, string];
const program = existsSync(bundle) ? bundle : entry;

export interface NodeProcessOptions {
  readonly nodeId: string;
  readonly configFile: string;
  /** Takes the node's stderr; appended to. */
  readonly logFile: string;
  /** Beside this process's own variables. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** How a process ended: by itself with a code, or by a signal. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export type NodeProcessState = 'running' | 'paused' | 'exited';

interface Run {
  readonly child: ChildProcess;
  readonly exited: Promise<Exit>;
  readonly ready: Promise<void>;
  state: NodeProcessState;
}

/**
 * For the Node that runs a node. V8's old generation may grow to twice what was left of it by the last full collection. By itself V8 begins
 * the next one as soon as there is less room than the young generation could need; while a state is sent or taken it collected all
 * the time, five times a second, in several threads, and everybody else on the machine waited.
 */
export const nodeFlags = ['--heap-growing-percent=100'];

/**
 * Starts, stops, pauses and starts again. The process holds an IPC channel to this one and stops when that closes, however
 * this process ends.
 */
export class NodeProcess {
  readonly nodeId: string;
  readonly #options: NodeProcessOptions;
  #run: Run | undefined;

  constructor(options: NodeProcessOptions) {
    this.nodeId = options.nodeId;
    this.#options = options;
  }

  get state(): NodeProcessState {
    return this.#run?.state ?? 'exited';
  }

  /** Of the running process, or of the last one. Undefined before the first start. */
  get pid(): number | undefined {
    return this.#run?.child.pid;
  }

  /** Starts the process and resolves once it printed its ready line. Rejects with its last words when it exits before. */
  start(): Promise<void> {
    if (this.state !== 'exited') throw new Error(`${this.nodeId} runs already, as process ${String(this.pid)}`);
    const log = openSync(this.#options.logFile, 'a');
    const child = spawn(process.execPath, [...nodeFlags, program, 'start', '--config', this.#options.configFile], {
      stdio: ['ignore', 'pipe', log, 'ipc'],
      env: { ...environmentWithoutOurs(), ...this.#options.environment },
    });
    closeSync(log);
    const exited = new Promise<Exit>((resolve) => {
      child.once('error', () => resolve({ code: null, signal: null }));
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    const run: Run = { child, exited, ready: this.#untilReady(child, exited), state: 'running' };
    this.#run = run;
    run.ready.catch(() => undefined); // Heard by whoever awaits `start`; elsewhere the exit is what counts.
    void exited.then(() => (run.state = 'exited'));
    return run.ready;
  }

  /** Resolves when the process that runs now has ended; at once when none does. */
  async exited(): Promise<Exit | undefined> {
    return this.#run?.exited;
  }

  /** Sends a signal that ends the process, and resolves when it has ended. Does nothing when it has already. */
  async kill(signal: 'SIGKILL' | 'SIGTERM' | 'SIGINT' = 'SIGKILL'): Promise<void> {
    const run = this.#run;
    if (run === undefined || run.state === 'exited') return;
    // A stopped process hears nothing but SIGKILL until it goes on.
    if (run.state === 'paused' && signal !== 'SIGKILL') this.resume();
    run.child.kill(signal);
    await run.exited;
  }

  /** Asks the process to finish what is under way and exit. Asking twice is asking once, unlike a signal. */
  requestStop(): void {
    const run = this.#run;
    if (run === undefined || run.state === 'exited') return;
    if (run.state === 'paused') this.resume();
    if (run.child.connected) run.child.send('stop', () => undefined); // An error means that it is gone already.
  }

  /** Freezes the process (SIGSTOP): its connections stay open and nothing is answered. */
  pause(): void {
    this.#signal('running', 'SIGSTOP', 'paused');
  }

  resume(): void {
    this.#signal('paused', 'SIGCONT', 'running');
  }

  /** All that the node has written to stderr, over all its starts. */
  stderr(): string {
    return readFileSync(this.#options.logFile, 'utf8');
  }

  /** The last line a node wrote: for one that could not start, the reason. */
  lastWords(): string {
    return this.stderr().trimEnd().split('\n').at(-1) ?? '';
  }

  #signal(from: NodeProcessState, signal: NodeJS.Signals, to: NodeProcessState): void {
    const run = this.#run;
    if (run === undefined || run.state !== from) throw new Error(`${this.nodeId} is ${this.state}, not ${from}`);
    run.child.kill(signal);
    run.state = to;
  }

  async #untilReady(child: ChildProcess, exited: Promise<Exit>): Promise<void> {
    const ready = new Promise<'ready'>((resolve) => {
      if (child.stdout === null) return;
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (line.startsWith(`ready nodeId=${this.nodeId} `)) resolve('ready');
      });
    });
    const first = await Promise.race([ready, exited]);
    if (first === 'ready') return;
    const how = first.signal ?? `code ${String(first.code)}`;
    throw new Error(`${this.nodeId} exited with ${how} before it was ready: ${this.lastWords()}`);
  }
}

/** A variable meant for one node of the outer shell would override the configuration file of every node. */
function environmentWithoutOurs(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('FLOTILLA_')));
}
