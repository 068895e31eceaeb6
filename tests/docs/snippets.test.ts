import { execFile } from 'node:child_process'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { manyRuns } from '../cli/support.ts'

const run = promisify(execFile)
const BIN = path.resolve('dist/cli/bin.js')

interface Block {
  readonly page: string
  readonly language: string
  readonly text: string
  /** Where it stands, for a person. */
  readonly line: number
}

const pages = ['README.md', ...(await fs.readdir('docs')).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)]
const texts = new Map(await Promise.all(pages.map(async (page) => [page, await fs.readFile(page, 'utf8')] as const)))
const blocks = [...texts].flatMap(([page, text]) =>
  [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(
    ([, language = '', body = '']): Block => ({ page, language, text: body, line: text.slice(0, text.indexOf(body)).split('\n').length }),
  ),
)
const { scripts } = JSON.parse(await fs.readFile('package.json', 'utf8')) as { scripts: Record<string, string> }
const examples = await Promise.all((await fs.readdir('examples')).map((name) => fs.readFile(path.join('examples', name), 'utf8')))

let folder: string
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-docs-'))
})
afterAll(() => fs.rm(folder, { recursive: true, force: true }))

/** Help by the words before it: many pages show the same command. */
const helps = new Map<string, Promise<{ stdout: string }>>()
function help(words: readonly string[]): Promise<{ stdout: string }> {
  const key = words.join(' ')
  const asked = helps.get(key) ?? run(process.execPath, [BIN, ...words, '--help'])
  helps.set(key, asked)
  return asked
}

const commands = blocks
  .filter(({ language }) => language === 'sh')
  .flatMap(({ page, text }) => text.split(/\n|&&/).map((command) => ({ page, command: command.trim() })))
  .filter(({ command }) => command !== '' && !command.startsWith('#'))

describe('what the pages show', () => {
  it('is there at all', () => {
    expect(commands.length).toBeGreaterThan(0)
    expect(blocks.some(({ language }) => language === 'ts')).toBe(true)
    expect(blocks.some(({ language }) => language === 'mermaid')).toBe(true)
  })

  it.each(commands)('$page: `$command` exists', async ({ command }) => {
    const [program = '', ...args] = command.replace(/^npx /, '').split(/\s+/)
    if (program === 'npm') {
      const [verb = '', name = ''] = args
      if (verb === 'run' || verb === 'test') expect(Object.keys(scripts)).toContain(verb === 'test' ? 'test' : name)
      else expect(['ci', 'install']).toContain(verb)
      return
    }
    expect(program).toBe('mai')
    const names = args.filter((word) => /^[a-z]+$/.test(word)).slice(0, 2)
    // A command's own help fails for names and options that do not exist.
    const tried = await help(names).catch(() => help(names.slice(0, 1)))
    for (const option of args.filter((word) => word.startsWith('--'))) expect(tried.stdout).toContain(option.replace(/=.*/, ''))
  })

  it('is an example or a configuration that loads, all of the TypeScript', async () => {
    const shown = blocks.filter(({ language, text }) => language === 'ts' && !examples.some((example) => example.endsWith(text)))
    const files = await Promise.all(
      shown.map(async ({ page, line, text }) => {
        const file = path.join(folder, `${path.basename(page, '.md')}-${line}.config.ts`)
        await fs.writeFile(file, text)
        return file
      }),
    )
    const runs = files.map((file) => ['config', 'validate', '--config', file])
    for (const [index, { code, out, err }] of (await manyRuns(runs, { cwd: folder, env: { MAI_HOME: folder } })).entries()) {
      expect(err).toBe('')
      expect(code).toBe(0)
      expect(out).toContain(files[index])
    }
  })

  it.each([...texts])('%s: points only to files that exist', async (page, text) => {
    const links = [...text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].flatMap(([, target = '']) => (/^https?:/.test(target) ? [] : [target]))
    for (const link of links) await fs.access(path.join(path.dirname(page), link))
  })
})
