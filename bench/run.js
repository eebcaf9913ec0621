/** `npm run bench [-- NAME [flags]]`: see README.md for what each measures and how to read it. */
import { constants } from 'node:os';

const [first, ...rest] = process.argv.slice(2);
const named = first !== undefined && !first.startsWith('-');
const name = named ? first : 'compare';
const args = named ? rest : process.argv.slice(2);

// By default a signal ends a process without its 'exit' handlers, and they are what ends nodes and removes directories.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => process.exit(128 + constants.signals[signal]));
}

const benches = {
  compare: async () => (await import('./compare.js')).compare(args),
  failover: async () => (await import('./failover.js')).failover(args),
  snapshot: async () => (await import('./snapshot.js')).snapshot(args),
  'log-growth': async () => (await import('./log-growth.js')).logGrowth(args),
  restart: async () => (await import('./restart.js')).restart(args),
  expiry: async () => (await import('./expiry.js')).expiry(args),
  scan: async () => (await import('./scan.js')).scan(args),
  increments: async () => (await import('./increments.js')).increments(args),
  watch: async () => (await import('./watch.js')).watch(args),
  overload: async () => (await import('./overload.js')).overload(args),
  crowd: async () => (await import('./crowd.js')).crowd(args),
  elastic: async () => (await import('./elastic.js')).elastic(args),
  move: async () => (await import('./move.js')).move(args),
  'dead-follower': async () => (await import('./dead-follower.js')).deadFollower(args),
  rolling: async () => (await import('./rolling.js')).rolling(args),
  idle: async () => (await import('./idle.js')).idle(args),
  'idle-nodes': async () => (await import('./idle-nodes.js')).idleNodes(args),
  level: async () => (await import('./level.js')).level(args),
  database: async () => {
    process.argv.splice(2, Infinity, ...args);
    await import('./database.js');
  },
};

if (Object.hasOwn(benches, name)) {
  await benches[name]();
} else {
  console.error(`there is no bench "${name}": ${Object.keys(benches).join(', ')}`);
  process.exitCode = 2;
}
