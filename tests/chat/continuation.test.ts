import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Backend, GenerateRequest, GenerationPiece } from '../../src/chat/backend.ts'
import { generateFrom, Seam } from '../../src/chat/continuation.ts'
import { backendError } from '../../src/chat/failure.ts'
import { textOf } from '../../src/chat/message.ts'

/** What joins on, whatever chunks the text comes in. */
function joined(partial: string, text: string, sizes: readonly number[] = [1]): string {
  const seam = new Seam(partial)
  let out = ''
  for (let at = 0, turn = 0; at < text.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1
    out += seam.push(text.slice(at, at + size))
    at += size
  }
  return partial + out + seam.end()
}

const word = fc.oneof(fc.stringMatching(/^[a-z]{1,9}[.,;]?$/), fc.constantFrom('船が', 'été', '🐈', '3.14', '**bold**', '|', '-'))
const space = fc.constantFrom(' ', ' ', ' ', '\n', '\n\n', '  ')
const prose = fc.array(fc.tuple(word, space), { minLength: 4, maxLength: 60 }).map((pairs) => pairs.flat().join(''))
const sizes = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 5 })

/** Whether the rest itself begins as a repeat would: then nobody could tell. */
const ambiguous = (partial: string, rest: string): boolean => joined(partial, rest) !== partial + rest

describe('a continuation that a model was asked for', () => {
  it('joins without a lost or repeated character, whether the model repeats all, a part, or nothing', () => {
    fc.assert(
      fc.property(prose, fc.nat(), fc.nat(), sizes, fc.boolean(), (text, cutSeed, repeatSeed, chunks, spaced) => {
        const cut = 1 + (cutSeed % (text.length - 1))
        const [partial, rest] = [text.slice(0, cut), text.slice(cut)]
        fc.pre(!ambiguous(partial, rest))
        // A model repeats from where a word begins.
        const starts = [0, ...Array.from(partial.matchAll(/\s(?=\S)/g), ({ index }) => index + 1)]
        const start = starts[repeatSeed % starts.length] ?? 0
        const repeat = partial.slice(start)
        fc.pre(repeat.trim() === '' || repeat.trim().length >= 3)
        // It may repeat longer than that by chance where a text repeats itself.
        fc.pre(partial.indexOf(repeat + rest.slice(0, 1)) < 0)
        const said = (spaced && repeat.trim() !== '' ? '\n' : '') + (repeat.trim() === '' ? '' : repeat) + rest
        fc.pre(repeat.trim() !== '' || rest.trim() !== '')
        expect(joined(partial, said, chunks)).toBe(text)
      }),
      { numRuns: 2000 },
    )
  })

  it('loses nothing of a text that has nothing to do with the beginning', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-m ]{0,200}$/), fc.stringMatching(/^[n-z ]{0,200}$/), sizes, (partial, text, chunks) => {
        expect(joined(partial, text, chunks)).toBe(partial + text)
      }),
    )
  })

  it('adds nothing where the model repeats what was said and has no more to say', () => {
    const partial = 'The sea is wide and full of fish.'
    expect(joined(partial, partial)).toBe(partial)
    expect(joined(partial, 'The sea is wide')).toBe(partial)
    expect(joined(partial, 'full of fish. And ships.')).toBe(`${partial} And ships.`)
    expect(joined('Once upon a ti', 'time there was')).toBe('Once upon a time there was')
  })

  it('holds back no longer than it takes to tell', () => {
    const seam = new Seam('One two three four')
    expect([seam.push('thr'), seam.push('ee fo'), seam.push('ur fi'), seam.push('ve')]).toEqual(['', '', ' fi', 've'])
    const other = new Seam('One two three four')
    expect([other.push(' fi'), other.push('ve')]).toEqual([' fi', 've'])
  })
})

/** A backend that says what it is told to, and what it was asked. */
function backend(
  continuation: Backend['abilities']['continuation'],
  say: (request: GenerateRequest) => string | Error,
): { readonly backend: Pick<Backend, 'abilities' | 'generate'>; readonly requests: GenerateRequest[] } {
  const requests: GenerateRequest[] = []
  return {
    requests,
    backend: {
      abilities: { continuation, loads: true },
      generate: async (request, sink) => {
        requests.push(request)
        const said = say(request)
        if (said instanceof Error) throw said
        for (const text of said.match(/\s*\S+\s*$|\s*\S+/g) ?? []) sink({ type: 'text', text, tokens: 1 })
        return { finish: 'stop', usage: { promptTokens: 1, completionTokens: 1 } }
      },
    },
  }
}

const request = (continueFrom?: string): GenerateRequest => ({
  instance: { instanceId: 'i', model: 'a/b', contextLength: 1024 },
  messages: [{ role: 'user', parts: [{ type: 'text', text: 'Tell me.' }] }],
  sampling: {},
  signal: new AbortController().signal,
  ...(continueFrom === undefined ? {} : { continueFrom }),
})

async function said(engine: Pick<Backend, 'abilities' | 'generate'>, continueFrom?: string): Promise<{ text: string; tokens: number }> {
  const pieces: GenerationPiece[] = []
  await generateFrom(engine, request(continueFrom), (piece) => pieces.push(piece))
  const texts = pieces.filter((piece) => piece.type === 'text')
  return { text: texts.map(({ text }) => text).join(''), tokens: texts.reduce((sum, { tokens }) => sum + tokens, 0) }
}

describe('going on with a backend', () => {
  it('that takes the beginning of an answer hands it over; with nothing said it starts', async () => {
    for (const ability of ['raw', 'prefill'] as const) {
      const { backend: engine, requests } = backend(ability, ({ continueFrom }) => (continueFrom ? ' four.' : 'One two'))
      expect((await said(engine, 'One two three')).text).toBe(' four.')
      expect((await said(engine)).text).toBe('One two')
      expect(requests.map(({ continueFrom }) => continueFrom)).toEqual(['One two three', undefined])
    }
    const { backend: none, requests } = backend('none', () => 'One two')
    expect((await said(none)).text).toBe('One two')
    expect(requests[0]?.messages).toHaveLength(1)
  })

  it('that cannot asks for it, and takes off what is repeated', async () => {
    const { backend: engine, requests } = backend('none', () => 'two three four five.')
    const { text, tokens } = await said(engine, 'One two three')
    expect([text, tokens]).toEqual([' four five.', 4])
    expect(requests[0]?.continueFrom).toBeUndefined()
    expect(requests[0]?.messages.map(({ role, parts }) => [role, textOf(parts)])).toEqual([
      ['user', 'Tell me.'],
      ['assistant', 'One two three'],
      ['user', expect.stringContaining('One two three')],
    ])
  })

  it('that refuses a prefilled answer is asked instead, and the refusal is nobody’s error', async () => {
    const { backend: engine, requests } = backend('prefill', ({ continueFrom }) =>
      continueFrom ? backendError('MAI_REQUEST_INVALID', 'Prefill is not supported.') : 'three four.',
    )
    expect((await said(engine, 'One two three')).text).toBe(' four.')
    expect(requests).toHaveLength(2)
    const broken = backend('prefill', () => backendError('MAI_BACKEND_ERROR', 'down'))
    await expect(said(broken.backend, 'One')).rejects.toMatchObject({ code: 'MAI_BACKEND_ERROR' })
    expect(broken.requests).toHaveLength(1)
  })
})
