import type { FinishReason } from '../../../src/chat/backend.ts'
import type { AnswerStart, AnswerWatch, Verdict, Watcher } from '../../../src/chat/watcher.ts'
import { struggleWatchers } from '../../../src/plugins/struggle/index.ts'

export const START: AnswerStart = {
  model: 'a/b',
  promptTokens: 0,
  already: '',
  time: 0,
  shown: { prefillPerSecond: undefined, writingPerSecond: undefined },
  limits: { firstTokenMs: 30_000, gapMs: 15_000 },
}

/** One detector by the end of its name. */
export function detector(name: string, options: Parameters<typeof struggleWatchers>[0] = {}): Watcher {
  const found = struggleWatchers(options).find((watcher) => watcher.name.endsWith(name))
  if (!found) throw new Error(`no detector ${name}`)
  return found
}

export function watching(
  name: string,
  about: Partial<AnswerStart> = {},
  options: Parameters<typeof struggleWatchers>[0] = {},
): AnswerWatch {
  return detector(name, options).start({ ...START, ...about })
}

/** The last verdict of a detector that reads a text in pieces of a size. */
export function verdictOf(watch: AnswerWatch, text: string, size = 5): Verdict {
  let verdict: Verdict = { state: 'clear' }
  for (let at = 0; at < text.length; at += size) verdict = watch.push(text.slice(at, at + size), 0)
  return verdict
}

export const finishes: readonly FinishReason[] = [
  'stop',
  'length',
  'tool-calls',
  'cancelled',
  'context-full',
  'model-unloaded',
  'content-filter',
  'failed',
]
