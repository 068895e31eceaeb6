/**
 * Conversations in a real store, and the assembler over it.
 *
 * @module
 */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { PromptMessage } from '../../../src/chat/backend.ts'
import type { AssembledPrompt, PromptSection } from '../../../src/chat/context.ts'
import type { Message, Part, Role } from '../../../src/chat/message.ts'
import { type Assembly, assemble, type CompressionOptions, type SizedPrompt } from '../../../src/plugins/compression/assemble.ts'
import { Excerpts } from '../../../src/plugins/compression/excerpts.ts'
import { KeptTails, KnownLengths } from '../../../src/plugins/compression/history.ts'
import { Remembered } from '../../../src/plugins/compression/remembered.ts'
import { promptText, TokenEstimator } from '../../../src/plugins/compression/tokens.ts'
import { createStore, type OpenStore } from '../../../src/plugins/store/store.ts'

export const DEFAULTS: CompressionOptions = { prepareAt: 0.7, condenseAt: 0.9, condenseTo: 0.5, extractShare: 0.15 }

/** What is said: a text by the user, or parts by anybody. */
export type Said = string | readonly [role: Role, said: string | readonly Part[]]

let count = 0

/** A store with sessions, and prompts from it. */
export class Talks {
  readonly store: OpenStore
  readonly tokens: TokenEstimator = new TokenEstimator()
  readonly #folder: string
  readonly #shared: Omit<Assembly, 'options' | 'store'>
  /** Of the next message; a minute passes with each. */
  time: number = Date.UTC(2024, 4, 8)

  constructor() {
    this.#folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mai-context-'))
    this.store = createStore({ file: path.join(this.#folder, 'mai.db'), ownFolder: false })
    this.#shared = this.fresh()
  }

  /** An assembler that remembers nothing yet. */
  fresh(): Omit<Assembly, 'options' | 'store'> {
    const { tokens } = this
    return {
      tokens,
      remembered: new Remembered(tokens),
      lengths: new KnownLengths(),
      tails: new KeptTails(),
      excerpts: new Excerpts(tokens),
    }
  }

  async session(said: readonly Said[] = []): Promise<string> {
    const id = `s${++count}`
    await this.store.createSession({ id, title: '', time: this.time })
    for (const each of said) await this.say(id, each)
    // A search waits for the index, a turn only for a moment.
    await this.store.search('all')
    return id
  }

  say(sessionId: string, said: Said): Promise<Message> {
    const [role, what] = typeof said === 'string' ? (['user', said] as const) : said
    const parts: readonly Part[] = typeof what === 'string' ? [{ type: 'text', text: what }] : what
    const id = `m${++count}`
    return this.store.appendMessage({ id, sessionId, turnId: `t-${id}`, role, parts, time: (this.time += 60_000), complete: true })
  }

  /** The prompt for a stored message. */
  async prompt(message: Message, contextLength: number, more: Partial<PromptRequest> = {}): Promise<SizedPrompt> {
    const { model = 'x/y', sections = [], options = {}, exact, shared = this.#shared } = more
    const reserveTokens = more.reserveTokens ?? Math.min(1024, Math.floor(contextLength / 4))
    return assemble(
      {
        sessionId: message.sessionId,
        turnId: message.turnId,
        model,
        window: { contextLength, reserveTokens },
        sections,
        message,
        history: { page: (limit, before = message.seq) => this.store.messages(message.sessionId, { limit, before }) },
        partial: '',
        exactCount: async (messages) => exact?.(messages),
      },
      { ...shared, options: { ...DEFAULTS, ...options }, store: this.store },
    )
  }

  async close(): Promise<void> {
    await this.store.close()
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }
}

interface PromptRequest {
  readonly model: string
  readonly sections: readonly PromptSection[]
  readonly options: Partial<CompressionOptions>
  readonly exact: (messages: readonly PromptMessage[]) => number | undefined
  readonly reserveTokens: number
  readonly shared: Omit<Assembly, 'options' | 'store'>
}

/** All text of a prompt, or of its system message. */
export function textIn({ messages }: AssembledPrompt): string {
  return messages.map(promptText).join('\n')
}

export function systemText({ messages }: AssembledPrompt): string {
  return messages
    .filter(({ role }) => role === 'system')
    .map(promptText)
    .join('\n')
}

const WORDS = 'river stone window garden letter music market winter engine basket silver candle bridge meadow kettle pencil'.split(' ')

/** Small talk of so many messages, user and assistant in turn, about so many words each. */
export function smallTalk(messages: number, words = 25): Said[] {
  return Array.from({ length: messages }, (_, index): Said => {
    const text = Array.from({ length: words }, (__, at) => WORDS[(index * 5 + at * 7 + ((at * at) % 3)) % WORDS.length]).join(' ')
    return [index % 2 === 0 ? 'user' : 'assistant', `${text}.`]
  })
}
