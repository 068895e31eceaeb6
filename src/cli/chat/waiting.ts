/**
 * The wait for an answer's first word, on the status line: a model that loads, then a model that thinks.
 *
 * @module
 */
import type { Mai } from '../../chat/mai.ts'
import type { Disposer } from '../../core/events.ts'
import { type Progress, progressText, waitingText } from '../terminal/progress.ts'
import type { StatusLine } from '../terminal/status-line.ts'

/** An answer that begins sooner is waited for without a word, in ms. */
const PATIENCE_MS = 200
/** Between two looks at the clock, in ms. */
const REPAINT_MS = 250

/** Keeps the line true until the returned function clears it. */
export function showWaiting(mai: Mai, line: StatusLine): Disposer {
  const began = Date.now()
  let loading: (Progress & { readonly model: string }) | undefined
  const paint = (): void => {
    const now = Date.now()
    if (now - began < PATIENCE_MS) return
    line.show(loading ? progressText(`loading ${loading.model}`, loading, now) : waitingText(began, now))
  }
  const timers = [setTimeout(paint, PATIENCE_MS), setInterval(paint, REPAINT_MS)]
  const stopped = (): void => {
    loading = undefined
    paint()
  }
  const disposers = [
    mai.on('model.loading', ({ model, fraction }) => {
      const at = Date.now()
      loading = { model, fraction, at, began: loading?.model === model ? loading.began : at }
      paint()
    }),
    mai.on('model.loaded', stopped),
    mai.on('model.load.failed', stopped),
  ]
  return () => {
    for (const timer of timers) clearTimeout(timer)
    for (const dispose of disposers) dispose()
    line.clear()
  }
}
