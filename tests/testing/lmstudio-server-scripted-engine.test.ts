import { describe, expect, it } from 'vitest'
import type { EngineModel, EngineResult } from '../../src/testing/engine.ts'
import { parseScriptedPrompt, type ScriptedEngineOptions, scriptedEngine, scriptedTemplate } from '../../src/testing/scripted-engine.ts'

const PROMPT = scriptedTemplate([{ role: 'user', text: 'hello there' }])

interface Run {
  readonly prompt?: string
  readonly maxTokens?: number
  readonly stop?: readonly string[]
  readonly signal?: AbortSignal
  readonly contextLength?: number
}

async function load(model: EngineModel, contextLength = 4_096) {
  return model.load(contextLength, () => {}, new AbortController().signal)
}

async function generate(options: Omit<ScriptedEngineOptions, 'key'>, run: Run = {}): Promise<EngineResult & { fragments: string[] }> {
  const engine = await load(scriptedEngine({ key: 'a', ...options }), run.contextLength)
  const fragments: string[] = []
  const { prompt = PROMPT, maxTokens, stop = [], signal = new AbortController().signal } = run
  const result = await engine.generate({ prompt, maxTokens, temperature: undefined, stop, signal }, (text) => fragments.push(text))
  return { ...result, fragments }
}

describe('the scripted engine', () => {
  it('gives one fragment a word, with the white space before it', async () => {
    const { fragments, stopReason, predictedTokens } = await generate({ answer: 'One  two\n\nthree. ' })
    expect(fragments).toEqual(['One', '  two', '\n\nthree.', ' '])
    expect([stopReason, predictedTokens]).toEqual(['eosFound', 4])
  })

  it('cuts by characters, by sizes in whole characters, by a function, or not at all', async () => {
    const answer = 'a😀b cd'
    expect((await generate({ answer, fragments: 'characters' })).fragments).toEqual(['a', '😀', 'b', ' ', 'c', 'd'])
    expect((await generate({ answer, fragments: { size: 2 } })).fragments).toEqual(['a😀', 'b ', 'cd'])
    expect((await generate({ answer, fragments: (text) => [text.slice(0, 1), text.slice(1)] })).fragments).toEqual(['a', '😀b cd'])
    expect((await generate({ answer: ['x y', 'z'] })).fragments).toEqual(['x y', 'z'])
  })

  it('continues exactly at every character of its answer, however it is cut', async () => {
    const text = 'Well, 😀 said the fox:\n\n- run; hide. '
    const ways: Omit<ScriptedEngineOptions, 'key'>[] = [
      { answer: text },
      { answer: text, fragments: 'characters' },
      { answer: text, fragments: { size: 5 } },
      { answer: ['Well, 😀', ' said the', '', ' fox:\n\n- run; hide. '] },
    ]
    for (const way of ways) {
      for (let cut = 0; cut <= text.length; cut++) {
        if (/[\uD800-\uDBFF]/.test(text.charAt(cut - 1))) continue
        const { fragments } = await generate({ ...way, pace: 'unpaced' }, { prompt: PROMPT + text.slice(0, cut) })
        expect(text.slice(0, cut) + fragments.join('')).toBe(text)
      }
    }
  })

  it('goes on at the same length behind a partial answer that another model wrote, on whole characters', async () => {
    expect((await generate({ answer: 'abcdef' }, { prompt: `${PROMPT}XYZ` })).fragments).toEqual(['def'])
    expect((await generate({ answer: 'a😀b' }, { prompt: `${PROMPT}XY` })).fragments).toEqual(['b'])
    expect((await generate({ answer: 'abc' }, { prompt: `${PROMPT}longer than that` })).fragments).toEqual([])
  })

  it('computes its answer from the messages, or from a raw prompt', async () => {
    const seen: unknown[] = []
    const answer: ScriptedEngineOptions['answer'] = (prompt, messages) => {
      seen.push([prompt, messages])
      return 'ok then'
    }
    await generate({ answer }, { prompt: `${PROMPT}ok` })
    expect((await generate({ answer }, { prompt: 'Once upon' })).fragments).toEqual(['ok', ' then'])
    expect(seen).toEqual([
      [PROMPT, [{ role: 'user', text: 'hello there' }]],
      ['Once upon', undefined],
    ])
  })

  it('reads its own template back, whatever the messages say', () => {
    const messages = [
      { role: 'system', text: 'Be brief.\n' },
      { role: 'user', text: 'a < b |> c' },
      { role: 'assistant', text: '' },
      { role: 'user', text: 'and?' },
    ] as const
    expect(parseScriptedPrompt(`${scriptedTemplate(messages)}Well`)).toEqual({
      head: scriptedTemplate(messages),
      partial: 'Well',
      messages,
    })
  })

  it('stops before a stop string, even one that spans fragments', async () => {
    const { fragments, stopReason } = await generate({ answer: 'one two three' }, { stop: ['never', 'o th'] })
    expect([fragments.join(''), stopReason]).toEqual(['one tw', 'stopStringFound'])
  })

  it('keeps to the limit of tokens, and to its window', async () => {
    const answer = 'a b c d e f'
    expect(await generate({ answer }, { maxTokens: 2 })).toMatchObject({ fragments: ['a', ' b'], stopReason: 'maxPredictedTokensReached' })
    const { promptTokens } = await generate({ answer })
    expect(await generate({ answer }, { contextLength: promptTokens + 3 })).toMatchObject({
      fragments: ['a', ' b', ' c'],
      stopReason: 'contextLengthReached',
      predictedTokens: 3,
    })
  })

  it('ends at the next fragment when aborted, at any pace', async () => {
    for (const pace of ['turns', { delayMs: 1 }, { perSecond: 500 }] as const) {
      const abort = new AbortController()
      const engine = await load(scriptedEngine({ key: 'a', answer: 'w '.repeat(5_000), pace }))
      let fragments = 0
      const running = engine.generate(
        { prompt: PROMPT, maxTokens: undefined, temperature: undefined, stop: [], signal: abort.signal },
        () => {
          if (++fragments === 3) abort.abort()
        },
      )
      expect((await running).stopReason).toBe('userStopped')
      expect(fragments).toBe(3)
    }
  })

  it('keeps its pace', async () => {
    const started = performance.now()
    await generate({ answer: 'w '.repeat(50).trim(), pace: { perSecond: 500 } })
    expect(performance.now() - started).toBeGreaterThan(90)
  })

  it('takes its time to load, and stops when aborted', async () => {
    const slow = scriptedEngine({ key: 'a', answer: '', loadMs: 60_000 })
    const abort = new AbortController()
    const loading = slow.load(1_024, () => abort.abort(new Error('no')), abort.signal)
    await expect(loading).rejects.toThrow()
  })

  it('counts characters where asked to', async () => {
    const engine = await load(scriptedEngine({ key: 'a', answer: '', tokens: 'characters' }))
    expect(engine.tokenize('a😀')).toEqual([97, 0x1f600])
  })

  it('waits for a running answer before it is disposed of', async () => {
    const engine = await load(scriptedEngine({ key: 'a', answer: 'one two three', pace: { delayMs: 5 } }))
    let fragments = 0
    const request = { prompt: PROMPT, maxTokens: undefined, temperature: undefined, stop: [], signal: new AbortController().signal }
    const running = engine.generate(request, () => {
      fragments++
    })
    await engine.dispose()
    expect(fragments).toBe(3)
    await running
  })
})
