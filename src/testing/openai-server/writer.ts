/**
 * Writes one answer of the stand-in OpenAI server, as a stream or whole, up to where a fault ends it.
 *
 * @module
 */
import { randomUUID } from 'node:crypto'
import type http from 'node:http'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import type { OpenAiFault } from './faults.ts'
import type { StandInRequest } from './request.ts'

/** What to write. */
export interface AnswerContent {
  readonly reasoning: string
  readonly text: string
  readonly toolCall: { readonly name: string; readonly arguments: string } | undefined
  readonly fault: OpenAiFault | undefined
}

/** How to write it. */
export interface WriterOptions {
  readonly promptTokens: number
  readonly everyMs: number
  readonly signal: AbortSignal
  /** The server dies. */
  readonly die: (restartAfterMs: number | undefined) => void
}

interface Delta extends Readonly<Record<string, unknown>> {}

/** One answer; used once. */
export class AnswerWriter {
  readonly #response: http.ServerResponse
  readonly #request: StandInRequest
  readonly #options: WriterOptions
  readonly #head: Readonly<Record<string, unknown>>

  constructor(response: http.ServerResponse, request: StandInRequest, options: WriterOptions) {
    this.#response = response
    this.#request = request
    this.#options = options
    this.#head = { id: `chatcmpl-${randomUUID()}`, created: Math.floor(Date.now() / 1000), model: request.model }
  }

  /** Settles when the answer is over, however it ends. */
  async write({ reasoning, text, toolCall, fault }: AnswerContent): Promise<void> {
    const all = fault?.kind === 'empty' ? [] : piecesOf(text)
    const limit = this.#request.maxTokens ?? Infinity
    const pieces = toolCall ? [] : all.slice(0, limit)
    const finish = toolCall ? 'tool_calls' : all.length > limit ? 'length' : 'stop'
    const completion = pieces.length + piecesOf(reasoning).length + (toolCall ? 1 : 0)
    const { promptTokens } = this.#options
    const usage = { prompt_tokens: promptTokens, completion_tokens: completion, total_tokens: promptTokens + completion }
    if (!this.#request.stream) return this.#whole(reasoning, pieces.join(''), finish, usage)
    this.#response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
    this.#delta({ role: 'assistant', content: '' })
    for (const piece of piecesOf(reasoning)) this.#delta({ reasoning_content: piece })
    if (toolCall) this.#toolCall(toolCall)
    for (const [sent, piece] of pieces.entries()) {
      if (fault && 'afterPieces' in fault && fault.afterPieces === sent && (await this.#faulty(fault))) return
      this.#delta({ content: piece })
      // Pieces leave one by one, as from a model.
      await (this.#options.everyMs > 0 ? sleep(this.#options.everyMs, undefined, { signal: this.#options.signal }) : turn())
      if (this.#response.destroyed) return
    }
    this.#end(finish, usage, fault)
  }

  #whole(reasoning: string, content: string, finish: string, usage: unknown): void {
    const message = { role: 'assistant', content, ...(reasoning === '' ? {} : { reasoning_content: reasoning }) }
    const body = {
      ...this.#head,
      object: 'chat.completion',
      choices: [{ index: 0, message, finish_reason: finish, logprobs: null }],
      usage,
    }
    this.#response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }

  /** A call comes in pieces too: its name first, then its arguments. */
  #toolCall({ name, arguments: json }: { readonly name: string; readonly arguments: string }): void {
    const half = Math.ceil(json.length / 2)
    this.#delta({ tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name, arguments: '' } }] })
    for (const part of [json.slice(0, half), json.slice(half)]) this.#delta({ tool_calls: [{ index: 0, function: { arguments: part } }] })
  }

  #end(finish: string, usage: unknown, fault: OpenAiFault | undefined): void {
    this.#delta({}, finish)
    if (fault?.kind === 'no-end-marker') return void (fault.open || this.#response.end())
    if (this.#request.usage) this.#event({ ...this.#head, object: 'chat.completion.chunk', choices: [], usage })
    this.#response.end('data: [DONE]\n\n')
  }

  /** @returns whether the answer is over */
  async #faulty(fault: OpenAiFault): Promise<boolean> {
    switch (fault.kind) {
      case 'cut':
        // What was written before reaches the client.
        await sleep(20)
        if (fault.clean) this.#response.end()
        else this.#response.socket?.resetAndDestroy()
        return true
      case 'kill-server':
        await sleep(20)
        this.#options.die(fault.restartAfterMs)
        return true
      case 'stall':
        await this.#silence(fault.keepAliveMs)
        return true
      case 'malformed':
        this.#response.write('data: {"choices":[{"delta":{"content":"\n\n')
        return false
      case 'error-piece':
        this.#event({ error: { message: fault.message ?? 'CUDA error: out of memory', type: 'server_error', code: 500 } })
        this.#response.end('data: [DONE]\n\n')
        return true
      case 'filter':
        this.#delta({}, 'content_filter', { content_filter_results: { violence: { filtered: true, severity: 'high' } } })
        this.#response.end('data: [DONE]\n\n')
        return true
      default:
        return false
    }
  }

  async #silence(keepAliveMs: number | undefined): Promise<void> {
    while (keepAliveMs !== undefined && !this.#response.destroyed) {
      this.#response.write(': still here\n\n')
      await sleep(keepAliveMs, undefined, { signal: this.#options.signal })
    }
  }

  #delta(delta: Delta, finish: string | null = null, more: Delta = {}): void {
    const choices = [{ index: 0, delta, logprobs: null, finish_reason: finish, ...more }]
    this.#event({ ...this.#head, object: 'chat.completion.chunk', choices, ...(this.#request.usage ? { usage: null } : {}) })
  }

  #event(value: unknown): void {
    this.#response.write(`data: ${JSON.stringify(value)}\n\n`)
  }
}

/** A word with the space before it is a piece. */
function piecesOf(text: string): string[] {
  return text.match(/\s*\S+\s*$|\s*\S+/g) ?? []
}
