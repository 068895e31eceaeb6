/**
 * One answer: server-sent events in, or one object from a server that does not stream; pieces out, and a verdict on its end.
 * What it is, is told by how it begins: servers and what stands before them label it as anything.
 *
 * An answer is whole when its last choice has a `finish_reason` or the stream says `[DONE]`; without either it was cut off.
 *
 * @module
 */
import type { Readable } from 'node:stream'
import { createParser } from 'eventsource-parser'
import type { FinishReason, GenerationPiece, PieceSink, Usage } from '../../chat/backend.ts'
import { backendError } from '../../chat/failure.ts'
import { ReasoningSplitter } from '../../chat/reasoning.ts'
import { isRecord, plain, refusalError, refusalIn, thrownError } from './errors.ts'
import { ToolCalls } from './tool-calls.ts'

/** How an answer ended. */
export interface Ended {
  readonly finish: FinishReason
  /** Undefined: the server did not say. */
  readonly usage: Usage | undefined
  /** Pieces of text and reasoning. */
  readonly tokens: number
}

/** What reading an answer needs. */
export interface AnswerInput {
  readonly where: string
  readonly body: Readable
  readonly sink: PieceSink
  /** Whether `<think>…</think>` at its beginning is reasoning: servers without a parser for it send it as text. */
  readonly mayThink: boolean
  readonly idleMs: number
  readonly secrets: readonly string[]
  readonly signal: AbortSignal
}

/** What comes after the reason of the end (usage, the end marker) may take so long, in ms. */
const GRACE_MS = 300
/** Longest single event, and longest answer as one object, in characters. */
const LONGEST_EVENT = 8 * 1024 * 1024

const FINISH: Readonly<Record<string, FinishReason>> = {
  stop: 'stop',
  eos: 'stop',
  end_turn: 'stop',
  length: 'length',
  max_tokens: 'length',
  max_output_tokens: 'length',
  model_length: 'context-full',
  tool_calls: 'tool-calls',
  function_call: 'tool-calls',
}
/**
 * Others in use, read in this order: Google's `SAFETY`, Cohere's `ERROR_TOXIC`, Anthropic's `model_context_window_exceeded`,
 * vLLM's `abort`, DeepSeek's `insufficient_system_resource`. What is filtered is not tried again, whatever else it is called.
 */
const FILTERED = /filter|safety|prohibited|recitation|blocklist|toxic/
const WINDOW_FULL = /context|window/
/** Of the answer; a limit of requests is a failure. */
const LIMITED = /length|max|(?<!rate.?)limit/
const FAILED = /abort|cancel|error|fail|interrupt|insufficient|malformed|rate.?limit|timeout|unavailable/

/** Reads to the end. @throws MaiError; the signal's reason when it aborts */
export function readAnswer(input: AnswerInput): Promise<Ended> {
  return new Promise((resolve, reject) => new Reader(input, resolve, reject).start())
}

class Reader {
  readonly #input: AnswerInput
  readonly #resolve: (ended: Ended) => void
  readonly #reject: (error: unknown) => void
  readonly #decoder: InstanceType<typeof TextDecoder> = new TextDecoder()
  readonly #parser: ReturnType<typeof createParser>
  readonly #calls: ToolCalls = new ToolCalls()
  readonly #splitter: ReasoningSplitter
  /** Undefined until it is told by the first character. */
  #streams: boolean | undefined
  #object = ''
  readonly #onAbort = (): void => this.#fail(this.#input.signal.reason)
  #idle: NodeJS.Timeout | undefined
  #grace: NodeJS.Timeout | undefined
  /** Of the first choice that came. */
  #index: string | undefined
  #finish: string | undefined
  #filtered = ''
  #usage: Usage | undefined
  #tokens = 0
  #over = false

