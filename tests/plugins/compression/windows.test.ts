import { countTokens as cl100k } from 'gpt-tokenizer/encoding/cl100k_base'
import { countTokens as p50k } from 'gpt-tokenizer/encoding/p50k_base'
import { countTokens as r50k } from 'gpt-tokenizer/encoding/r50k_base'
import { describe, expect, it } from 'vitest'
import { manyScripts, mixedLines } from '../../../bench/context/lines.ts'
import { switchWindows } from '../../../bench/context/windows.ts'

const plain = { disallowedSpecial: new Set<string>() }
const tokenizers = {
  cl100k: (text: string) => cl100k(text, plain),
  p50k: (text: string) => p50k(text, plain),
  r50k: (text: string) => r50k(text, plain),
}

/** How many; the benchmark makes 10,000. */
const SWITCHES = 300

describe('switches between windows of 1,024 to 131,072 tokens and three tokenizers', () => {
  it('never make a prompt that is over the window, and fill it by 85 % and more', { timeout: 120_000 }, async () => {
    const result = await switchWindows(tokenizers, SWITCHES, 500, true)
    console.info('with a counter:', result)
    expect(result).toMatchObject({ prompts: SWITCHES, overUsable: 0, overWindow: 0 })
    expect(result.condensed).toBeGreaterThan(SWITCHES / 3)
    expect(result.fill).toBeGreaterThan(0.85)
  })

  it.each([
    [mixedLines, 0.85],
    // Each script is new at first, and counts a token for each of its bytes.
    [manyScripts, 0.75],
  ])('never make one that is over it either where the engine only reports afterwards: %o', { timeout: 120_000 }, async (lines, least) => {
    const result = await switchWindows(tokenizers, SWITCHES, 500, false, lines)
    console.info(`reported afterwards, ${lines.name}:`, result)
    expect(result).toMatchObject({ prompts: SWITCHES, overWindow: 0 })
    expect(result.condensed).toBeGreaterThan(SWITCHES / 3)
    expect(result.fill).toBeGreaterThan(least)
  })
})
