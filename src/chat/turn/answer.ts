/**
 * An answer as it grows: what was released, who wrote it, and where it goes.
 *
 * @module
 */
import type { PluginContext } from '../../core/plugin.ts'
import type { TurnIds } from '../events.ts'
import type { Part, Span, ToolCallPart } from '../message.ts'
import type { ModelKey } from '../model.ts'
import { AnswerStream } from './answer-stream.ts'

/** How long released text is gathered for `generation.chunk`, in ms. */
const CHUNK_MS = 25

/**
 * Append-only. Nothing of it is shown before it is opened: what a person sees must not rest on a message that a power cut
 * could still take back (Nightingale et al., "Rethink the Sync", OSDI 2006).
 */
export class Answer {
  readonly stream: AnswerStream
  readonly spans: Omit<Span, 'messageId'>[] = []
  #text = ''
  #reasoning = ''
  #calls: ToolCallPart[] = []
  #firstTextAt: number | undefined
  #chunk = ''
  #timer: NodeJS.Timeout | undefined
  #open = false
  readonly #ctx: PluginContext
  readonly #ids: () => TurnIds
  readonly #now: () => number

  /** @param onAbandoned called when the consumer leaves before the end */
  constructor(ctx: PluginContext, ids: () => TurnIds, now: () => number, onAbandoned: () => void) {
    this.#ctx = ctx
    this.#ids = ids
    this.#now = now
    this.stream = new AnswerStream(onAbandoned)
  }

  get text(): string {
    return this.#text
  }

  get reasoning(): string {
    return this.#reasoning
  }

  get toolCalls(): readonly ToolCallPart[] {
    return this.#calls
  }

  /** Epoch ms of the first character that was shown. */
  get firstTextAt(): number | undefined {
    return this.#firstTextAt
  }

  /** Shows what is there, and from now on what comes. */
  open(): void {
    this.#open = true
    if (this.#text !== '') this.#firstTextAt = this.#now()
    if (this.#chunk !== '') this.#flushSoon()
    this.stream.open()
  }

  /** Text for the person. */
  release(text: string): void {
    if (text === '') return
    if (this.#open) this.#firstTextAt ??= this.#now()
    this.#text += text
    this.stream.push('text', text)
    if (!this.#ctx.listening('generation.chunk')) return
    this.#chunk += text
    if (this.#open) this.#flushSoon()
  }

  think(text: string): void {
    this.#reasoning += text
    this.stream.push('reasoning', text)
  }

  call(call: ToolCallPart): void {
    this.#calls.push(call)
  }

  /** An attempt begins: calls of one that failed are not answered by anybody. @returns writes down who wrote what came since; whether anything did */
  begin(model: ModelKey, reason: string): () => boolean {
    this.#calls = []
    const start = this.#text.length
    return () => {
      const end = this.#text.length
      if (end > start) this.spans.push({ start, end, model, reason })
      return end > start
    }
  }

  #flushSoon(): void {
    this.#timer ??= setTimeout(() => this.flush(), CHUNK_MS)
  }

  /** States what was gathered. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const text = this.#chunk
    this.#chunk = ''
    if (text !== '' && this.#open) this.#ctx.emit('generation.chunk', { ...this.#ids(), text })
  }

  /** As the store keeps it; empty where nothing came. */
  parts(): readonly Part[] {
    const reasoning: Part[] = this.#reasoning ? [{ type: 'reasoning', text: this.#reasoning }] : []
    const text: Part[] = this.#text || this.#reasoning ? [{ type: 'text', text: this.#text }] : []
    return [...reasoning, ...text, ...this.#calls]
  }

  /** Forgets what was gathered. */
  dispose(): void {
    clearTimeout(this.#timer)
  }
}