  constructor(input: AnswerInput, resolve: (ended: Ended) => void, reject: (error: unknown) => void) {
    this.#input = input
    this.#resolve = resolve
    this.#reject = reject
    this.#splitter = new ReasoningSplitter(input.mayThink, (piece) => this.#deliver(piece))
    this.#parser = createParser({
      maxBufferSize: LONGEST_EVENT,
      onEvent: ({ data, event }) => this.#event(data, event),
      onError: (error) => {
        // llama-server names the field of an error so.
        if (error.type === 'unknown-field' && error.field === 'error') this.#event(`{"error":${error.value || '{}'}}`)
        else if (error.type === 'max-buffer-size-exceeded') this.#broken('an event without an end')
      },
    })
  }

  start(): void {
    const { body, signal, idleMs, where } = this.#input
    this.#idle = setTimeout(
      () => this.#fail(backendError('MAI_BACKEND_TIMEOUT', `${where} sent nothing for ${Math.round(idleMs / 1000)} s.`)),
      idleMs,
    )
    if (signal.aborted) return this.#onAbort()
    signal.addEventListener('abort', this.#onAbort, { once: true })
    body.on('data', (chunk: Buffer) => this.#feed(this.#decoder.decode(chunk, { stream: true })))
    body.on('end', () => {
      this.#feed(`${this.#decoder.decode()}\n\n`)
      if (this.#object !== '') this.#tried(() => this.#event(this.#object))
      this.#end(undefined)
    })
    body.on('error', (error) => this.#end(error))
    body.on('close', () => this.#end(undefined))
    // It may have broken before anybody listened.
    if (body.destroyed) this.#end(body.errored)
  }

  #feed(text: string): void {
    if (this.#over) return
    const [first] = this.#streams === undefined ? text.trimStart() : []
    if (first !== undefined) this.#streams = first !== '{'
    if (this.#streams === undefined) return
    if (this.#streams) return this.#tried(() => this.#parser.feed(text))
    this.#object += text
    if (this.#object.length > LONGEST_EVENT) this.#broken('an answer without an end')
  }

  #tried(read: () => void): void {
    try {
      read()
    } catch (error) {
      // The sink threw.
      this.#fail(error)
    }
  }

  #event(data: string, name?: string): void {
    if (this.#over || data.trim() === '') return
    if (data.trim() === '[DONE]') {
      this.#finish ??= 'stop'
      return this.#settle()
    }
    let value: unknown
    try {
      value = JSON.parse(data)
    } catch {
      return this.#broken('a piece that is not JSON')
    }
    if (!isRecord(value)) return this.#broken('a piece that is no object')
    if (name === 'error' || saysError(value)) return this.#fail(refusalError(this.#input.where, refusalIn(value, 200), this.#input.secrets))
    this.#usage = usageIn(value.usage) ?? this.#usage
    this.#progress(value.prompt_progress)
    // Of several answers the first, whatever number it has: nobody asked for more.
    const choices: unknown[] = Array.isArray(value.choices) ? value.choices : []
    const choice = choices.filter(isRecord).find(({ index }) => this.#index === undefined || indexOf(index) === this.#index)
    if (!choice) return
    this.#index = indexOf(choice.index)
    this.#choice(choice)
  }

  #choice(choice: Record<string, unknown>): void {
    // Servers that do not stream send a message instead.
    const delta = isRecord(choice.delta) ? choice.delta : isRecord(choice.message) ? choice.message : {}
    this.#text('reasoning', delta.reasoning_content ?? delta.reasoning)
    this.#text('text', delta.content)
    this.#text('text', delta.refusal)
    if (this.#calls.push(delta.tool_calls)) this.#idle?.refresh()
    if (typeof choice.finish_reason !== 'string' || choice.finish_reason === '') return
    this.#finish = choice.finish_reason
    if (finishOf(choice.finish_reason) === 'content-filter') this.#filtered = filteredCategories(choice.content_filter_results)
    this.#grace ??= setTimeout(() => this.#settle(), GRACE_MS)
  }

  #text(type: 'text' | 'reasoning', value: unknown): void {
    const text = typeof value === 'string' ? value : textOfParts(value)
    if (text === '') return
    this.#tokens++
    if (type === 'text') this.#splitter.push(text, 1)
    else this.#deliver({ type, text, tokens: 1 })
  }

  #progress(value: unknown): void {
    if (!isRecord(value)) return
    const { total, processed } = value
    if (typeof total === 'number' && typeof processed === 'number' && total > 0)
      this.#deliver({ type: 'prefill', fraction: Math.min(1, processed / total) })
  }

  #deliver(piece: GenerationPiece): void {
    if (this.#over) return
    this.#idle?.refresh()
    this.#input.sink(piece)
  }

  #broken(what: string): void {
    this.#fail(backendError('MAI_BACKEND_ERROR', `${this.#input.where} sent ${what}.`))
  }

  /** The body is over, with or without an error. */
  #end(error: unknown): void {
    if (this.#over) return
    if (this.#finish !== undefined) return this.#settle()
    const { where, secrets } = this.#input
    if (error !== undefined && error !== null) return this.#fail(thrownError(where, error, secrets))
    this.#fail(backendError('MAI_BACKEND_LOST', `${where}: the answer broke off before its end.`))
  }

  #settle(): void {
    if (this.#over) return
    const calls = this.#calls.pieces()
    const told = finishOf(this.#finish ?? '')
    // Some servers end with `stop` after a call.
    const finish = told === 'stop' && calls.length > 0 ? 'tool-calls' : told
    if (finish === 'content-filter') {
      const why = this.#filtered === '' ? '' : ` (${this.#filtered})`
      return this.#fail(backendError('MAI_CONTENT_FILTERED', `${this.#input.where}: the provider filtered the answer${why}.`))
    }
    try {
      this.#splitter.end()
      if (finish === 'tool-calls') for (const piece of calls) this.#deliver(piece)
    } catch (error) {
      return this.#fail(error)
    }
    this.#close()
    this.#resolve({ finish, usage: this.#usage, tokens: this.#tokens })
  }

  #fail(error: unknown): void {
    if (this.#over) return
    this.#close()
    this.#reject(error)
  }

  #close(): void {
    this.#over = true
    clearTimeout(this.#idle)
    clearTimeout(this.#grace)
    this.#input.signal.removeEventListener('abort', this.#onAbort)
    const { body } = this.#input
    // What is left of it is nobody's; a body that has ended gives its connection back.
    if (body.readableEnded) return
    body.on('error', () => {})
    setImmediate(() => body.destroy())
  }
}

/** Some servers write numbers as text, or leave the first one out. */
function indexOf(index: unknown): string {
  return String(index ?? 0)
}

function usageIn(value: unknown): Usage | undefined {
  if (!isRecord(value)) return undefined
  const { prompt_tokens: promptTokens, completion_tokens: completionTokens } = value
  return isCount(promptTokens) && isCount(completionTokens) ? { promptTokens, completionTokens } : undefined
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

function finishOf(reason: string): FinishReason {
  const lower = reason.toLowerCase()
  const known = FINISH[lower]
  if (known) return known
  if (FILTERED.test(lower)) return 'content-filter'
  if (WINDOW_FULL.test(lower)) return 'context-full'
  if (LIMITED.test(lower)) return 'length'
  return FAILED.test(lower) ? 'failed' : 'stop'
}

/** Whether a piece is an error, by any of the names that servers have for one; not all of them end the stream with it. */
function saysError({ error, object, choices, detail, message }: Record<string, unknown>): boolean {
  if (error || object === 'error') return true
  return choices === undefined && (detail !== undefined || typeof message === 'string')
}

/** Some servers send content in parts. */
function textOfParts(value: unknown): string {
  if (!Array.isArray(value)) return ''
  return value.map((part) => (isRecord(part) && typeof part.text === 'string' ? part.text : '')).join('')
}

/** Azure's categories that were hit, such as `violence`. */
function filteredCategories(value: unknown): string {
  if (!isRecord(value)) return ''
  const hit = Object.entries(value).flatMap(([name, result]) => (isRecord(result) && result.filtered === true ? [name] : []))
  return plain(hit.join(', '))
}
