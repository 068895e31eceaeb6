/**
 * Real tokenizers at hand: those of gpt-tokenizer, and of GGUF files where there are some.
 *
 * @module
 */
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { countTokens as cl100k } from 'gpt-tokenizer/encoding/cl100k_base'
import { countTokens as p50k } from 'gpt-tokenizer/encoding/p50k_base'
import { countTokens as r50k } from 'gpt-tokenizer/encoding/r50k_base'
import type { Tokenize } from './windows.ts'

const FOLDERS = ['../shared/models', 'node_modules/.cache/mai/home/models']

/** By name, and what ends them. Files are opened for their vocabulary only. */
export async function tokenizersAtHand(): Promise<{ readonly tokenizers: Readonly<Record<string, Tokenize>>; close(): Promise<void> }> {
  const plain = { disallowedSpecial: new Set<string>() }
  const found: Record<string, Tokenize> = {
    cl100k: (text) => cl100k(text, plain),
    p50k: (text) => p50k(text, plain),
    r50k: (text) => r50k(text, plain),
  }
  const files = FOLDERS.filter((folder) => existsSync(folder)).flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.gguf'))
      .map((name) => path.resolve(folder, name)),
  )
  if (files.length === 0) return { tokenizers: found, close: async () => {} }
  const { getLlama, LlamaLogLevel } = await import('node-llama-cpp')
  const llama = await getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error })
  for (const modelPath of files) {
    const model = await llama.loadModel({ modelPath, vocabOnly: true })
    found[path.basename(modelPath, '.gguf')] = (text) => model.tokenize(text).length
  }
  return { tokenizers: found, close: () => llama.dispose() }
}
