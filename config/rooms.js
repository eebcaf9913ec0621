/**
 * The rooms: who may import whom. One table, and the lint rule that enforces it. `src/README.md` says why.
 *
 * @typedef {object} Room
 * @property {string[]} values   rooms, or single files of one, that it may use; it may always use itself
 * @property {string[]} [types]  the same, of which it may import types only
 * @property {string[]} [packages]  packages it may use, `node:` for all of Node's own modules
 */

/** Files directly in `src/`, open to every room; the pure rooms name theirs themselves. */
const shared = ['assert', 'bytes', 'config', 'logger'];

/** @type {Record<string, Room>} */
export const rooms = {
  raft: { values: ['assert', 'bytes', 'planted'] },
  kv: { values: ['assert', 'bytes', 'planted'] },
  replica: { values: ['raft', 'kv', 'planted', ...shared], packages: ['node:'] },
  storage: {
    values: ['raft/types', 'kv', 'planted', ...shared],
    types: ['replica/ports', 'metrics/ports'],
    packages: ['node:', 'classic-level', '@node-rs/crc32'],
  },
  transport: {
    values: ['raft/types', 'kv/types', ...shared],
    types: ['replica/ports'],
    packages: ['node:', '@msgpack/msgpack'],
  },
  cluster: { values: ['raft', 'kv', 'replica', 'planted', ...shared], packages: ['node:'] },
  node: {
    values: ['raft', 'kv', 'replica', 'storage', 'transport', 'cluster', 'planted', ...shared],
    types: ['metrics/ports'],
    packages: ['node:'],
  },
  /** What a stopped node's directory holds, and how partitions begin anew from it: it reads all, and runs nothing. */
  recovery: {
    values: ['raft', 'kv', 'replica', 'storage', 'cluster', ...shared],
    packages: ['node:'],
  },
  http: {
    values: ['api', 'cluster', 'kv', 'dashboard', ...shared],
    types: ['replica/ports', 'metrics/ports'],
    packages: ['node:', 'express', 'ajv'],
  },
  /** What is counted reaches it through `ports`; it alone knows in which format that is told. */
  metrics: {
    values: ['api/errors', ...shared],
    types: ['cluster/types', 'replica/options'],
    packages: ['node:', 'prom-client'],
  },
  api: { values: shared, types: ['kv/types'], packages: ['node:', 'ajv'] },
  /** The key hash is frozen for good and imports nothing: by it a client finds the leader without asking. */
  client: { values: ['api', 'cluster/hash', ...shared], packages: ['node:', 'undici'] },
  dashboard: { values: ['api'], packages: ['node:'] },
  history: { values: shared },
  testing: { values: ['client', 'api', 'history', ...shared], packages: ['node:', 'undici'] },
  /** Chance is drawn as in the simulator; of the wire it reads who dials. */
  chaos: { values: ['testing', 'history', 'sim/random', 'transport', ...shared], packages: ['node:'] },
  cli: {
    values: ['client', 'api', 'testing', 'history', 'sim', 'chaos', 'recovery', ...shared],
    packages: ['node:', 'commander', 'ajv'],
  },
  /** The one room that may plant a bug. */
  sim: {
    values: ['raft', 'kv', 'replica', 'storage', 'transport', 'cluster', 'node', 'history', 'seeded-bugs', ...shared],
    packages: ['node:'],
  },
  /** `main.ts` composes: what runs a node is given to the command line, not imported by it. */
  main: { values: ['cli', 'node', 'http', 'metrics', ...shared], packages: ['node:'] },
  /** The launcher: runs before anything is built. */
  flotilla: { values: [], packages: ['node:'] },
  assert: { values: [], packages: [] },
  bytes: { values: ['assert'], packages: [] },
  config: { values: [], packages: [] },
  planted: { values: ['seeded-bugs'], packages: [] },
  'seeded-bugs': { values: [], packages: [] },
  logger: { values: [], packages: ['node:', 'pino'] },
};

/** Rooms without I/O, clock, chance or waiting: the simulator relies on it, and so does every replica agreeing. */
export const pureRooms = ['raft', 'kv'];

/** @type {import('eslint').Rule.RuleModule} */
export const roomsRule = {
  meta: {
    type: 'problem',
    schema: [],
    messages: {
      room: 'The room "{{from}}" may not import "{{to}}" (config/rooms.js).',
      typesOnly: 'The room "{{from}}" may import only types of "{{to}}": write "import type" (config/rooms.js).',
      package: 'The room "{{from}}" may not use the package "{{to}}" (config/rooms.js).',
      unknown: 'The room "{{from}}" is not in the table (config/rooms.js).',
    },
  },
  create(context) {
    const from = place(context.filename);
    if (from === undefined) return {};
    const room = rooms[from.room];
    /** @param {any} node @param {any} source @param {boolean} typesOnly */
    const check = (node, source, typesOnly) => {
      if (source?.type !== 'Literal' || typeof source.value !== 'string') return;
      const verdict = judge(from, room, context.filename, source.value, typesOnly);
      if (verdict !== undefined) context.report({ node, ...verdict });
    };
    return {
      ImportDeclaration: (node) => check(node, node.source, onlyTypes(node, node.specifiers, 'importKind')),
      ExportNamedDeclaration: (node) => check(node, node.source, onlyTypes(node, node.specifiers, 'exportKind')),
      ExportAllDeclaration: (node) => check(node, node.source, /** @type {any} */ (node).exportKind === 'type'),
      ImportExpression: (node) => check(node, node.source, false),
      TSImportType: (/** @type {any} */ node) => check(node, node.source ?? node.argument?.literal, true),
    };
  },
};

/** @param {any} node @param {any[]} specifiers @param {'importKind' | 'exportKind'} kind */
function onlyTypes(node, specifiers, kind) {
  return (
    node[kind] === 'type' || (specifiers.length > 0 && specifiers.every((specifier) => specifier[kind] === 'type'))
  );
}

/**
 * @param {{ room: string, path: string }} from @param {Room | undefined} room
 * @param {string} filename @param {string} source @param {boolean} typesOnly
 */
function judge(from, room, filename, source, typesOnly) {
  if (room === undefined) return { messageId: 'unknown', data: { from: from.room } };
  if (!source.startsWith('.')) {
    const name = source.startsWith('node:') ? 'node:' : source.replace(/^(@[^/]+\/[^/]+|[^/]+).*$/, '$1');
    if (room.packages?.includes(name)) return undefined;
    return { messageId: 'package', data: { from: from.room, to: source } };
  }
  const to = place(new URL(source, `file://${filename}`).pathname);
  const data = { from: from.room, to: to === undefined ? source : to.path };
  if (to === undefined) return { messageId: 'room', data };
  if (to.room === from.room || room.values.includes(to.room) || room.values.includes(to.path)) return undefined;
  if (!(room.types?.includes(to.room) || room.types?.includes(to.path))) return { messageId: 'room', data };
  return typesOnly ? undefined : { messageId: 'typesOnly', data };
}

/** Where in `src/` a file lies: its room, and its path without the ending. @param {string} filename */
function place(filename) {
  const path = /\/src\/(.+?)\.(?:ts|js)$/.exec(filename)?.[1];
  return path === undefined ? undefined : { room: path.split('/')[0] ?? '', path };
}
