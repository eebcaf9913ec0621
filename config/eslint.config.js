import { fileURLToPath } from 'node:url';
import tseslint from 'typescript-eslint';
import { pureRooms, roomsRule } from './rooms.js';

const root = fileURLToPath(new URL('..', import.meta.url));

const fromOutside = 'A pure room takes time, chance and I/O as arguments and never waits (config/rooms.js).';
const outsideGlobals = [
  ...['Date', 'performance', 'Intl', 'process', 'crypto', 'fetch', 'console', 'Promise', 'queueMicrotask'],
  ...[
    'setTimeout',
    'setInterval',
    'setImmediate',
    'clearTimeout',
    'clearInterval',
    'clearImmediate',
    'structuredClone',
  ],
];

const soleTests = [
  {
    selector:
      'MemberExpression[object.name=/^(describe|it|test|suite)$/][property.name=/^(only|skip|todo)$/], ' +
      'MemberExpression[object.object.name=/^(describe|it|test|suite)$/][property.name=/^(only|skip|todo)$/]',
    message: 'Every test runs, every time.',
  },
];

export default tseslint.config(
  { ignores: ['dist/**', '.dist-*/**', 'data/**', 'node_modules/**', 'bench/results/**'] },
  {
    rules: {
      eqeqeq: 'error',
      'no-constant-condition': ['error', { checkLoops: false }],
      'no-dupe-keys': 'error',
      'no-duplicate-imports': ['error', { allowSeparateTypeImports: true }],
      'no-empty': 'error',
      'no-fallthrough': 'error',
      'no-loss-of-precision': 'error',
      'no-proto': 'error',
      'no-self-assign': 'error',
      'no-self-compare': 'error',
      'no-unreachable': 'error',
      'no-unsafe-finally': 'error',
      'no-unused-private-class-members': 'error',
      'no-var': 'error',
      'prefer-const': ['error', { ignoreReadBeforeAssign: true }],
      'require-yield': 'error',
      'use-isnan': 'error',
      'valid-typeof': 'error',
    },
  },
  {
    files: ['**/*.js'],
    rules: { 'no-undef': 'error', 'no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }] },
    languageOptions: {
      globals: Object.fromEntries(
        ['process', 'console', 'Buffer', 'URL', 'performance', 'setTimeout', 'clearTimeout', 'setInterval'].map(
          (name) => [name, 'readonly'],
        ),
      ),
    },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { project: 'config/tsconfig.check.json', tsconfigRootDir: root } },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': ['error', { disallowTypeAnnotations: false }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/require-await': 'off',
      // Slow, and about what is not here: enums, classes that merely look alike, deprecated calls.
      '@typescript-eslint/no-deprecated': 'off',
      '@typescript-eslint/no-unsafe-enum-assignment': 'off',
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      'no-console': 'error',
    },
  },
  { files: ['src/**'], plugins: { rooms: { rules: { imports: roomsRule } } }, rules: { 'rooms/imports': 'error' } },
  {
    files: pureRooms.map((room) => `src/${room}/**`),
    rules: {
      'no-restricted-globals': ['error', ...outsideGlobals.map((name) => ({ name, message: fromOutside }))],
      'no-restricted-properties': [
        'error',
        { object: 'Math', property: 'random', message: fromOutside },
        { property: 'localeCompare', message: 'Its order differs between machines; compare bytes.' },
        { property: 'toLocaleString', message: 'Its form differs between machines.' },
      ],
      'no-restricted-syntax': [
        'error',
        { selector: ':function[async=true]', message: fromOutside },
        { selector: 'AwaitExpression, ForOfStatement[await=true]', message: fromOutside },
        { selector: 'ImportExpression', message: fromOutside },
      ],
    },
  },
  { files: ['src/cli/**', 'bench/**', 'config/**'], rules: { 'no-console': 'off' } },
  {
    files: ['test/**'],
    // A wrong `!` fails the test it stands in.
    rules: { 'no-restricted-syntax': ['error', ...soleTests], '@typescript-eslint/no-non-null-assertion': 'off' },
  },
);
