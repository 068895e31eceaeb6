/**
 * Marks in what a model writes, taken apart as LM Studio does: reasoning in `<think>…</think>`,
 * and, where tools were offered, calls in `<tool_call>{"name":…,"arguments":{…}}</tool_call>`.
 *
 * @module
 */
import { z } from 'zod'
import type { Piece } from './answer.ts'
import { toWire } from './errors.ts'

type ReasoningType = 'none' | 'reasoning' | 'reasoningStartTag' | 'reasoningEndTag'

const OPEN = '<tool_call>'
const CLOSE = '</tool_call>'
const call = z.object({ name: z.string(), arguments: z.record(z.string(), z.unknown()).optional() })

/** Turns the pieces of one answer into channel messages, as JSON. */
export class Marks {
  /** Tool calls that could be read. */
  calls = 0
  readonly #tools: boolean
  #reasoning = false
  /** A tool call that is not whole yet. */
  #held: Piece | undefined

  /** @param tools whether tools were offered */
  constructor(tools: boolean) {
    this.#tools = tools
  }

  messages(piece: Piece): string[] {
    if (!this.#reasoning && !this.#held && !piece.text.includes('<')) return [fragment(piece.text, piece.tokens, 'none')]
    const text = (this.#held?.text ?? '') + piece.text
    const tokens = (this.#held?.tokens ?? 0) + piece.tokens
    const open = this.#tools ? text.lastIndexOf(OPEN) : -1
    const waits = open >= 0 && !text.includes(CLOSE, open)
    this.#held = waits ? { text, tokens } : undefined
    if (waits) return []
    const parts = text.split(this.#tools ? /(<\/?think>|<tool_call>[\s\S]*?<\/tool_call>)/ : /(<\/?think>)/).filter((part) => part !== '')
    return parts.flatMap((part, index) => this.#part(part, index === 0 ? tokens : 0))
  }

  #part(text: string, tokens: number): string[] {
    if (text === '<think>') {
      this.#reasoning = true
      return [fragment(text, tokens, 'reasoningStartTag')]
    }
    if (text === '</think>') {
      this.#reasoning = false
      return [fragment(text, tokens, 'reasoningEndTag')]
    }
    if (this.#tools && text.startsWith(OPEN)) return this.#call(text)
    return [fragment(text, tokens, this.#reasoning ? 'reasoning' : 'none')]
  }

  #call(rawContent: string): string[] {
    const start = { type: 'toolCallGenerationStart' }
    try {
      const { name, arguments: given } = call.parse(JSON.parse(rawContent.slice(OPEN.length, -CLOSE.length)))
      const toolCallRequest = { type: 'function', id: `tool-${++this.calls}`, name, arguments: given ?? {} }
      return [start, { type: 'toolCallGenerationEnd', toolCallRequest, rawContent }].map((message) => JSON.stringify(message))
    } catch (error) {
      return [start, { type: 'toolCallGenerationFailed', error: toWire(error), rawContent }].map((message) => JSON.stringify(message))
    }
  }
}

/** Built by hand: this line is what a benchmark of the server measures. */
function fragment(text: string, tokens: number, reasoningType: ReasoningType): string {
  return (
    `{"type":"fragment","fragment":{"content":${JSON.stringify(text)},"tokensCount":${tokens},` +
    `"containsDrafted":false,"reasoningType":"${reasoningType}","isStructural":false}}`
  )
}
