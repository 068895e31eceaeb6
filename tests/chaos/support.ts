/**
 * What every scenario must keep: exactly one outcome in bounded time, no lost message, no truncated answer presented as
 * a success, no lost or repeated character against the canonical answer, and health afterwards.
 *
 * @module
 */
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { expect, onTestFinished } from 'vitest'
import type { Mai } from '../../src/chat/mai.ts'
import { textOf } from '../../src/chat/message.ts'
import type { Reply } from '../../src/chat/reply.ts'
import { isMaiError, type MaiError } from '../../src/core/errors.ts'

/** Seeds of each scenario: one in an ordinary run, twenty in `npm run test:chaos`. */
export const SEEDS: readonly number[] = Array.from({ length: Number(process.env.MAI_CHAOS_SEEDS ?? 1) }, (_, n) => n + 1)

/** Whether this is more than an ordinary run. */
export const THOROUGH: boolean = SEEDS.length > 1

const DEEDS: readonly string[] = [
  'sailed past an island of salt before anybody was awake',
  'kept the lighthouse lit through three winters',
  'taught sixty herring how to count backwards',
  'lost a bell in deep water and found an older one',
  'wrote letters that the tide carried off unread',
  'traded brass buttons for a map without any coast',
  'slept under the oldest sail in the harbour',
  'argued with gulls about the price of bread',
  'mended nets by lantern while rain drummed on tin',
  'heard thunder roll inside an empty barrel',
  'painted the pilot boat green, then regretted it',
  'married a whaler’s ghost one foggy Tuesday',
  'built chimneys from driftwood and clay',
  'followed geese north until ice closed the strait',
  'forgot its own name but remembered every knot',
  'hid oranges where the customs men never look',
  'sang so badly that two storms turned round',
  'bought half a compass from a retired smuggler',
  'walked home along the seabed during low water',
  'told this whole story wrong, and nobody minded',
]

/** What every model of these tests would say in full: nothing that a loop detector could mind. */
export const CANON: string = DEEDS.map((deed, n) => `Cat number ${n} (船${n}, 🐈) ${deed}${n % 4 === 3 ? '.\n\n' : ';'}`).join(' ')

/** Mulberry32: small, and the same everywhere. */
export function seeded(seed: number): (below: number) => number {
  let state = seed * 7919
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

export async function temporaryFolder(): Promise<string> {
  const folder = await fs.mkdtemp(path.join(await fs.realpath(os.tmpdir()), 'mai-chaos-'))
  onTestFinished(() => fs.rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

/** How a message went. */
export type Outcome = { readonly reply: Reply; readonly error?: undefined } | { readonly reply?: undefined; readonly error: MaiError }

/** What {@link told} may be given. */
export interface Telling {
  /** Longest time for the whole answer, in ms: a bound, not a speed. */
  readonly withinMs?: number
  readonly canon?: string
  /** Called as text arrives. */
  readonly onText?: (soFar: string) => void
  readonly model?: string
  /** The store itself is what goes wrong: its contents are not looked at. */
  readonly storeFails?: boolean
}

/** Says one message in a session of its own and checks everything that must hold. */
export async function told(mai: Mai, message: string, telling: Telling = {}): Promise<Outcome> {
  const { withinMs = 20_000, canon = CANON, onText, model, storeFails = false } = telling
  const { id: sessionId } = await mai.openSession()
  const outcomes: string[] = []
  const off = (['message.completed', 'message.failed'] as const).map((type) =>
    mai.on(type, (event) => {
      if (event.sessionId === sessionId) outcomes.push(type)
    }),
  )
  const began = performance.now()
  const stream = mai.streamMessage(message, { sessionId, ...(model === undefined ? {} : { model }) })
  let text = ''
  let outcome: Outcome
  try {
    for await (const piece of stream) {
      if (piece.type !== 'text') continue
      text += piece.text
      onText?.(text)
    }
    const reply = await stream.reply
    expect(text).toBe(canon)
    expect(reply).toMatchObject({ text: canon, finishReason: 'stop' })
    outcome = { reply }
  } catch (error) {
    if (!isMaiError(error)) throw error
    expect(error.cure).toBeTruthy()
    expect(canon.startsWith(text)).toBe(true)
    outcome = { error }
  }
  expect(performance.now() - began, 'bounded time').toBeLessThan(withinMs)
  // Facts are delivered right after.
  await new Promise((resolve) => setTimeout(resolve, 5))
  for (const dispose of off) dispose()
  expect(outcomes).toEqual([outcome.reply ? 'message.completed' : 'message.failed'])
  if (!storeFails) await expectStored(mai, sessionId, message, outcome, text)
  return outcome
}

/** No message is lost, and who wrote what is known to the character. */
async function expectStored(mai: Mai, sessionId: string, message: string, outcome: Outcome, text: string): Promise<void> {
  const [asked, answered] = await mai.getConversationHistory({ sessionId })
  expect(textOf(asked?.parts ?? [])).toBe(message)
  if (text === '' && outcome.error) return expect(answered).toBeUndefined()
  expect([textOf(answered?.parts ?? []), answered?.complete]).toEqual([text, outcome.reply !== undefined])
  const spans = await mai.store.spans(answered?.id ?? '')
  expect(spans.map(({ start }) => start)).toEqual([0, ...spans.slice(0, -1).map(({ end }) => end)])
  expect(spans.at(-1)?.end).toBe(text.length)
  if (outcome.reply) expect(outcome.reply.usage.completionTokens).toBeGreaterThan(0)
}

/** The next message is answered as if nothing had been. */
export async function expectHealthy(mai: Mai, telling: Telling = {}): Promise<void> {
  const outcome = await told(mai, 'And now?', telling)
  expect(outcome.error, String(outcome.error)).toBeUndefined()
}
