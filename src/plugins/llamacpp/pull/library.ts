/**
 * Mai's own folder of models: what it fetched, where from, and who is fetching now.
 *
 * @module
 */
import { rmSync } from 'node:fs'
import fs from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { pullErrors } from './errors.ts'

/** Written beside a model: that Mai fetched it, so that Mai may delete it. */
export interface Receipt {
  readonly file: string
  readonly source: string
  readonly bytes: number
  readonly sha256: string
  /** Epoch ms. */
  readonly time: number
}

const RECEIPT = '.pulled.json'
const stored = z.object({ source: z.string(), bytes: z.number(), sha256: z.string(), time: z.number() })

/** Notes that a model was fetched; complete or not at all. */
export async function notePulled({ file, ...facts }: Receipt): Promise<void> {
  const receipt = `${file}${RECEIPT}`
  await fs.writeFile(`${receipt}.new`, JSON.stringify(facts), { mode: 0o600 })
  await fs.rename(`${receipt}.new`, receipt)
}

/** What was fetched into a folder from a source and is still there, whole. @param file only this one */
export async function receiptOf(folder: string, source: string, file?: string): Promise<Receipt | undefined> {
  const names = await fs.readdir(folder).catch((): string[] => [])
  for (const name of names.filter((each) => each.endsWith(RECEIPT))) {
    const receipt = await readReceipt(path.join(folder, name.slice(0, -RECEIPT.length)))
    if (receipt?.source === source && (file === undefined || receipt.file === file)) return receipt
  }
  return undefined
}

/** The receipt of a model whose file still has the size it came with. */
async function readReceipt(file: string): Promise<Receipt | undefined> {
  try {
    const facts = stored.parse(JSON.parse(await fs.readFile(`${file}${RECEIPT}`, 'utf8')))
    return (await fs.stat(file)).size === facts.bytes ? { file, ...facts } : undefined
  } catch {
    return undefined
  }
}

/**
 * Deletes a model that Mai fetched, all parts of a split one included.
 * @returns the bytes that are free again
 * @throws MaiError `MAI_MODEL_NOT_OURS`
 */
export async function removePulled(file: string): Promise<number> {
  const [, stem, count] = /^(.*)-\d{5}-of-(\d{5})\.gguf$/i.exec(path.basename(file)) ?? []
  const folder = path.dirname(file)
  const belongs = (name: string): boolean =>
    name === path.basename(file) || (stem !== undefined && name.startsWith(`${stem}-`) && name.endsWith(`-of-${count}.gguf`))
  const files = (await fs.readdir(folder).catch((): string[] => [])).filter(belongs).map((name) => path.join(folder, name))
  const receipts = await Promise.all(files.map((each) => fs.stat(`${each}${RECEIPT}`).catch(() => undefined)))
  if (files.length === 0 || receipts.some((receipt) => !receipt)) throw pullErrors.notPulled(file)
  let freed = 0
  for (const each of files) {
    freed += (await fs.stat(each)).size
    await fs.rm(each)
    await fs.rm(`${each}${RECEIPT}`, { force: true })
  }
  // Only empty folders go.
  await fs.rmdir(folder).catch(() => {})
  return freed
}

/** Takes a part for this process. @returns how to give it back @throws MaiError `MAI_PULL_BUSY` */
export async function claim(part: string): Promise<() => Promise<void>> {
  const lock = `${part}.lock`
  for (let tries = 0; ; tries++) {
    try {
      await fs.writeFile(lock, String(process.pid), { flag: 'wx', mode: 0o600 })
      const onExit = (): void => rmSync(lock, { force: true })
      process.once('exit', onExit)
      return async () => {
        process.off('exit', onExit)
        await fs.rm(lock, { force: true })
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || tries > 1) throw tries > 1 ? pullErrors.busy(part) : error
      const holder = Number(await fs.readFile(lock, 'utf8').catch(() => ''))
      if (isAlive(holder)) throw pullErrors.busy(part)
      await fs.rm(lock, { force: true })
    }
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
