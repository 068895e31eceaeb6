/**
 * How an attempt at an answer ended: recorded for the policy, stated as a fact, and learned from.
 *
 * @module
 */
import type { AssembledPrompt } from '../context.ts'
import type { TurnIds } from '../events.ts'
import type { ModelInfo } from '../model.ts'
import type { SendOptions } from '../reply.ts'
import type { GenerationOutcome } from './generation.ts'
import type { TurnParts } from './turn-parts.ts'

/** A model's attempt that has ended. */
export interface EndedAttempt {
  readonly model: ModelInfo
  readonly outcome: GenerationOutcome
}

/** What was attempted. */
export interface Attempted {
  readonly model: ModelInfo
  readonly prompt: AssembledPrompt
  readonly options: SendOptions
  /** Whether the model was loaded for it. */
  readonly loaded: boolean
}

/** Records and states how an attempt ended. */
export async function stateOutcome(
  { ctx, journal, speeds }: TurnParts,
  ids: TurnIds,
  { model: { key: model }, prompt, options, loaded }: Attempted,
  { ms, firstTokenMs, usage, counted, finish, trouble }: GenerationOutcome,
): Promise<void> {
  const { turnId } = ids
  if (trouble) {
    const { kind, error = { code: kind, message: trouble.evidence } } = trouble
    await journal.record('generation.failed', { turnId, model, kind, code: error.code })
    ctx.emit('generation.failed', { ...ids, model, kind, error })
    return
  }
  if (finish !== 'cancelled') {
    // Pictures and tools count in the engine's figure and are no text, and an estimate is no figure: they say nothing of the tokenizer.
    if (counted && isPlain(prompt, options)) ctx.use('context').observe(model, prompt, usage.promptTokens)
    void speeds.learn(model, { usage, firstTokenMs, ms }, loaded)
  }
  void journal.record('generation.finished', { turnId, model, ms, firstTokenMs, completionTokens: usage.completionTokens })
  ctx.emit('generation.finished', { ...ids, model, finish, usage, ms, firstTokenMs })
}

function isPlain({ messages }: AssembledPrompt, { tools = [] }: SendOptions): boolean {
  return tools.length === 0 && messages.every(({ parts }) => parts.every(({ type }) => type !== 'image'))
}
