/**
 * Fetching a model with a person watching: progress where it may be repainted, one line at the end.
 *
 * @module
 */
import type { Pulled, PullProgress } from '../plugins/llamacpp/index.ts'
import type { MaiCommand } from './base.ts'
import { neutraliseLine } from './neutralise.ts'
import { bytesText, transferText } from './terminal/progress.ts'
import { StatusLine } from './terminal/status-line.ts'

/** Fetches; Ctrl-C stops and keeps the part that came. @throws MaiError of `pull` */
export async function pullWatched(command: MaiCommand, what: string): Promise<Pulled> {
  const { modelsFolder, pull } = await import('../plugins/llamacpp/index.ts')
  const stop = new AbortController()
  const onSignal = (): void => stop.abort(command.interruption('What came is kept; the same command goes on from there.'))
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
  const line = new StatusLine(command.statusScreen)
  const view = new TransferView()
  let paintedAt = 0
  try {
    return await pull(what, {
      folder: modelsFolder(),
      signal: stop.signal,
      onProgress: (progress) => {
        const text = view.see(progress, Date.now())
        if (Date.now() - paintedAt < 100) return
        paintedAt = Date.now()
        line.show(text)
      },
    })
  } finally {
    line.clear()
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
  }
}

/** What was fetched, in one line. */
export function pulledText({ file, source, bytes, present }: Pulled): string {
  return neutraliseLine(`${present ? 'already here' : `fetched ${bytesText(bytes)} from ${source}`}: ${file}`)
}

/** Speed is counted from the first byte of a source on. */
class TransferView {
  #source = ''
  #began = 0
  #first = 0

  see({ source, phase, bytes, totalBytes }: PullProgress, now: number): string {
    if (source !== this.#source) {
      this.#source = source
      this.#began = 0
    }
    if (phase !== 'fetching') return `${phase === 'looking' ? 'looking for' : 'checking'} ${source}`
    if (this.#began === 0) {
      this.#began = now
      this.#first = bytes
    }
    return `fetching ${source} ${transferText({ bytes, totalBytes, since: bytes - this.#first, ms: now - this.#began })}`
  }
}
