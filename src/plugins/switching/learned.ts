/**
 * What experience on this machine teaches about models: speeds, and corrections of the quality prior.
 *
 * @module
 */
import type { ModelKey } from '../../chat/model.ts'
import type { PolicyRecords, RecordedEvent, StruggleKind, TaskKind } from '../../chat/policy.ts'
import { OF_THE_LINE } from './circuit.ts'
import { groupOf } from './groups.ts'
import { activeShare } from './traits.ts'

/** Of one model. Absent: never seen. */
export interface ModelExperience {
  readonly tokensPerSecond?: number
  /** Tokens of the prompt read each second, as it looks from outside: what a server still knows costs nothing. */
  readonly prefillPerSecond?: number
  readonly loadMs?: number
  /** Added to the quality prior, in doublings of parameters. */
  readonly correction?: number
}

/** The model that was chosen last. */
interface Chosen {
  readonly model: ModelKey
  readonly needBytes: number
  /** Weights that each token reads; 0: unknown, or on another machine. */
  readonly readBytes: number
  readonly promptTokens: number
  readonly task: TaskKind
}

/** Survives JSON. */
export interface Learned {
  /** In groups, so that a record copies a few entries and not those of hundreds of models. */
  readonly models: Readonly<Record<number, Readonly<Record<ModelKey, ModelExperience>>>>
  /** Bytes of weights read each second while writing, over all models; absent: not seen yet. */
  readonly bandwidth?: number
  /** Usual length of an answer, in tokens. */
  readonly answerTokens?: Readonly<Partial<Record<TaskKind, number>>>
  readonly chosen?: Chosen
  /** A load that memory did not allow: its need and when. */
  readonly refused?: { readonly bytes: number; readonly time: number }
}

export const NOTHING_LEARNED: Learned = { models: {} }

/** Weight of the newest figure. */
const RATE = 0.3
/** The same for lengths of answers, which vary more than speeds. */
const SLOW_RATE = 0.05
/** Fewer tokens than these say nothing of speed. */
const FEW_TOKENS = 8
/** A person who asks for a model, or pins it, thinks better of it than the prior. */
const ASKED = 0.1
const PINNED = 0.3
/** Each trouble lowers what is thought of a model; each answer takes back a share of that. */
const POOR_ANSWER = -0.3
const BREAKDOWN = -0.15
const FORGIVEN = 0.08
const CORRECTION_LIMIT = 2
/** The most models that are remembered in each group. */
const GROUP_LIMIT = 16

const POOR: ReadonlySet<StruggleKind> = new Set(['loop', 'noisy-loop', 'empty', 'garbled', 'low-confidence'])
/** Troubles that are the person's or the window's, not the model's; nor are those of the line. */
const BLAMELESS: ReadonlySet<StruggleKind> = new Set(['slow', 'context-full', 'model-unloaded'])

/** Tokens of a usual answer, before any was seen here. */
const ANSWER_TOKENS: Readonly<Record<TaskKind, number>> = {
  chat: 300,
  code: 450,
  mathematics: 400,
  analysis: 500,
  translation: 250,
  image: 250,
}

/** Folds one record; the same object where nothing changed. */
export function foldLearned(learned: Learned, event: RecordedEvent): Learned {
  switch (event.type) {
    case 'model.selected':
      return selected(learned, event.payload)
    case 'model.loaded':
      return changed(learned, event.payload.model, (seen) => ({ ...seen, loadMs: mixed(seen.loadMs, event.payload.ms) }))
    case 'model.load.failed':
      return loadFailed(learned, event.payload, event.time)
    case 'generation.finished':
      return finished(learned, event.payload)
    case 'generation.failed':
      return BLAMELESS.has(event.payload.kind) || OF_THE_LINE.has(event.payload.kind)
        ? learned
        : corrected(learned, event.payload.model, POOR.has(event.payload.kind) ? POOR_ANSWER : BREAKDOWN)
    case 'pin.changed':
      return event.payload.model === null ? learned : corrected(learned, event.payload.model, PINNED)
    default:
      return learned
  }
}

const UNSEEN: ModelExperience = {}

/** What was seen of a model. */
export function experienceOf(learned: Learned, model: ModelKey): ModelExperience {
  return learned.models[groupOf(model)]?.[model] ?? UNSEEN
}

