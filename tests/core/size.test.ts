import { readdir, readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'

const core = new URL('../../src/core/', import.meta.url)
/** Lines that are not blank. */
const BUDGET = 1250

it(`the kernel stays small enough to read in one sitting: under ${BUDGET} lines`, async () => {
  const files = (await readdir(core)).filter((file) => file.endsWith('.ts'))
  const texts = await Promise.all(files.map((file) => readFile(new URL(file, core), 'utf8')))
  const lines = texts.flatMap((text) => text.split('\n')).filter((line) => line.trim() !== '')
  expect(lines.length).toBeLessThan(BUDGET)
})
