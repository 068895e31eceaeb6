/**
 * The process of one loaded model. It ends with its parent: without the line between them it has no purpose.
 *
 * @module
 */
import { isMaiError, toErrorFact } from '../../core/errors.ts'
import { askedBriefly } from './brevity.ts'
import { LoadedLlama, readEngineLibrary } from './driver.ts'
import { PieceBatch } from './piece-batch.ts'
import type { Order, Outcome, Report } from './protocol.ts'
import { answerPrompt } from './reasoning.ts'

/** Before the library is read, however long before its model that is. */
const bytesAtFirst = process.memoryUsage.rss()
let loaded: LoadedLlama | undefined
const running = new Map<number, AbortController>()

const say = (report: Report): void => {
  // A parent that is gone hears nothing; `disconnect` ends this process.
  if (process.connected) process.send?.(report, () => {})
}

process.on('message', (order: Order) => void serve(order))
process.on('disconnect', () => process.exit(0))
// Ctrl-C reaches all processes of a terminal: the parent decides what it means.
process.on('SIGINT', () => {})

async function serve(order: Order): Promise<void> {
  // Should it fail, the load fails again and tells.
  if (order.type === 'prepare') return void readEngineLibrary().catch(() => {})
  if (order.type === 'cancel') return running.get(order.id)?.abort()
  const stop = new AbortController()
  running.set(order.id, stop)
  try {
    say({ type: 'ended', id: order.id, outcome: await outcomeOf(order, stop.signal) })
  } catch (error) {
    const { problem, cure } = isMaiError(error) ? error : { problem: toErrorFact(error).message, cure: undefined }
    const code = isMaiError(error) ? error.code : 'MAI_BACKEND_ERROR'
    say({ type: 'failed', id: order.id, error: { code, problem, cure } })
  } finally {
    running.delete(order.id)
  }
}

async function outcomeOf(order: Exclude<Order, { readonly type: 'cancel' | 'prepare' }>, signal: AbortSignal): Promise<Outcome> {
  const { id } = order
  if (order.type === 'load') {
    const { keepAliveMs: _, ...settings } = order.settings
    const onProgress = (fraction: number): void => say({ type: 'progress', id, fraction })
    loaded = await LoadedLlama.load({
      ...settings,
      file: order.file,
      onProgress,
      signal,
      ...(order.threads === undefined ? {} : { threads: order.threads }),
    })
    return { type: 'loaded', contextLength: loaded.contextLength, memoryBytes: Math.max(0, process.memoryUsage.rss() - bytesAtFirst) }
  }
  if (!loaded) throw new Error('Nothing is loaded.')
  if (order.type === 'measure') return { type: 'measured', speeds: await loaded.measureThreads(signal) }
  const question = loaded.prompt(askedBriefly(order.messages, loaded.small, loaded.contextLength))
  if (order.type === 'count') return { type: 'counted', tokens: loaded.tokenize(question).length }
  const batch = new PieceBatch((texts, tokens) => say({ type: 'pieces', id, texts, tokens }))
  const sink = {
    text: (text: string, tokens: number) => batch.push(text, tokens),
    prefill: (fraction: number) => say({ type: 'prefill', id, fraction }),
  }
  const { continueFrom, sampling, responseSchema } = order
  const { prompt, opening } = answerPrompt(question, continueFrom)
  if (opening !== '') batch.push(opening, 0)
  const schema = responseSchema ? { responseSchema } : {}
  const result = await loaded.generate({ prompt, continueFrom, sampling, signal, ...schema }, sink)
  batch.flush()
  return { type: 'generated', result }
}
