/**
 * A model that recites: exact answers, exact continuations, a template and a tokenizer that a test can compute by hand.
 *
 * Template: each message is `<|role|>\ntext<|end|>\n`; then `<|assistant|>\n`, behind which the answer begins.
 * Tokenizer: one token a word with the white space before it (white space at the end of a text is one token too),
 * or one token a character. Temperature changes nothing.
 *
 * @module
 */
import { setTimeout as after, setImmediate as immediately } from 'node:timers/promises'
import type { EngineMessage, EngineModel, EngineRequest, EngineResult, LoadedEngine } from './engine.ts'

/**
 * What the model would say in full: a text, or its fragments.
 * @param prompt everything up to where the answer begins
 * @param messages the same as messages; undefined for a raw prompt that is not of this template
 */
export type ScriptedAnswer = (prompt: string, messages: readonly EngineMessage[] | undefined) => string | readonly string[]

/** How fast fragments come. */
export type Pace =
  /** One in each turn of the event loop, so that a cancel takes effect at the next one. The default. */
  | 'turns'
  /** As fast as the server takes them. */
  | 'unpaced'
  | { readonly delayMs: number }
  /** Fragments per second. */
  | { readonly perSecond: number }

/** A scripted model. */
export interface ScriptedEngineOptions {
  readonly key: string
  readonly answer: string | readonly string[] | ScriptedAnswer
  /** How a text is cut into fragments: by words with the white space before them (default), by characters, or by so many characters. */
  readonly fragments?: 'words' | 'characters' | { readonly size: number } | ((text: string) => readonly string[])
  readonly pace?: Pace
  readonly tokens?: 'words' | 'characters'
  /** Time that loading takes, in ms. Default 0. */
  readonly loadMs?: number
  /** Reading the prompt, in tokens per second. Default: no time at all. */
  readonly prefillPerSecond?: number
  /** Default 1,000,000. */
  readonly sizeBytes?: number
  /** Default 8,192. */
  readonly maxContextLength?: number
  readonly displayName?: string
  readonly path?: string
  readonly architecture?: string
  readonly paramsString?: string
  readonly quantisation?: EngineModel['quantisation']
  readonly vision?: boolean
  readonly trainedForToolUse?: boolean
}

/**
 * Makes a scripted model.
 *
 * A prompt that goes on behind the assistant's marker is a partial answer: the model continues its full answer at that
 * length, so a prefix of the answer is continued exactly. A raw prompt without the marker is answered from the start.
 *
 * @example
 * scriptedEngine({ key: 'a', answer: 'One two three.' })
 * scriptedEngine({ key: 'b', answer: (_, messages) => `You said: ${messages?.at(-1)?.text}`, pace: { perSecond: 50 } })
 */
export function scriptedEngine(options: ScriptedEngineOptions): EngineModel {
  const { key, loadMs = 0 } = options
  return {
    key,
    displayName: options.displayName ?? key,
    path: options.path ?? `scripted/${key}/${key}.gguf`,
    sizeBytes: options.sizeBytes ?? 1_000_000,
    architecture: options.architecture ?? 'scripted',
    paramsString: options.paramsString ?? '1B',
    quantisation: options.quantisation ?? { name: 'Q4_K_M', bits: 4 },
    maxContextLength: options.maxContextLength ?? 8_192,
    vision: options.vision ?? false,
    trainedForToolUse: options.trainedForToolUse ?? false,
    async load(contextLength, onProgress, signal) {
      for (let step = 0; step < 4; step++) {
        onProgress(step / 4)
        if (loadMs > 0) await after(loadMs / 4, undefined, { signal })
        signal.throwIfAborted()
      }
      onProgress(1)
      return new Scripted(options, contextLength)
    },
  }
}

const MARKER = '<|assistant|>\n'
const END = '<|end|>\n'
const WORDS = /\s*\S+|\s+$/gu
/** Fragments between two turns of the event loop where there is no pace: enough to fill a write, few enough to stop soon. */
const BURST = 64

/** The template of scripted models. */
export function scriptedTemplate(messages: readonly EngineMessage[]): string {
  return messages.map(({ role, text }) => `<|${role}|>\n${text}${END}`).join('') + MARKER
}

/** A raw prompt, seen as what {@link scriptedTemplate} made of it. */
export function parseScriptedPrompt(prompt: string): { head: string; partial: string; messages: readonly EngineMessage[] | undefined } {
  const at = prompt.lastIndexOf(MARKER)
  const begun = prompt.slice(at + MARKER.length)
  if (at < 0 || begun.includes(END)) return { head: prompt, partial: '', messages: undefined }
  const head = prompt.slice(0, at + MARKER.length)
  const messages: EngineMessage[] = []
  for (const [, role, text] of prompt.slice(0, at).matchAll(/<\|(system|user|assistant)\|>\n([\s\S]*?)<\|end\|>\n/g)) {
    if (role === 'system' || role === 'user' || role === 'assistant') messages.push({ role, text: text ?? '' })
  }
  return { head, partial: begun, messages: scriptedTemplate(messages) === head ? messages : undefined }
}

class Scripted implements LoadedEngine {
  readonly contextLength: number
  readonly #options: ScriptedEngineOptions
  readonly #running = new Set<Promise<EngineResult>>()

  constructor(options: ScriptedEngineOptions, contextLength: number) {
    this.#options = options
    this.contextLength = contextLength
  }

