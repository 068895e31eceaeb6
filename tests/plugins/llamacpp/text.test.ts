import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import type { GenerationPiece, PromptMessage } from '../../../src/chat/backend.ts'
import { ReasoningSplitter } from '../../../src/chat/reasoning.ts'
import { askedBriefly } from '../../../src/plugins/llamacpp/brevity.ts'
import { hasImages, toTemplateMessages } from '../../../src/plugins/llamacpp/messages.ts'
import { PieceBatch } from '../../../src/plugins/llamacpp/piece-batch.ts'
import { answerPrompt } from '../../../src/plugins/llamacpp/reasoning.ts'
import { StopStrings } from '../../../src/plugins/llamacpp/stop-strings.ts'
import { chatTemplate, type TemplateMessage } from '../../../src/plugins/llamacpp/template.ts'
import { failure } from './support.ts'

/** A text in pieces, few letters so that much repeats. */
const pieces = (letters: string): fc.Arbitrary<string[]> =>
  fc.array(fc.string({ unit: fc.constantFrom(...letters), maxLength: 5 }), { maxLength: 20 })

describe('stop strings', () => {
  /** The text as if it came character by character: it ends as soon as it ends with a stop string. */
  function naive(text: string, stops: readonly string[]): string {
    for (let length = 1; length <= text.length; length++) {
      const so = text.slice(0, length)
      const ends = stops.filter((stop) => stop !== '' && so.endsWith(stop))
      if (ends.length > 0) return so.slice(0, length - Math.max(...ends.map((stop) => stop.length)))
    }
    return text
  }

  it('cut the same, in whatever pieces the text comes', () => {
    const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 4 }), { maxLength: 3 })
    fc.assert(
      fc.property(pieces('abc'), stops, (parts, words) => {
        const watch = new StopStrings(words)
        let shown = ''
        let stopped = false
        for (const part of parts) {
          const result = watch.push(part)
          shown += result.text
          stopped = result.stopped
          if (stopped) break
        }
        if (!stopped) shown += watch.end()
        expect(shown).toBe(naive(parts.join(''), words))
      }),
      { numRuns: 2000 },
    )
  })

  it('let through at once what can be no part of one', () => {
    const watch = new StopStrings(['STOP'])
    expect(watch.push('one S')).toEqual({ text: 'one ', stopped: false })
    expect(watch.push('T')).toEqual({ text: '', stopped: false })
    expect(watch.push('ARK')).toEqual({ text: 'STARK', stopped: false })
  })
})

describe('reasoning', () => {
  interface Split {
    readonly reasoning: string
    readonly text: string
    readonly tokens: number
  }

  function split(parts: readonly string[], may = true): Split {
    const got: GenerationPiece[] = []
    const splitter = new ReasoningSplitter(may, (piece) => got.push(piece))
    for (const part of parts) splitter.push(part, 1)
    splitter.end()
    const of = (type: string): string => got.map((piece) => (piece.type === type && 'text' in piece ? piece.text : '')).join('')
    return {
      reasoning: of('reasoning'),
      text: of('text'),
      tokens: got.reduce((sum, piece) => sum + ('tokens' in piece ? piece.tokens : 0), 0),
    }
  }

  const TAGS = fc.array(fc.constantFrom('<think>', '</think>', '<', 'th', 'ink>', '/', ' ', '\n', 'a', 'b '), { maxLength: 12 })

  /** The whole answer at once. */
  function naive(answer: string): Pick<Split, 'reasoning' | 'text'> {
    const [, thought, rest] = /^\s*<think>([\s\S]*?)(?:<\/think>\s*([\s\S]*))?$/.exec(answer) ?? []
    return thought === undefined ? { reasoning: '', text: answer } : { reasoning: thought, text: rest ?? '' }
  }

  it('is taken apart the same, in whatever pieces the answer comes', () => {
    const cuts = fc.array(fc.nat(60), { maxLength: 10 })
    fc.assert(
      fc.property(TAGS, cuts, (words, at) => {
        const answer = words.join('')
        const bounds = [0, ...at.map((cut) => Math.min(cut, answer.length)), answer.length].sort((a, b) => a - b)
        const { reasoning, text } = split(bounds.slice(1).map((end, index) => answer.slice(bounds[index], end)))
        expect({ reasoning, text }).toEqual(naive(answer))
      }),
      { numRuns: 2000 },
    )
  })

  it('loses no token of those it holds back', () => {
    expect(split(['<th', 'ink>', 'why', '</th', 'ink>', '\n', 'so'])).toEqual({ reasoning: 'why', text: 'so', tokens: 7 })
  })

  it('of a model that does not think is text', () => {
    expect(split(['<think>x</think>y'], false)).toEqual({ reasoning: '', text: '<think>x</think>y', tokens: 1 })
  })

  it('that the template has opened is reasoning, and is closed before an answer is continued', () => {
    expect(answerPrompt('<|assistant|>', 'So')).toEqual({ prompt: '<|assistant|>So', opening: '' })
    expect(answerPrompt('<|assistant|><think>\n', '')).toEqual({ prompt: '<|assistant|><think>\n', opening: '<think>' })
    expect(answerPrompt('<|assistant|><think>\n', 'So')).toEqual({ prompt: '<|assistant|><think>\n\n</think>\n\nSo', opening: '' })
  })
})

