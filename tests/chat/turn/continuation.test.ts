import { describe, expect, it } from 'vitest'
import type { Backend, GenerateRequest, GenerationPiece } from '../../../src/chat/backend.ts'
import { backendError } from '../../../src/chat/failure.ts'
import { textOf } from '../../../src/chat/message.ts'
import { generateFrom } from '../../../src/chat/turn/continuation.ts'

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
