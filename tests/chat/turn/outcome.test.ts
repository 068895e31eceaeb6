import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import type { Backend, GenerationResult } from '../../../src/chat/backend.ts'
import { createMai } from '../../../src/chat/mai.ts'
import { definePlugin } from '../../../src/core/plugin.ts'
import { store } from '../../../src/plugins/store/index.ts'
import { switching } from '../../../src/plugins/switching/index.ts'
import { resourceTrace } from '../../../src/testing/resource-trace.ts'

/** What the assembler is told of a prompt that it took for 10 tokens, when the engine says this at the end. */
async function observedOf(usage: GenerationResult['usage']): Promise<number[]> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-outcome-'))
  onTestFinished(() => fs.rm(folder, { recursive: true, force: true }))
  const instance = { instanceId: 'one', model: 'engine/one', contextLength: 8192 }
  const model = {
    key: 'engine/one',
    backend: 'engine',
    id: 'one',
    name: 'one',
    remote: false,
    sizeBytes: 1,
    parameters: 1,
    quantisation: undefined,
    architecture: undefined,
    maxContextLength: 8192,
    abilities: { vision: false, tools: false, reasoning: false },
    path: undefined,
    instances: [instance],
  }
  const backend: Backend = {
    name: 'engine',
    remote: false,
    allowRemote: false,
    abilities: { continuation: 'none', loads: false },
    list: async () => [model],
    load: async () => instance,
    unload: async () => {},
    generate: async (_, sink) => {
      sink({ type: 'text', text: 'An answer.', tokens: 3 })
      return { finish: 'stop', usage }
    },
    countTokens: async () => undefined,
  }
  const observed: number[] = []
  const parts = definePlugin({
    name: 'parts',
    apiVersion: 1,
    provides: ['backend', 'context'],
    setup(ctx) {
      ctx.contribute('backend', backend)
      ctx.provide('context', {
        assemble: async ({ message }) => {
          const messages = [{ role: 'user' as const, parts: message.parts }]
          return { messages, tokens: 10, exact: false, usableTokens: 1000, condensed: false, verbatimMessages: 1, totalMessages: 1 }
        },
        estimateTokens: () => 1,
        observe: (_, __, tokens) => void observed.push(tokens),
      })
    },
  })
  const plugins = [store({ file: path.join(folder, 'mai.db') }), resourceTrace().plugin, switching(), parts()]
  const mai = await createMai({ plugins })
  onTestFinished(() => mai.shutdown())
  expect((await mai.processMessage('Hello?')).text).toBe('An answer.')
  return observed
}

it('tells the assembler how long a prompt was where the engine has counted it, and nothing where it has not', async () => {
  expect(await observedOf({ promptTokens: 14, completionTokens: 3 })).toEqual([14])
  expect(await observedOf({ promptTokens: 0, completionTokens: 3 })).toEqual([])
})
