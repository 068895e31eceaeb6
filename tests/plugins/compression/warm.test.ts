import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { createMai } from '../../../src/chat/mai.ts'
import { KINDS } from '../../../src/plugins/compression/amount.ts'
import { compression } from '../../../src/plugins/compression/index.ts'
import { store } from '../../../src/plugins/store/index.ts'
import { switching } from '../../../src/plugins/switching/index.ts'
import { resourceTrace } from '../../../src/testing/resource-trace.ts'
import { scriptedBackend } from '../../../src/testing/scripted-backend.ts'
import { smallTalk, Talks } from './support.ts'

describe('what was kept of a tokenizer', () => {
  it('is not believed where it is no figure that a tokenizer can have', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mai-kept-'))
    onTestFinished(() => fs.rmSync(folder, { recursive: true, force: true }))
    const { plugin } = scriptedBackend([{ id: 'small', answer: 'Noted.' }])
    const mai = await createMai({
      plugins: [store({ file: path.join(folder, 'mai.db') }), resourceTrace().plugin, switching(), compression(), plugin],
    })
    onTestFinished(() => mai.shutdown())
    const names = [...KINDS.map(({ name }) => name), 'Message'].map((name) => `tokensPer${name}`)
    const kept = names.flatMap((name) => [
      [name, -3],
      [`${name}Spread`, 1],
    ])
    await mai.store.learn('scripted/small', { ...Object.fromEntries(kept), tokensScatter: 0.1 })
    await mai.processMessage('Hello?')
    expect(mai.kernel.context.use('context').estimateTokens('scripted/small', 'An ordinary sentence.')).toBeGreaterThan(0)
  })
})

describe('a long session', () => {
  it('that is taken up again has its tokenizer before its first turn', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mai-warm-'))
    onTestFinished(() => fs.rmSync(folder, { recursive: true, force: true }))
    const mai = await createMai({
      plugins: [
        store({ file: path.join(folder, 'mai.db') }),
        resourceTrace().plugin,
        switching(),
        compression(),
        scriptedBackend([{ id: 'small', answer: 'Noted.' }]).plugin,
      ],
    })
    onTestFinished(() => mai.shutdown())
    const { id: sessionId } = await mai.openSession()
    const said = (index: number) => ({
      message: {
        id: `m${index}`,
        sessionId,
        turnId: `t${index}`,
        role: 'user' as const,
        parts: [{ type: 'text' as const, text: 'Hi.' }],
        time: index,
        complete: true,
      },
      spans: [],
    })
    await mai.store.appendMessages(Array.from({ length: 300 }, (_, index) => said(index)))
    const estimate = (): number =>
      mai.kernel.context.use('context').estimateTokens('x/y', 'An ordinary sentence of some words. '.repeat(20))
    const rough = estimate()
    await mai.openSession({ id: sessionId })
    await vi.waitFor(() => expect(estimate()).toBeLessThan(rough), { timeout: 20_000 })
  })

  it('keeps the excerpts at the head of its prompt word for word while the recent part moves on', async () => {
    const talks = new Talks()
    onTestFinished(() => talks.close())
    const id = await talks.session(smallTalk(300))
    const heads = new Set<string>()
    for (let turn = 0; turn < 12; turn++) {
      const { prompt } = await talks.prompt(await talks.say(id, `What about the bridge, number ${turn}?`), 2048)
      expect(prompt.condensed).toBe(true)
      const [first] = prompt.messages
      const [part] = first?.parts ?? []
      if (part?.type === 'text') heads.add(part.text)
      await talks.say(id, ['assistant', `A bridge of stone, ${turn}.`])
    }
    // 24 messages are less than the step of 64: it comes at most once.
    expect(heads.size).toBeLessThanOrEqual(2)
    expect([...heads].every((text) => text.startsWith('Earlier in this conversation'))).toBe(true)
  })
})
