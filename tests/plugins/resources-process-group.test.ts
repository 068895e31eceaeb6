import { spawn } from 'node:child_process'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, it } from 'vitest'

/**
 * Node 20 ends a child process whose program is missing by `kill(0)` when its `signal` aborts in the same moment: that is
 * SIGTERM to all processes of the group, the terminal's shell job included.
 */

it('opening and closing at once, without nvidia-smi, ends nobody else', async () => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-group-'))
  const script = `
    import { openMai } from '${pathToFileURL(path.resolve('dist/index.js')).href}'
    for (let round = 0; round < 5; round++) await (await openMai({ cwd: '${folder}' })).shutdown()
    console.log('alive')`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    // A group of its own: whatever happens there stays there.
    detached: true,
    cwd: folder,
    env: { PATH: '', MAI_HOME: folder, HOME: folder },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  const how = await new Promise((resolve) => child.on('close', (code, signal) => resolve(signal ?? code)))
  await fs.rm(folder, { recursive: true, force: true })
  expect({ how, out }).toEqual({ how: 0, out: 'alive\n' })
})

it('nobody hands a signal to a child process', async () => {
  const files = (await fs.readdir('src', { recursive: true })).filter((file) => file.endsWith('.ts'))
  const handing: string[] = []
  for (const file of files) {
    const text = await fs.readFile(path.join('src', file), 'utf8')
    for (const [call] of text.matchAll(/\b(?:spawn|execFile|exec|fork)\((?:[^()]|\([^()]*\))*\)/g))
      if (/\bsignal\b\s*[,:}]/.test(call)) handing.push(`${file}: ${call}`)
  }
  expect(handing).toEqual([])
})