describe('a chat template', () => {
  const TALK: readonly TemplateMessage[] = [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Hello' },
    { role: 'assistant', content: 'Hi.' },
    { role: 'user', content: 'Bye' },
  ]
  const NO_TOKENS = { bos: '', eos: '' }

  it('of the file shapes the prompt', async () => {
    const render = await chatTemplate("{{ bos_token }}{% for m in messages %}[{{ m['role'] }}:{{ m['content'] }}]{% endfor %}")
    expect(render(TALK, { bos: '<s>', eos: '' })).toBe('<s>[system:Be brief.][user:Hello][assistant:Hi.][user:Bye]')
  })

  it('that refuses system messages gets them with the first message of the person', async () => {
    const render = await chatTemplate(
      "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}[{{ m['role'] }}:{{ m['content'] }}]{% endfor %}",
    )
    expect(render(TALK, NO_TOKENS)).toBe('[user:Be brief.\n\nHello][assistant:Hi.][user:Bye]')
    expect(render(TALK.slice(0, 1), NO_TOKENS)).toBe('[user:Be brief.]')
  })

  it('that demands turns gets neighbours of one role as one message', async () => {
    const render = await chatTemplate(
      "{% for m in messages %}{% if m['role'] != (['user', 'assistant'][loop.index0 % 2]) %}{{ raise_exception('turns') }}{% endif %}[{{ m['content'] }}]{% endfor %}",
    )
    expect(render([...TALK, { role: 'tool', content: '42' }, { role: 'user', content: 'Now?' }], NO_TOKENS)).toBe(
      '[Be brief.\n\nHello][Hi.][Bye\n\n42\n\nNow?]',
    )
  })

  it('that refuses everything is one clear error', async () => {
    const render = await chatTemplate("{{ raise_exception('never') }}")
    expect(() => render(TALK, NO_TOKENS)).toThrow(
      expect.objectContaining({ code: 'MAI_REQUEST_INVALID', message: expect.stringContaining('never') }),
    )
  })

  it('that cannot be read is one clear error', async () => {
    expect(await failure(chatTemplate('{% for x %}'))).toMatchObject({ code: 'MAI_LOAD_FAILED' })
  })

  it('that is missing is replaced by ChatML', async () => {
    const render = await chatTemplate(undefined)
    expect(render(TALK.slice(1, 2), NO_TOKENS)).toBe('<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n')
  })
})

describe('messages', () => {
  const message = (...parts: PromptMessage['parts'][number][]): PromptMessage => ({ role: 'user', parts })

  it('keep tool calls and results as text', () => {
    const call = { type: 'tool-call', callId: '1', name: 'add', arguments: '{"a":1}' } as const
    const result = { type: 'tool-result', callId: '1', text: '2', isError: false } as const
    expect(toTemplateMessages([message({ type: 'text', text: 'sum' }, call, result)])).toEqual([
      { role: 'user', content: 'sum\nadd({"a":1})\n2' },
    ])
  })

  it('know whether they show something', () => {
    expect(hasImages([message({ type: 'text', text: 'x' })])).toBe(false)
    expect(hasImages([message({ type: 'image', mimeType: 'image/png', data: '' } as never)])).toBe(true)
  })
})

describe('a batch of pieces', () => {
  it('sends the first at once, the next together, and all in order', () => {
    vi.useFakeTimers()
    try {
      const sent: string[][] = []
      let now = 0
      const batch = new PieceBatch(
        (texts) => sent.push(texts),
        () => now,
      )
      batch.push('a', 1)
      batch.push('b', 1)
      now = 5
      batch.push('c', 1)
      expect(sent).toEqual([['a']])
      vi.advanceTimersByTime(20)
      expect(sent).toEqual([['a'], ['b', 'c']])
      now = 6
      batch.push('d', 1)
      now = 30
      batch.push('e', 1)
      batch.push('f', 1)
      batch.flush()
      batch.flush()
      expect(sent).toEqual([['a'], ['b', 'c'], ['d', 'e'], ['f']])
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('a small model', () => {
  const asked = [{ role: 'user', content: 'Hi' }] as const

  it('is asked to be brief, unless the conversation has a system prompt or the window is tiny', () => {
    const brief = askedBriefly(asked, true, 4096)
    expect(brief.map(({ role }) => role)).toEqual(['system', 'user'])
    expect(brief[0]?.content).toMatch(/briefly/)
    expect(askedBriefly([{ role: 'system', content: 'Rhyme.' }, ...asked], true, 4096)).toHaveLength(2)
    expect(askedBriefly(asked, true, 1024)).toEqual(asked)
    expect(askedBriefly(asked, false, 4096)).toEqual(asked)
  })
})
