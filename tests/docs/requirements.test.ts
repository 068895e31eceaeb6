import { execFile } from 'node:child_process'
import fs from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

/** Runs dist/: its overview names every command. */
const BIN = path.resolve('dist/cli/bin.js')

const page = await fs.readFile('docs/requirements.md', 'utf8')
const rows = [...page.matchAll(/^\| (R\d+) \| (.+?) \| (.+?) \| (.+?) \|$/gm)].map(([, id = '', , shown = '', seen = '']) => ({
  id,
  shown,
  seen,
}))

it('every requirement has its row, once and in order', () => {
  expect(rows.map(({ id }) => id)).toEqual(Array.from({ length: 27 }, (_, index) => `R${index + 1}`))
})

it.each(rows)('the test that shows $id exists', async ({ shown }) => {
  const tests = [...shown.matchAll(/\]\(([^)]+)\): "([^"]+)"/g)]
  expect(tests.length).toBeGreaterThan(0)
  for (const [, file = '', name = ''] of tests) {
    const source = await fs.readFile(path.join('docs', file), 'utf8')
    expect(
      ['`', "'", '"'].some((quote) => source.includes(`${quote}${name}${quote}`)),
      `${name} in ${file}`,
    ).toBe(true)
  }
})

it('every command that a person is told to run exists', async () => {
  const { scripts } = JSON.parse(await fs.readFile('package.json', 'utf8')) as { scripts: Record<string, string> }
  const { stdout } = await promisify(execFile)(process.execPath, [BIN, '--help'])
  const told = rows.flatMap(({ seen }) => [...seen.matchAll(/`((?:mai|npm run) [^`]+)`/g)].map(([, command = '']) => command))
  expect(told.length).toBeGreaterThan(20)
  for (const command of told) {
    const [program, first = '', name = ''] = command.split(' ')
    if (program === 'npm') expect(Object.keys(scripts), command).toContain(name)
    else if (!first.startsWith('-')) expect(stdout, command).toMatch(new RegExp(`\\b${first}\\b`))
    for (const file of command.split(' ').filter((word) => word.includes('/'))) await fs.access(file)
  }
})
