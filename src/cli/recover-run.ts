/** Runs `flotilla recover`: looks, shows, asks, does. Exit code 1 when it was refused, and then nothing was done; 2 for wrong usage. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { decide, type Decision } from '../recovery/decide.ts';
import { decodeSurvey, encodeSurvey } from '../recovery/survey-file.ts';
import type { Survey } from '../recovery/survey.ts';
import { openSurvivor, type Survivor } from '../recovery/survivor.ts';
import { decisionLines, doneLines, surveyLines } from './recover-lines.ts';
import { shortPath, usageExitCode } from './report.ts';

export interface RecoverWords {
  readonly data: string;
  readonly lost: readonly string[];
  readonly plan?: string;
  readonly plans?: readonly string[];
  readonly unsafe?: boolean;
  readonly beginEmpty?: boolean;
  readonly clusterNameIs?: string;
}

type NodeIds = Parameters<typeof decide>[1];

const refusedExitCode = 1;

export async function runRecover(words: RecoverWords): Promise<void> {
  const plans = (words.plans ?? []).map(readPlan);
  const bad = plans.flatMap((plan) => (typeof plan === 'string' ? [plan] : []));
  if (bad.length > 0) return refuse(bad, usageExitCode);
  const opened = await openSurvivor(words.data).catch((error: unknown) => {
    // A disk that can't be believed is no base for anything: its message says which record.
    if (!(error instanceof Error) || error.name !== 'StorageDamage') throw error;
    return { type: 'refused', problem: `${shortPath(words.data)} is damaged: ${error.message}` } as const;
  });
  if (opened.type === 'refused') return refuse([opened.problem]);
  const { survivor } = opened;
  try {
    await recover(survivor, words, plans as readonly Survey[]);
  } finally {
    await survivor.close();
  }
}

async function recover(survivor: Survivor, words: RecoverWords, plans: readonly Survey[]): Promise<void> {
  const { survey, unfinished } = survivor;
  const { nodeId, clusterName } = survey;
  say([
    `${nodeId} of the cluster ${clusterName}, in ${shortPath(words.data)}. Lost for good: ${words.lost.join(', ')}.`,
  ]);
  if (unfinished !== undefined) {
    const what = `The recovery that was begun at ${unfinished.at} (decision ${unfinished.decision})`;
    if (words.unsafe !== true) return say([`${what} is not at its end: once more with --unsafe.`]);
    return say([`${what} is at its end now, as ${shortPath(survivor.finish(unfinished))} says.`]);
  }
  if (words.plan !== undefined) {
    writeFileSync(words.plan, encodeSurvey(survey), { mode: 0o600 });
    const then = `Written to ${words.plan}. Give it to --plans on the other nodes that are left; don't start ${nodeId} meanwhile.`;
    return say(['', ...surveyLines(survey), '', then]);
  }
  const own = plans.find((plan) => plan.nodeId === nodeId);
  if (own !== undefined && encodeSurvey(own) !== encodeSurvey(survey)) {
    return refuse([`${nodeId} has changed since its plan was made: make all plans anew, and start no node in between`]);
  }
  const surveys = [survey, ...plans.filter((plan) => plan !== own)];
  const decided = decide(surveys, words.lost as NodeIds);
  if (decided.type === 'refused') return refuse(decided.problems);
  say(['', ...decisionLines(decided)]);
  if (decided.beginnings.length > 0) await maybeDo(survivor, words, decided);
}

async function maybeDo(survivor: Survivor, words: RecoverWords, decision: Decision): Promise<void> {
  const { nodeId, clusterName } = survivor.survey;
  const isEmptyAmong = decision.verdicts.some(({ type }) => type === 'empty');
  if (words.unsafe !== true) return say(['', 'Nothing was done. To do it: once more with --unsafe.']);
  if (isEmptyAmong && words.beginEmpty !== true) {
    return refuse(['of some partitions nothing is left: add --begin-empty to let them begin with nothing']);
  }
  const confirmed = await confirm(clusterName, words.clusterNameIs);
  if ('refused' in confirmed) return refuse([`${confirmed.refused}. Nothing was done.`]);
  const audit = await survivor.recover(decision, confirmed.how);
  say(['', ...doneLines(decision, nodeId, shortPath(audit))]);
}

export interface Terminal {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly output: NodeJS.WritableStream;
}

/** The name of the cluster, from whoever means this one: typed, or given on the command line. */
export async function confirm(
  clusterName: string,
  given: string | undefined,
  { input, output }: Terminal = { input: process.stdin, output: process.stdout },
): Promise<{ readonly how: 'typed' | 'option' } | { readonly refused: string }> {
  if (given === undefined && input.isTTY !== true) {
    return { refused: "this wants the cluster's name typed at a terminal, or --cluster-name-is <name>" };
  }
  const name = given ?? (await ask({ input, output }));
  if (name !== clusterName) return { refused: `${JSON.stringify(name)} is not the name of this cluster` };
  return { how: given === undefined ? 'typed' : 'option' };
}

async function ask({ input, output }: Terminal): Promise<string> {
  output.write('\n');
  const lines = createInterface({ input, output });
  // Ended without a line, as by Ctrl-D: no name.
  const ended = new Promise<string>((resolve) => lines.once('close', () => resolve('')));
  try {
    return (await Promise.race([lines.question("Type the cluster's name to go on: "), ended])).trim();
  } finally {
    lines.close();
  }
}

/** The survey, or what is wrong with the file. */
function readPlan(file: string): Survey | string {
  try {
    return decodeSurvey(readFileSync(file, 'utf8')) ?? `${file} is no plan that flotilla recover --plan has written`;
  } catch (error) {
    return `${file} can't be read: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function say(lines: readonly string[]): void {
  for (const line of lines) process.stdout.write(`${line}\n`);
}

function refuse(problems: readonly string[], exitCode = refusedExitCode): void {
  for (const problem of problems) process.stderr.write(`flotilla: ${problem}\n`);
  process.exitCode = exitCode;
}
