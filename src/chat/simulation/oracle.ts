/**
 * The oracle: the best that anybody could have done who knew the whole trace beforehand.
 *
 * @module
 */

import type { Trace, TraceMessage, TraceModel } from './trace.ts'
import { traceNeed } from './trace.ts'
import { SHORTEST_WINDOW, Weather } from './weather.ts'
import { SWAPPING, worthOf, writingSeconds } from './worth.ts'

/**
 * Upper bound of what all answers together can be worth. By dynamic programming over which model is loaded at each
 * message; it loads by the same rules and times as everybody, never waits for the answer before, and meets no fault.
 */
export function oracleWorth(trace: Trace): number {
  const weather = new Weather(trace)
  let best = new Map<TraceModel | undefined, number>([[undefined, 0]])
  for (const message of trace.events) {
    if (message.type !== 'message') continue
    const loads = new Map(trace.models.map((model) => [model, gain(model, message, weather)]))
    const next = new Map<TraceModel | undefined, number>()
    // Nobody answers; what was loaded stays.
    for (const [model, worth] of best) next.set(model, worth)
    const richest = Math.max(...best.values())
    for (const [model, { staying, loading }] of loads) {
      const stayed = (best.get(model) ?? Number.NEGATIVE_INFINITY) + staying
      next.set(model, Math.max(next.get(model) ?? 0, stayed, richest + loading))
    }
    best = next
  }
  return Math.max(...best.values())
}

/** What the answer is worth when the model is loaded already, and when it must be loaded first. */
function gain(model: TraceModel, message: TraceMessage, weather: Weather): { readonly staying: number; readonly loading: number } {
  const { at, needs, answerTokens } = message
  const none = { staying: Number.NEGATIVE_INFINITY, loading: Number.NEGATIVE_INFINITY }
  if ((needs.vision && !model.vision) || (needs.tools && !model.tools) || model.contextLength < needs.contextTokens) return none
  if (weather.isAway(model, at) || weather.faultOf(model, at)) return none
  const seconds = (slower: number): number =>
    Math.round(writingSeconds(model, needs.promptTokens ?? needs.contextTokens, answerTokens) * slower * 1000) / 1000
  const task = needs.task ?? 'chat'
  const need = traceNeed(model, Math.min(model.contextLength, Math.max(SHORTEST_WINDOW, needs.contextTokens)))
  const fits = need <= weather.freeAt(at)
  return {
    staying: worthOf(model, task, seconds(fits ? 1 : SWAPPING)),
    loading: fits ? worthOf(model, task, seconds(1) + model.loadMs / 1000) : Number.NEGATIVE_INFINITY,
  }
}