/** Usual length of an answer, in tokens. */
export function answerTokens({ answerTokens: seen }: Learned, task: TaskKind): number {
  return seen?.[task] ?? ANSWER_TOKENS[task]
}

function selected(learned: Learned, { request, decision }: PolicyRecords['model.selected']): Learned {
  if (request.purpose !== 'turn' && request.purpose !== 'rescue') return learned
  const candidate = request.candidates.find(({ model }) => model === decision.model)
  if (!candidate) return learned
  const { model, memory, remote, plannedContextLength } = candidate
  const shorter = Math.max(0, plannedContextLength - decision.contextLength) / Math.max(1, plannedContextLength)
  const chosen: Chosen = {
    model,
    needBytes: memory.totalBytes - memory.kvBytes * shorter,
    readBytes: remote ? 0 : memory.weightsBytes * activeShare(candidate),
    promptTokens: request.needs.promptTokens ?? 0,
    task: request.needs.task ?? 'chat',
  }
  const asked = request.requested === model && request.purpose === 'turn' && better(decision.candidates, model)
  const next = { ...learned, chosen }
  return asked ? corrected(next, model, ASKED) : next
}

/** Whether the policy itself would have taken another. */
function better(rows: PolicyRecords['model.selected']['decision']['candidates'], model: ModelKey): boolean {
  const own = rows.find((row) => row.model === model)
  return own === undefined || rows.some((row) => row.excluded === undefined && row.score > own.score)
}

function loadFailed(learned: Learned, { model, memory }: PolicyRecords['model.load.failed'], time: number): Learned {
  const { chosen } = learned
  if (memory) return chosen?.model === model ? { ...learned, refused: { bytes: chosen.needBytes, time } } : learned
  return corrected(learned, model, BREAKDOWN)
}

function finished(learned: Learned, payload: PolicyRecords['generation.finished']): Learned {
  const { model, ms, firstTokenMs, completionTokens } = payload
  const chosen = learned.chosen?.model === model ? learned.chosen : undefined
  const telling = completionTokens >= FEW_TOKENS && ms > firstTokenMs
  const next = changed(learned, model, (seen) => {
    const correction = seen.correction ?? 0
    const forgiven = correction < 0 ? { correction: correction * (1 - FORGIVEN) } : {}
    if (!telling) return { ...seen, ...forgiven }
    const reading = chosen && chosen.promptTokens > 0 ? (chosen.promptTokens * 1000) / Math.max(1, firstTokenMs) : undefined
    return {
      ...seen,
      ...forgiven,
      tokensPerSecond: mixed(seen.tokensPerSecond, (completionTokens * 1000) / (ms - firstTokenMs)),
      ...(reading === undefined ? {} : { prefillPerSecond: mixed(seen.prefillPerSecond, reading) }),
    }
  })
  if (!chosen || !telling) return next
  const { task, readBytes } = chosen
  const lengths = { ...learned.answerTokens, [task]: mixed(answerTokens(learned, task), completionTokens, SLOW_RATE) }
  const speed = experienceOf(next, model).tokensPerSecond ?? 0
  return { ...next, answerTokens: lengths, ...(readBytes > 0 ? { bandwidth: mixed(learned.bandwidth, speed * readBytes) } : {}) }
}

function corrected(learned: Learned, model: ModelKey, by: number): Learned {
  return changed(learned, model, (seen) => ({
    ...seen,
    correction: Math.min(CORRECTION_LIMIT, Math.max(-CORRECTION_LIMIT, (seen.correction ?? 0) + by)),
  }))
}

function changed(learned: Learned, model: ModelKey, change: (seen: ModelExperience) => ModelExperience): Learned {
  const number = groupOf(model)
  const before = learned.models[number] ?? {}
  const group: Record<ModelKey, ModelExperience> = { ...before, [model]: change(before[model] ?? {}) }
  const keys = Object.keys(group)
  const [oldest] = keys
  // Keys stand in the order in which models were first seen.
  if (keys.length > GROUP_LIMIT && oldest !== undefined && oldest !== model) delete group[oldest]
  return { ...learned, models: { ...learned.models, [number]: group } }
}

function mixed(old: number | undefined, seen: number, rate: number = RATE): number {
  return old === undefined ? seen : old + rate * (seen - old)
}
