import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeRecitingModel } from '../../src/testing/gguf-writer.ts'
import { BIN } from './support.ts'

let folder: string

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-doctor-'))
  await fs.writeFile(path.join(folder, 'mai.config.ts'), "export default { disable: ['lmstudio'] }\n")
})
afterAll(() => fs.rm(folder, { recursive: true, force: true }))

interface Finding {
  readonly name: string
  readonly state: string
  readonly text: string
  readonly cure?: string
}

function mai(...args: string[]): { code: number | null; out: string; err: string } {
  const env = { ...process.env, HOME: folder, MAI_HOME: path.join(folder, 'mai'), XDG_CACHE_HOME: path.join(folder, 'cache') }
  const { status, stdout, stderr } = spawnSync(process.execPath, [BIN, ...args], { cwd: folder, env, encoding: 'utf8' })
  return { code: status, out: stdout, err: stderr }
}

function findings(...args: string[]): { code: number | null; found: Map<string, Finding> } {
  const { code, out } = mai('doctor', '--json', ...args)
  return { code, found: new Map((JSON.parse(out) as Finding[]).map((finding) => [finding.name, finding])) }
}

describe('mai doctor', () => {
  it('ends with 1 and the command that helps, where no model can answer', () => {
    const { code, found } = findings()
    expect(code).toBe(1)
    expect(found.get('model')).toMatchObject({ state: 'fail', cure: expect.stringContaining('mai models pull') })
    expect(found.get('node')?.state).toBe('ok')
    expect(found.get('store')?.state).toBe('ok')
  })

  it('ends with 0 where one can, and tells of files that cannot be run', async () => {
    const models = path.join(folder, 'mai', 'models')
    await fs.mkdir(models, { recursive: true })
    await writeRecitingModel(path.join(models, 'good.gguf'), { text: 'All is well.' })
    await fs.writeFile(path.join(models, 'broken.gguf'), 'GGUF and nothing more')
    const { code, found } = findings()
    expect(code).toBe(0)
    expect(found.get('model')).toMatchObject({ state: 'ok', text: expect.stringContaining('llamacpp/good') })
    expect(found.get('file')).toMatchObject({ state: 'warn', text: expect.stringContaining('broken.gguf') })
    expect(mai('doctor').out).toMatch(/^ok {4}model/m)
  })

  it('says what is wrong with a configuration', async () => {
    await fs.writeFile(path.join(folder, 'bad.config.ts'), 'export default { nonsense: 1 }\n')
    const { code, found } = findings('--config', 'bad.config.ts')
    expect(code).toBe(1)
    expect(found.get('config')).toMatchObject({ state: 'fail', text: expect.stringContaining('nonsense'), cure: expect.any(String) })
  })
})

describe('mai completion', () => {
  it('completes commands, their second words and options in bash', () => {
    const script = mai('completion', 'bash').out
    const complete = (...words: string[]): string[] => {
      const asked = `COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _mai; echo "\${COMPREPLY[@]}"`
      return execFileSync('bash', ['-c', `${script}\n${asked}`], { encoding: 'utf8' })
        .trim()
        .split(' ')
    }
    expect(complete('mai', 'mod')).toEqual(['models'])
    expect(complete('mai', 'models', 'pu')).toEqual(['pull'])
    expect(complete('mai', 'ask', '--verb')).toEqual(['--verbose'])
  })

  it.each(['zsh', 'fish', 'powershell'])('knows all commands in %s', (shell) => {
    const { out, code } = mai('completion', shell)
    expect(code).toBe(0)
    for (const word of ['chat', 'doctor', 'pull', 'recommend', '--config'.slice(2)]) expect(out).toContain(word)
  })

  it('names the shells it knows', () => {
    expect(mai('completion', 'tcsh')).toMatchObject({ code: 2, err: expect.stringContaining('bash, zsh, fish, powershell') })
  })
})
