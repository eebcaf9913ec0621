/**
 * Puts what a node runs into a few files: `node config/bundle.js <directory>` reads the compiled program there and writes
 * `flotilla.js` beside it, with `bundle/`. Three hundred modules, those of packages most of them, take longer to find and to read
 * than to run: it makes a quarter of a second of a start. Packages with files of their own (native code, threads) stay what they are, and so do
 * the commands that start other programs or threads from the files beside them.
 */
import { build } from 'rolldown';

const [directory] = process.argv.slice(2);
if (directory === undefined) throw new Error('usage: node config/bundle.js <directory of the compiled program>');

const packagesLeft = ['classic-level', '@node-rs/crc32', 'pino', 'undici'];
const commandsLeft = /\/cli\/(?:sim|dev|check)\.js$/;

await build({
  input: `${directory}/main.js`,
  platform: 'node',
  external: (id) => packagesLeft.includes(id) || commandsLeft.test(id),
  output: { dir: directory, format: 'esm', entryFileNames: 'flotilla.js', chunkFileNames: 'bundle/[name].js' },
  logLevel: 'warn',
});
