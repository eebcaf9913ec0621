/** `npm run bench [-- NAME [flags]]`: see README.md for what each measures and how to read it. */
const [first, ...rest] = process.argv.slice(2);
const named = first !== undefined && !first.startsWith('-');
const name = named ? first : 'compare';
const args = named ? rest : process.argv.slice(2);

switch (name) {
  case 'compare': {
    const { compare } = await import('./compare.js');
    await compare(args);
    break;
  }
  case 'level': {
    const { level } = await import('./level.js');
    await level(args);
    break;
  }
  case 'failover': {
    const { failover } = await import('./failover.js');
    await failover(args);
    break;
  }
  case 'database':
    process.argv.splice(2, Infinity, ...args);
    await import('./database.js');
    break;
  default:
    console.error(`there is no bench "${name}": compare, level, failover or database`);
    process.exitCode = 2;
}
