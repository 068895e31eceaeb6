/**
 * Tells a real model a fact, talks of other things for many turns, moves to a small window, and asks for the fact.
 *
 * @module
 */
import { randomUUID } from 'node:crypto'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { AssembledPrompt, ContextAssembler } from '../src/chat/context.ts'
import { createMai, type Mai } from '../src/chat/mai.ts'
import { type Message, textOf } from '../src/chat/message.ts'
import { definePlugin, type Plugin } from '../src/core/plugin.ts'
import { compression } from '../src/plugins/compression/index.ts'
import { llamacpp } from '../src/plugins/llamacpp/index.ts'
import { resources } from '../src/plugins/resources/index.ts'
import { store } from '../src/plugins/store/index.ts'
import { switching } from '../src/plugins/switching/index.ts'
import { type RecallCase, smallTalk } from './recall-cases.ts'

/** Window that the conversation comes from, and the one it is moved to, in tokens. */
const WINDOWS = { first: 4096, second: 2048 }
const ANSWER_TOKENS = 24
/** Enough for any answer that is no loop. */
const WHOLE_TOKENS = 120

/** Files of models in a folder, smallest name first. */
export async function modelFiles(folder: string): Promise<string[]> {
  const names = await fs.readdir(folder, { recursive: true }).catch((): string[] => [])
  return names
    .filter((name) => name.endsWith('.gguf'))
    .sort()
    .map((name) => path.join(folder, name))
}

/** The folder where models for tests lie. */
export const MODELS: string = process.env.MAI_TEST_MODELS ?? path.resolve('node_modules/.cache/mai/home/models')

/** What became of a case. */
export interface Recalled {
  /** The answer is right. */
  readonly answered: boolean
  /** The fact stood in the prompt. */
  readonly inPrompt: boolean
  /** Tokens of the prompt. */
  readonly tokens: number
}

/** A Mai on one model with two windows. */
export interface RecallDesk {
  /** What the model makes of a question with its fact right before it. */
  bare(each: RecallCase): Promise<boolean>
  /** The same, so many turns later, after a switch from the larger to the smaller window. */
  later(each: RecallCase, turns: number): Promise<Recalled>
  close(): Promise<void>
}

/** @param context what fits conversations to windows; default: Mai's own */
export async function openRecallDesk(model: string, context: Plugin = compression()): Promise<RecallDesk> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-recall-'))
  // One file under two names: to Mai they are two models.
  const paths = await Promise.all(
    Object.keys(WINDOWS).map(async (name) => {
      const copy = path.join(folder, `${name}.gguf`)
      await fs.copyFile(model, copy)
      return copy
    }),
  )
  const mai = await createMai({
    plugins: [
      store({ file: path.join(folder, 'mai.db') }),
      resources({ graphics: false }),
      switching(),
      context,
      llamacpp({ paths, discover: false, threads: 1 }),
    ],
    models: {
      '*': { temperature: 0 },
      ...Object.fromEntries(Object.entries(WINDOWS).map(([name, contextLength]) => [name, { contextLength }])),
    },
  })
  // Both stay in memory, so that a switch is a switch of the conversation and not a load each time.
  for (const name of Object.keys(WINDOWS)) await mai.models.preloadModel(name)
  let prompt: AssembledPrompt | undefined
  const assembler = mai.kernel.context.use('context')
  const assemble = assembler.assemble.bind(assembler)
  assembler.assemble = async (request) => {
    prompt = await assemble(request)
    return prompt
  }
  const ask = async (sessionId: string, text: string, window: keyof typeof WINDOWS, maxTokens = ANSWER_TOKENS): Promise<string> => {
    const reply = await mai.processMessage(text, { sessionId, model: window, sampling: { maxTokens } })
    // What another window knows says nothing.
    if (reply.model !== `llamacpp/${window}`) throw new Error(`${reply.model} answered instead of ${window}.`)
    return reply.text
  }
  return {
    async bare({ fact, question, right }) {
      const { id } = await mai.openSession()
      return right.test(await ask(id, `${fact} ${question}`, 'second'))
    },
    async later({ fact, question, right }, turns) {
      const { id } = await mai.openSession()
      await said(mai, id, fact, 'I see, thank you for telling me.')
      for (let turn = 0; turn < turns; turn++) await said(mai, id, ...smallTalk(turn))
      // To its end: a small model says again what was broken off right before.
      await ask(id, 'Let us go on with the tour.', 'first', WHOLE_TOKENS)
      const answered = right.test(await ask(id, question, 'second'))
      const texts = prompt?.messages.map(({ parts }) => textOf(parts)) ?? []
      return { answered, inPrompt: texts.some((text) => text.includes(fact)), tokens: prompt?.tokens ?? 0 }
    },
    async close() {
      await mai.shutdown()
      await fs.rm(folder, { recursive: true, force: true })
    },
  }
}

/** A turn of the past. */
async function said(mai: Mai, sessionId: string, asked: string, answered: string): Promise<void> {
  const turn = { sessionId, turnId: randomUUID(), time: Date.now(), complete: true }
  for (const [role, text] of [
    ['user', asked],
    ['assistant', answered],
  ] as const) {
    await mai.store.appendMessage({ ...turn, id: randomUUID(), role, parts: [{ type: 'text', text }] })
  }
}

/** What many programs do: the newest messages that fit, and nothing else. */
export function keepLast(): Plugin {
  const tokens = (text: string): number => Math.ceil(text.length / 3.5) + 6
  const assembler: ContextAssembler = {
    async assemble({ window, message, history }) {
      const usableTokens = window.contextLength - window.reserveTokens
      let room = usableTokens * 0.85 - tokens(textOf(message.parts))
      const kept: Message[] = []
      for (const old of [...(await history.page(400))].reverse()) {
        room -= tokens(textOf(old.parts))
        if (room < 0) break
        kept.unshift(old)
      }
      while (kept[0]?.role === 'assistant') kept.shift()
      const messages = [...kept, message].map(({ role, parts }) => ({ role, parts }))
      const used = messages.reduce((sum, { parts }) => sum + tokens(textOf(parts)), 0)
      return { messages, tokens: used, exact: false, usableTokens, condensed: true, verbatimMessages: messages.length, totalMessages: 401 }
    },
    estimateTokens: (_, text) => tokens(text),
    observe() {},
  }
  return definePlugin({
    name: 'keep-last',
    apiVersion: 1,
    provides: ['context'],
    setup(ctx) {
      ctx.provide('context', assembler)
    },
  })()
}
