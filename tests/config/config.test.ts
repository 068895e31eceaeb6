import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { defaultPlugins, mergedPlugins } from '../../src/config/open.ts'
import type { MaiConfig } from '../../src/config/schema.ts'
import { definePlugin, type Plugin } from '../../src/core/plugin.ts'

let folder: string
beforeAll(async () => {
  folder = await fs.realpath(await fs.mkdtemp(path.join(os.tmpdir(), 'mai-config-')))
})
afterAll(() => fs.rm(folder, { recursive: true, force: true }))

async function written(name: string, text: string, mode = 0o600): Promise<string> {
  const file = path.join(folder, name)
  await fs.mkdir(path.dirname(file), { recursive: true })
  await fs.writeFile(file, text)
  await fs.chmod(file, mode)
  return file
}

const plugin = (name: string, provides: readonly ('policy' | 'store' | 'backend' | 'context')[] = []): Plugin =>
  definePlugin({ name, apiVersion: 1, provides, setup() {} })()
const names = (plugins: readonly Plugin[]): string[] => plugins.map(({ definition }) => definition.name)

describe('the plugins that run', () => {
  const defaults = [plugin('store', ['store']), plugin('switching', ['policy']), plugin('one', ['backend']), plugin('two', ['backend'])]
  const merged = (config: MaiConfig): string[] => names(mergedPlugins(config, defaults))

  it.each<[string, MaiConfig, string[]]>([
    ['are the default ones without a configuration', {}, ['store', 'switching', 'one', 'two']],
    ['are joined by others', { plugins: [plugin('mine')] }, ['store', 'switching', 'one', 'two', 'mine']],
    [
      'are replaced in their place by one of the same name',
      { plugins: [plugin('one', ['backend'])] },
      ['store', 'switching', 'one', 'two'],
    ],
    ['are replaced by one that answers the same question', { plugins: [plugin('loyal', ['policy'])] }, ['store', 'one', 'two', 'loyal']],
    ['stand beside others of a list', { plugins: [plugin('three', ['backend'])] }, ['store', 'switching', 'one', 'two', 'three']],
    ['can be left out', { disable: ['two'] }, ['store', 'switching', 'one']],
    ['can be left out all together', { defaults: false, plugins: [plugin('mine')] }, ['mine']],
  ])('%s', (_, config, expected) => {
    expect(merged(config)).toEqual(expected)
  })

  it('are not silently left out by a name that none has', () => {
    expect(() => merged({ disable: ['nonsense'] })).toThrowError(
      expect.objectContaining({ code: 'MAI_CONFIG_INVALID', message: expect.stringContaining('nonsense') }),
    )
  })

  it('ask LM Studio before the embedded engine', () => {
    const order = names(defaultPlugins(false))
    expect(order.indexOf('lmstudio')).toBeLessThan(order.indexOf('llamacpp'))
    expect(names(mergedPlugins({ plugins: [plugin('lmstudio', ['backend'])] }, defaultPlugins(false)))).toEqual(order)
  })
})

describe('a configuration file', () => {
  it('is found above the present folder up to the project, and not beyond', async () => {
    await written('project/package.json', '{}')
    const file = await written('project/mai.config.ts', 'export default { unloadOnExit: true as boolean }\n')
    await fs.mkdir(path.join(folder, 'project/deep/er'), { recursive: true })
    expect(await loadConfig({ cwd: path.join(folder, 'project/deep/er'), env: {} })).toEqual({ config: { unloadOnExit: true }, file })
    expect(await loadConfig({ cwd: path.join(folder, 'project'), env: { MAI_NO_PROJECT_CONFIG: '1' } })).toEqual({
      config: {},
      file: undefined,
    })
    expect(await loadConfig({ cwd: folder, env: {} })).toEqual({ config: {}, file: undefined })
  })

  it.each([
    ['missing', undefined, 'MAI_CONFIG_MISSING'],
    ['syntax.ts', 'export default {', 'MAI_CONFIG_BROKEN'],
    ['throws.ts', "throw new Error('on purpose')", 'MAI_CONFIG_BROKEN'],
    ['imports.ts', "import './nowhere.ts'\nexport default {}", 'MAI_CONFIG_BROKEN'],
    ['nothing.ts', 'export const other = 1', 'MAI_CONFIG_INVALID'],
    ['unknown.ts', 'export default { nonsense: 1 }', 'MAI_CONFIG_INVALID'],
    ['plugin.ts', 'export default { plugins: [{}] }', 'MAI_CONFIG_INVALID'],
    ['model.ts', "export default { models: { '*': { temperature: 'warm' } } }", 'MAI_CONFIG_INVALID'],
  ])('that is broken is one error that names it: %s', async (name, text, code) => {
    const file = text === undefined ? path.join(folder, name) : await written(name, text)
    await expect(loadConfig({ file, env: {} })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(name),
      cure: expect.any(String),
    })
  })

  it.skipIf(process.platform === 'win32')('that everybody may write is not run', async () => {
    const file = await written('open.ts', "throw new Error('it was run')", 0o666)
    await expect(loadConfig({ file, env: {} })).rejects.toMatchObject({
      code: 'MAI_CONFIG_UNTRUSTED',
      message: expect.stringMatching(/everybody/),
    })
  })

  it('imports local TypeScript and Mai itself', async () => {
    // A small part of Mai: here all of it would be compiled anew. tests/cli/commands.test.ts imports the whole, as it is built.
    await written(
      'own/plugin.ts',
      "import { switching } from 'mai/plugins/switching'\nexport const mine: ReturnType<typeof switching> = switching()\n",
    )
    const file = await written('own/mai.config.ts', "import { mine } from './plugin.ts'\nexport default { plugins: [mine] }\n")
    expect(names((await loadConfig({ file, env: {} })).config.plugins ?? [])).toEqual(['switching'])
  })
})
