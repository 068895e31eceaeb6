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
import { fill, type Line } from './fill.ts'
import { generateConversation, seeded } from './generate.ts'

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

const CODE = [
  'const total = items.reduce((sum, { price, count }) => sum + price * count, 0)',
  "SELECT id, name FROM users WHERE created_at > now() - interval '7 days' ORDER BY name;",
  'for (let i = 0; i < 0x1f; i++) { buffer[i] ^= key[i % key.length] }',
  '{"error":{"code":"E_4711","message":"upstream closed"},"retry":true,"after":1250}',
]
const CHINESE = '今天天气很好我们去公园散步然后在湖边的餐厅吃饭他说评分是四点七分电话是零一零门票五十元开放时间早上九点到下午五点'

/** Talk, code, Chinese, numbers and links, some of it long. */
function* mixedLines(count: number, seed: number): Generator<Line> {
  const next = seeded(seed)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T
  const { turns } = generateConversation(seed, 4)
  for (let at = 0; at < count; at++) {
    const kind = next()
    const length = 1 + Math.floor(next() ** 3 * 24)
    const piece = (): string => {
      if (kind < 0.55) return pick(turns).text
      if (kind < 0.7) return pick(CODE)
      if (kind < 0.85) return `${CHINESE.slice(Math.floor(next() * 30), 30 + Math.floor(next() * 26))}。`
      return `https://example.org/${Math.floor(next() * 1e9).toString(36)}?q=${Math.floor(next() * 1e6)} ${Math.floor(next() * 1e12)}`
    }
    yield { role: at % 2 === 0 ? 'user' : 'assistant', text: Array.from({ length }, piece).join(kind < 0.7 ? '\n' : ' ') }
  }
}

/**
 * @param tokenizers by name
 * @param counted whether the engine counts whole prompts when asked; otherwise it only reports afterwards
 */
export async function switchWindows(
  tokenizers: Readonly<Record<string, Tokenize>>,
  switches: number,
  messages: number,
  counted: boolean,
): Promise<Switches> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mai-windows-'))
  const file = path.join(folder, 'mai.db')
  await fill(file, SESSION, mixedLines(messages, 1))
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

/** Counts a whole prompt message by message; the same text is counted once. */
function countPrompt(model: string, tokenizers: Readonly<Record<string, Tokenize>>): (messages: readonly PromptMessage[]) => number {
  const count = tokenizers[model] ?? (() => 0)
  const once = (text: string): number => {
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
