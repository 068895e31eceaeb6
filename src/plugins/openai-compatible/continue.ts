/**
 * Going on with a partial answer: by prefill where the server takes it up, else in words with the repetition taken off.
 *
 * @module
 */
import type { GenerateRequest, PieceSink } from '../../chat/backend.ts'
import { askForTheRest, Joint } from '../../chat/turn/seam.ts'
import { isMaiError } from '../../core/errors.ts'
import type { Ended } from './answer.ts'
import type { ChatOrder, Endpoint } from './endpoint.ts'
import { toWire, type WireMessage } from './messages.ts'

/** Longest wait for the one question whether a server takes a partial answer up, in ms. */
const PROBE_MS = 10_000
/** Characters that settle it. */
const PROBE_CHARS = 6

/** An answer that began elsewhere. */
export type PartialRequest = GenerateRequest & { readonly continueFrom: string }

/** Writes the rest of the answer. @throws MaiError; the signal's reason */
export async function writeRest(endpoint: Endpoint, request: PartialRequest, sink: PieceSink): Promise<Ended> {
  const { instanceId: model } = request.instance
  const prefills = endpoint.prefills(model) ?? (await probe(endpoint, model, request.signal))
  if (!prefills) return inWords(endpoint, request, sink)
  let begun = false
  const watched: PieceSink = (piece) => {
    begun = true
    sink(piece)
  }
  try {
    return await byPrefill(endpoint, request, watched)
  } catch (error) {
    if (begun || !refusesPrefill(error)) throw error
    endpoint.learnPrefill(model, false)
    return inWords(endpoint, request, sink)
  }
}

/** A refusal is no failure of the answer. Some servers say so with a 400; others fail inside their chat template. */
function refusesPrefill(error: unknown): boolean {
  if (!isMaiError(error)) return false
  return error.code === 'MAI_REQUEST_INVALID' || (error.code === 'MAI_BACKEND_ERROR' && [500, 501].includes(Number(error.details?.status)))
}

function byPrefill(endpoint: Endpoint, { continueFrom, ...request }: PartialRequest, sink: PieceSink): Promise<Ended> {
  const messages = withPartial(toWire(request.messages), continueFrom)
  // A server that begins again after all is noticed.
  const joint = new Joint(continueFrom, sink, { wholeOnly: true })
  return joined(endpoint, request, messages, joint, request.signal, { extra: prefillFields(endpoint), mayThink: false })
}

function inWords(endpoint: Endpoint, { continueFrom, ...request }: PartialRequest, sink: PieceSink): Promise<Ended> {
  const diverged = new AbortController()
  const joint = new Joint(continueFrom, sink, { onDiverged: () => diverged.abort() })
  const messages = toWire(askForTheRest(request.messages, continueFrom))
  return joined(endpoint, request, messages, joint, AbortSignal.any([request.signal, diverged.signal]), { mayThink: true })
}

async function joined(
  endpoint: Endpoint,
  request: GenerateRequest,
  messages: readonly WireMessage[],
  joint: Joint,
  signal: AbortSignal,
  { extra = {}, mayThink }: Pick<ChatOrder, 'extra' | 'mayThink'>,
): Promise<Ended> {
  const { instance, sampling, tools, responseSchema } = request
  const asked = { sampling, ...(tools ? { tools } : {}), ...(responseSchema ? { responseSchema } : {}) }
  try {
    const ended = await endpoint.chat({ model: instance.instanceId, messages, signal, extra, mayThink, ...asked }, joint.sink)
    joint.end(ended.finish)
    return ended
  } catch (error) {
    // We left a model that began anew: its end says so.
    if (signal.aborted && !request.signal.aborted) joint.end('failed')
    throw error
  }
}

function withPartial(messages: readonly WireMessage[], content: string): WireMessage[] {
  return [...messages, { role: 'assistant', content }]
}

function prefillFields({ dialect }: Endpoint): Readonly<Record<string, unknown>> {
  return dialect === 'vllm' ? { continue_final_message: true, add_generation_prompt: false } : {}
}

/** One cheap question, remembered: does the server go on with an assistant message that stands last? */
async function probe(endpoint: Endpoint, model: string, signal: AbortSignal): Promise<boolean> {
  const messages = withPartial([{ role: 'user', content: 'Count from one to nine in words, separated by spaces.' }], 'one two three four')
  const enough = new AbortController()
  const late = AbortSignal.timeout(PROBE_MS)
  let text = ''
  const sink: PieceSink = (piece) => {
    if (piece.type === 'prefill') return
    // A model that thinks first begins anew.
    if (piece.type !== 'text') return enough.abort()
    text += piece.text
    if (text.trim().length >= PROBE_CHARS) enough.abort()
  }
  const order = { model, messages, sampling: { maxTokens: 8, temperature: 0 }, signal: AbortSignal.any([signal, late, enough.signal]) }
  try {
    await endpoint.chat({ ...order, extra: prefillFields(endpoint), mayThink: true }, sink)
  } catch (error) {
    signal.throwIfAborted()
    // Slow is no answer to the question: in words it works in any case.
    if (late.aborted) return false
    if (!enough.signal.aborted && !refusesPrefill(error)) throw error
  }
  const does = /^[\s,.;-]*five/i.test(text)
  endpoint.learnPrefill(model, does)
  return does
}