  tokenize(text: string): number[] {
    return this.#options.tokens === 'characters' ? Array.from(text, (character) => character.codePointAt(0) ?? 0) : words(text).map(hash)
  }

  applyTemplate(messages: readonly EngineMessage[]): string {
    return scriptedTemplate(messages)
  }

  generate(request: EngineRequest, onFragment: (text: string, tokens: number) => void): Promise<EngineResult> {
    const running = this.#generate(request, onFragment)
    this.#running.add(running)
    return running.finally(() => this.#running.delete(running))
  }

  async dispose(): Promise<void> {
    await Promise.allSettled(this.#running)
  }

  async #generate(request: EngineRequest, onFragment: (text: string, tokens: number) => void): Promise<EngineResult> {
    const { signal, prompt, maxTokens = Number.POSITIVE_INFINITY } = request
    const promptTokens = this.tokenize(prompt).length
    const { fragments, stopped } = untilStop(this.#fragments(prompt), request.stop)
    let predictedTokens = 0
    const end = (stopReason: EngineResult['stopReason']): EngineResult => ({ stopReason, promptTokens, predictedTokens })
    if (!(await this.#prefill(promptTokens, signal))) return end('userStopped')
    const wait = pacer(this.#options.pace ?? 'turns', signal)
    for (const [index, fragment] of fragments.entries()) {
      if (!(await wait(index))) return end('userStopped')
      const tokens = this.tokenize(fragment).length
      if (predictedTokens + tokens > maxTokens) return end('maxPredictedTokensReached')
      if (promptTokens + predictedTokens + tokens > this.contextLength) return end('contextLengthReached')
      predictedTokens += tokens
      onFragment(fragment, tokens)
    }
    return end(stopped ? 'stopStringFound' : 'eosFound')
  }

  /** What is still to be said. */
  #fragments(prompt: string): readonly string[] {
    const { answer } = this.#options
    const { head, partial, messages } = parseScriptedPrompt(prompt)
    const full = typeof answer === 'function' ? answer(head, messages) : answer
    if (typeof full !== 'string') return skip(full, partial.length)
    return this.#split(full.slice(wholeCharacters(full, partial.length)))
  }

  #split(text: string): readonly string[] {
    const { fragments = 'words' } = this.#options
    if (typeof fragments === 'function') return fragments(text)
    if (fragments === 'words') return words(text)
    const characters = Array.from(text)
    if (fragments === 'characters') return characters
    const pieces: string[] = []
    for (let at = 0; at < characters.length; at += fragments.size) pieces.push(characters.slice(at, at + fragments.size).join(''))
    return pieces
  }

  async #prefill(promptTokens: number, signal: AbortSignal): Promise<boolean> {
    const { prefillPerSecond } = this.#options
    return prefillPerSecond === undefined ? !signal.aborted : sleep((promptTokens / prefillPerSecond) * 1_000, signal)
  }
}

function words(text: string): string[] {
  return text.match(WORDS) ?? []
}

/** FNV-1a, 32 bits: the same word is the same token everywhere. */
function hash(word: string): number {
  let value = 0x811c9dc5
  for (let at = 0; at < word.length; at++) value = Math.imul(value ^ word.charCodeAt(at), 0x01000193)
  return value >>> 0
}

/** `at`, or one further where it would fall inside a surrogate pair. */
function wholeCharacters(text: string, at: number): number {
  return /[\uD800-\uDBFF]/.test(text.charAt(at - 1)) && /[\uDC00-\uDFFF]/.test(text.charAt(at)) ? at + 1 : at
}

/** Fragments from a length on; the one it falls into gives its rest. */
function skip(fragments: readonly string[], length: number): string[] {
  let left = length
  const rest: string[] = []
  for (const fragment of fragments) {
    if (left >= fragment.length && left > 0) left -= fragment.length
    else {
      rest.push(fragment.slice(wholeCharacters(fragment, left)))
      left = 0
    }
  }
  return rest
}

/** Fragments before the first stop string. */
function untilStop(fragments: readonly string[], stops: readonly string[]): { fragments: readonly string[]; stopped: boolean } {
  if (stops.length === 0) return { fragments, stopped: false }
  const text = fragments.join('')
  const found = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0)
  if (found.length === 0) return { fragments, stopped: false }
  let left = Math.min(...found)
  const kept: string[] = []
  for (const fragment of fragments) {
    if (left <= 0) break
    kept.push(fragment.slice(0, left))
    left -= fragment.length
  }
  return { fragments: kept, stopped: true }
}

/** Waits until fragment `index` is due; false when aborted. */
function pacer(pace: Pace, signal: AbortSignal): (index: number) => Promise<boolean> | boolean {
  const turn = async (): Promise<boolean> => {
    await immediately()
    return !signal.aborted
  }
  if (pace === 'turns') return turn
  if (pace === 'unpaced') return (index) => (index % BURST === BURST - 1 ? turn() : !signal.aborted)
  if ('delayMs' in pace) return () => sleep(pace.delayMs, signal)
  const started = performance.now()
  return (index) => sleep(started + (index / pace.perSecond) * 1_000 - performance.now(), signal)
}

/** False when aborted. */
async function sleep(ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return false
  if (ms <= 0) return true
  await after(ms, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
  return !signal.aborted
}
