/** The arrows of the architecture, which go down only: cli → config → plugins → chat → core. */
const layer = (from, allowed, comment) => ({
  name: `${from.replace('src/', '')}-imports`,
  comment,
  severity: 'error',
  from: { path: `^${from}/` },
  to: { path: '^src/', pathNot: allowed.map((path) => `^${path}/`) },
})

export default {
  forbidden: [
    layer('src/core', ['src/core'], 'core knows no model, no message and no plugin.'),
    layer('src/chat', ['src/chat', 'src/core'], 'chat is what every plugin speaks: it names none.'),
    layer('src/config', ['src/config', 'src/plugins', 'src/chat', 'src/core'], 'config stands on the plugins, below the command line.'),
    layer('src/cli', ['src/cli', 'src/config', 'src/plugins', 'src/chat', 'src/core'], 'The command line imports all but the test kit.'),
    {
      name: 'plugin-imports',
      comment: 'A plugin imports core, chat and its own folder. What it needs of another plugin, it asks of a slot.',
      severity: 'error',
      from: { path: '^src/plugins/([^/]+)/' },
      to: { path: '^src/', pathNot: ['^src/(core|chat)/', '^src/plugins/$1/'] },
    },
    {
      name: 'plugin-doors',
      comment: 'Each plugin has one public file.',
      severity: 'error',
      from: { pathNot: '^src/plugins/' },
      to: { path: '^src/plugins/[^/]+/', pathNot: '^src/plugins/[^/]+/index\\.ts$' },
    },
    {
      name: 'core-packages',
      comment: 'The kernel stands on mitt and Node alone; the Standard Schema gives it types.',
      severity: 'error',
      from: { path: '^src/core/' },
      to: { dependencyTypesNot: ['local', 'core', 'type-only'], pathNot: 'node_modules/mitt/' },
    },
    {
      name: 'core-type-packages',
      severity: 'error',
      from: { path: '^src/core/' },
      to: { dependencyTypes: ['type-only'], path: 'node_modules/', pathNot: 'node_modules/(mitt|@standard-schema/spec)/' },
    },
    {
      name: 'test-kit',
      comment: 'The test kit is for tests: nothing that ships to users runs it.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/testing/' },
      to: { path: '^src/testing/' },
    },
    {
      name: 'cycles',
      comment: 'Files that need each other at run time cannot be read or loaded one by one.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'undeclared',
      comment: 'What ships imports only what package.json declares.',
      severity: 'error',
      from: { path: '^src/' },
      // clipanion is built into the command: see tsdown.config.ts.
      to: {
        pathNot: 'node_modules/clipanion/',
        dependencyTypes: ['npm-no-pkg', 'npm-unknown', 'unknown', 'npm-dev'],
        dependencyTypesNot: ['npm', 'npm-peer'],
      },
    },
    { name: 'unresolved', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
}
