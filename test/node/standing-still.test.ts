/** A node that stood still for an election timeout finds that out by itself, and leads nothing on the strength of what was. */
import { expect, test } from 'vitest';
import { defaults } from '../../src/config.ts';
import { Nodes } from './world.ts';

const { tickMs, electionTicksMin, quiesceTicks } = defaults.raft;
const electionMs = electionTicksMin * tickMs;
const silentWithinMs = 2 * quiesceTicks * tickMs;

/** n1 leads a group that has fallen silent, so that nobody else notices anything by time. */
async function silent(): Promise<Nodes> {
  const nodes = await Nodes.start();
  await nodes.lead('n1');
  await nodes.run(silentWithinMs);
  expect(nodes.replica('n1').status()).toMatchObject({ role: 'leader', quiesced: true });
  return nodes;
}

async function standStill(nodes: Nodes, ms: number): Promise<void> {
  nodes.node('n1').pause();
  await nodes.run(ms);
  nodes.node('n1').resume();
  await nodes.run(1);
}

test('its leaderships are given up, and somebody is elected anew', async () => {
  const nodes = await silent();
  const { term } = nodes.replica('n1').status();
  await standStill(nodes, electionMs + tickMs);
  expect(nodes.replica('n1').status()).toMatchObject({ role: 'follower', term, leader: 0 });
  await nodes.until(() => nodes.leaders().length === 1);
  expect((await nodes.done(nodes.get('n2'))).outcome).toMatchObject({ type: 'value', origin: { term: term + 1 } });
});

test('a shorter pause, such as of the garbage collector, changes nothing', async () => {
  const nodes = await silent();
  const { term } = nodes.replica('n1').status();
  await standStill(nodes, electionMs - 2 * tickMs);
  await nodes.run(silentWithinMs);
  expect(nodes.replica('n1').status()).toMatchObject({ role: 'leader', term });
});
