/**
 * Random switches between windows and tokenizers: does every prompt fit, by the model's own count?
 *
 * @module
 */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { PromptMessage } from '../../src/chat/backend.ts'
import { promptText } from '../../src/plugins/compression/tokens.ts'
import { createStore } from '../../src/plugins/store/store.ts'
import { DEFAULTS, openAssembler } from './assembler.ts'
import { fill } from './fill.ts'
import { seeded } from './generate.ts'
import { type MakeLines, mixedLines } from './lines.ts'

/** Tokens of a text, by a real tokenizer. */
export type Tokenize = (text: string) => number

/** What came of it. */
export interface Switches {
  readonly prompts: number
  /** Longer than the window without its reserve; and than the whole window. */
  readonly overUsable: number
  readonly overWindow: number
  /** Mean share of the usable window that condensed prompts take, by the true count. */
  readonly fill: number
  readonly condensed: number
}

/** Tokens that a template puts around a message (ChatML: four or five). */
const TEMPLATE = 5
const SMALLEST = 1024
const LARGEST = 131_072
const SESSION = 'switches'

/**
 * @param tokenizers by name
 * @param counted whether the engine counts whole prompts when asked; otherwise it only reports afterwards
 * @param lines of the session
 */
export async function switchWindows(
  tokenizers: Readonly<Record<string, Tokenize>>,
  switches: number,
  messages: number,
  counted: boolean,
  lines: MakeLines = mixedLines,
): Promise<Switches> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mai-windows-'))
  const file = path.join(folder, 'mai.db')
  await fill(file, SESSION, lines(messages, 1))
  const store = createStore({ file, ownFolder: false })
  try {
    const { tokens, assemble } = openAssembler(store)
    const options = { ...DEFAULTS, condenseAt: 0.95, condenseTo: 0.95 }
    const next = seeded(switches)
    const names = Object.keys(tokenizers)
    let [prompts, overUsable, overWindow, condensed, filled] = [0, 0, 0, 0, 0]
    while (prompts < switches) {
      const model = names[Math.floor(next() * names.length)] ?? ''
      const contextLength = Math.floor(SMALLEST * (LARGEST / SMALLEST) ** next())
      const [message] = await store.messages(SESSION, { limit: 1, before: 2 + 2 * Math.ceil((next() * messages) / 2) })
      if (message?.role !== 'user') continue
      const exact = countPrompt(model, tokenizers)
      const made = await assemble({ message, model, contextLength, options, ...(counted ? { exact } : {}) }).catch((error: unknown) => {
        if ((error as { code?: string }).code === 'MAI_CONTEXT_OVERFLOW') return undefined
        throw error
      })
      if (!made) continue
      prompts++
      const { prompt, size } = made
      const truth = exact(prompt.messages)
      if (truth > prompt.usableTokens) overUsable++
      if (truth > contextLength) overWindow++
      if (prompt.condensed) {
        condensed++
        filled += truth / prompt.usableTokens
      }
      if (!prompt.exact) tokens.learn(model, size, truth)
    }
    return { prompts, overUsable, overWindow, condensed, fill: filled / condensed }
  } finally {
    await store.close()
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

const counts: Map<string, number> = new Map()
const MOST_COUNTS = 50_000
const LONGEST_KEPT = 4096

/** Counts a whole prompt message by message; the same text is counted once. */
function countPrompt(model: string, tokenizers: Readonly<Record<string, Tokenize>>): (messages: readonly PromptMessage[]) => number {
  const count = tokenizers[model] ?? (() => 0)
  const once = (text: string): number => {
    // Quotes are put together anew for each prompt: keeping them would only fill the memory.
    if (text.length > LONGEST_KEPT) return count(text)
    const key = `${model} ${text}`
    const known = counts.get(key)
    if (known !== undefined) return known
    if (counts.size > MOST_COUNTS) counts.clear()
    const made = count(text)
    counts.set(key, made)
    return made
  }
  // Parts of one message are joined by a line break, which is a token at most.
  return (messages) =>
    messages.reduce(
      (sum, message) =>
        sum + TEMPLATE + message.parts.reduce((all, part) => all + 1 + once(promptText({ role: message.role, parts: [part] })), 0),
      0,
    )
}
