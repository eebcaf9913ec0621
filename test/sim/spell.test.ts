/** What the clients of a simulated world turn to for a while. */
import { expect, test } from 'vitest';
import { Random } from '../../src/sim/random.ts';
import { drawSpell, spellsAround } from '../../src/sim/spell.ts';

const all = { keys: ['a', 'b', 'c', 'd'], nodes: ['n1', 'n2', 'n3'], now: 100 };

test('without spells they turn to everything for ever', () => {
  expect(drawSpell(new Random(1), 0, all)).toEqual({
    keys: all.keys,
    nodes: all.nodes,
    reads: false,
    endsAt: Infinity,
  });
});

test('a spell leaves keys and nodes out, and never all of them', () => {
  const random = new Random(1);
  const spells = Array.from({ length: 200 }, () => drawSpell(random, 500, all));
  const sizes = (of: 'keys' | 'nodes') => [...new Set(spells.map((spell) => new Set(spell[of]).size))].toSorted();
  expect([sizes('keys'), sizes('nodes')]).toEqual([
    [2, 3, 4],
    [1, 2, 3],
  ]);
  for (const { endsAt } of spells) expect(endsAt).toBeGreaterThan(all.now);
});

test('around a leader that was cut off they keep to the others first, and then read from it', () => {
  const [away, back] = spellsAround(new Random(1), 'n2', all);
  expect(away).toMatchObject({ keys: all.keys, nodes: ['n1', 'n3'], reads: false });
  expect(back).toMatchObject({ keys: all.keys, nodes: ['n2'], reads: true });
  expect(away.endsAt).toBeGreaterThan(all.now);
  expect(back.endsAt).toBeGreaterThan(away.endsAt);
});
