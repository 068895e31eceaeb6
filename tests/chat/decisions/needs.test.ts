import { describe, expect, it } from 'vitest'
import { type Conversation, needsOf } from '../../../src/chat/decisions/needs.ts'
import type { Message, Part } from '../../../src/chat/message.ts'
import type { Needs } from '../../../src/chat/policy.ts'

const text = (words: string): Part[] => [{ type: 'text', text: words }]
const said = (words: string, role: Message['role'] = 'user', more: readonly Part[] = []): Message => ({
  id: 'm',
  seq: 1,
  sessionId: 's',
  turnId: 't',
  role,
  parts: [...text(words), ...more],
  time: 0,
  complete: true,
})
const needs = (words: string, changes: Partial<Conversation> = {}): Needs =>
  needsOf({ parts: text(words), recent: [], earlier: 0, tools: 0, ...changes })
const IMAGE: Part = { type: 'image', mediaType: 'image/png', data: '' }

describe('what a message needs', () => {
  it.each([
    ['How was your day?', 'chat'],
    ['Tell me a story about a fox who cannot sleep.', 'chat'],
    ['What should I cook tonight with rice and two eggs?', 'chat'],
    ['Write a Python function that parses a CSV file.', 'code'],
    ['Why does this fail?\n```js\nconst a = await b()\n```', 'code'],
    ['TypeError: x is not a function\n    at main (/srv/app.js:12:3)', 'code'],
    ['Refactor this class so that the loop is gone', 'code'],
    ['Solve the equation x^2 - 5x + 6 = 0', 'mathematics'],
    ['What is 17 * 23 + 9?', 'mathematics'],
    ['Prove that the square root of 2 is irrational.', 'mathematics'],
    ['Compare the two proposals and summarise their trade-offs.', 'analysis'],
    ['Analyse the causes of the French Revolution in an essay.', 'analysis'],
    ['Translate this to German: the cat is on the roof.', 'translation'],
    ['The weather is fine today. In French?', 'translation'],
    ['请把这句话翻译成英文:今天天气很好。', 'translation'],
  ])('%j is %s', (words, task) => {
    expect(needs(words).task).toBe(task)
  })

  it.each([
    ['The quick brown fox', 'latin'],
    ['Zażółć gęślą jaźń', 'latin'],
    ['Почему небо голубое?', 'cyrillic'],
    ['Γιατί ο ουρανός είναι μπλε;', 'greek'],
    ['لماذا السماء زرقاء؟', 'arabic'],
    ['למה השמיים כחולים?', 'hebrew'],
    ['आसमान नीला क्यों है?', 'indic'],
    ['ทำไมท้องฟ้าเป็นสีฟ้า', 'thai'],
    ['天空为什么是蓝色的?', 'han'],
    ['空はなぜ青いのですか', 'kana'],
    ['하늘은 왜 파란가요?', 'hangul'],
    ['😀😀😀 ok', 'latin'],
    ['', 'latin'],
  ])('%j is written in %s', (words, script) => {
    expect(needs(words).script).toBe(script)
  })

  it('a picture needs sight; the question that follows is best put to who can see, but need not be', () => {
    expect(needsOf({ parts: [...text('What is this?'), IMAGE], recent: [], earlier: 0, tools: 0 })).toMatchObject({
      task: 'image',
      vision: true,
    })
    const after = needs('And what colour is it?', {
      recent: [said('What is this?', 'user', [IMAGE]), said('A car.', 'assistant')],
      earlier: 2,
    })
    expect(after).toMatchObject({ task: 'image', vision: false })
  })

  it('a short message goes on with what was being talked about', () => {
    const recent = [said('Write a Python function that parses a CSV file.'), said('Here it is.', 'assistant')]
    expect(needs('And with a header?', { recent, earlier: 2 }).task).toBe('code')
  })

  it('thinking first is wanted where the message says so', () => {
    expect(needs('Think step by step: who sits where?').reasoning).toBe(true)
    expect(needs('Hello there').reasoning).toBe(false)
  })

  it('the window has room for message, tools, what must stay verbatim, and the answer', () => {
    expect(needs('Hello').contextTokens).toBe(1024)
    expect(needs('word '.repeat(10_000)).contextTokens).toBeGreaterThan(10_000)
    expect(needs('Hello', { tools: 20 }).contextTokens).toBeGreaterThan(2400)
    const recent = Array.from({ length: 4 }, () => said('word '.repeat(2000)))
    const long = needs('Hello', { recent, earlier: 400 })
    expect(long.contextTokens).toBeLessThan(4096)
    expect(long.promptTokens).toBeGreaterThan(400 * 2000)
  })

  it('holds categories and numbers only', () => {
    const secret = 'Translate my password hunter2 into German'
    expect(JSON.stringify(needs(secret))).not.toContain('hunter2')
  })

  it('costs next to nothing, whatever the length', () => {
    const hostile = [
      'a'.repeat(2e6),
      `${' '.repeat(1e6)}x`,
      'import '.repeat(2e5),
      'x ='.repeat(5e5),
      '1 + '.repeat(5e5),
      'at ('.repeat(5e5),
      '\n'.repeat(1e6),
    ]
    for (const words of hostile) {
      needs(words)
      const began = performance.now()
      for (let i = 0; i < 5; i++) needs(words)
      // A pattern that looks back would take minutes; a busy machine does not.
      expect((performance.now() - began) / 5, words.slice(0, 8)).toBeLessThan(1000)
    }
  })
})
