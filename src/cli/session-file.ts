/**
 * Sessions as files that another Mai takes back in: JSON Lines, written and read piece by piece however long they are,
 * or one JSON value.
 *
 * @module
 */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { Message, Session } from '../chat/message.ts'
import type { Store } from '../chat/store.ts'
import { MaiError } from '../core/errors.ts'

const text = z.string()
const time = z.number().int().nonnegative()
const part = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text'), text, origin: z.enum(['typed', 'material']).optional() }),
  z.object({ type: z.literal('image'), mediaType: text, data: text }),
  z.object({ type: z.literal('reasoning'), text }),
  z.object({ type: z.literal('tool-call'), callId: text, name: text, arguments: text }),
  z.object({ type: z.literal('tool-result'), callId: text, text, isError: z.boolean().optional() }),
])
const message = z.object({
  id: text.min(1),
  turnId: text,
  role: z.enum(['system', 'user', 'assistant', 'tool']),
  parts: z.array(part),
  time,
  complete: z.boolean(),
  spans: z.array(z.object({ start: time, end: time, model: text, reason: text })).optional(),
})
const session = z.object({ id: text.min(1), title: text, createdAt: time, updatedAt: time })
const fact = z.object({ text, sources: z.array(text).min(1), model: text, time })

/** A line of a file. The first says what it is and how many messages must follow. */
const line = z.union([
  z.object({ format: z.literal('mai-session'), version: z.literal(2), session, messages: time }),
  z.object({ message }),
  z.object({ fact }),
  /** Up to which message, counted from the first, the ledger has been kept. */
  z.object({ looked: time }),
])
/** The same as one value. Version 1 had no facts. */
const whole = z.object({
  format: z.literal('mai-session'),
  version: z.union([z.literal(1), z.literal(2)]),
  session,
  messages: z.array(message),
  facts: z.array(fact).optional(),
  looked: time.optional(),
})

/** A line of an exported session. */
export type SessionLine = z.infer<typeof line>
/** An exported session as one JSON value. */
export type SessionFile = z.infer<typeof whole>

/** Messages read or written at once. */
const PAGE = 200

/** Everything of a session, piece by piece. */
export async function* exportLines(store: Store, { id, title, createdAt, updatedAt, messageCount }: Session): AsyncGenerator<SessionLine> {
  yield { format: 'mai-session', version: 2, session: { id, title, createdAt, updatedAt }, messages: messageCount }
  const { through } = await store.ledgerState(id)
  let looked = 0
  for (let after = 0, left = messageCount; left > 0; ) {
    const page = await store.messages(id, { after, limit: Math.min(PAGE, left) })
    for (const each of page) yield { message: await exported(store, each) }
    looked += page.filter(({ seq }) => seq <= through).length
    left = page.length === 0 ? 0 : left - page.length
    after = page.at(-1)?.seq ?? after
  }
  for (const { text, sources, model, time } of await store.ledger(id)) yield { fact: { text, sources: [...sources], model, time } }
  yield { looked }
}

async function exported(store: Store, { seq: _, sessionId: __, parts, ...rest }: Message): Promise<SessionFile['messages'][number]> {
  const spans = (await store.spans(rest.id)).map(({ messageId: ___, ...span }) => span)
  // The file's parts are the store's, by their own types.
  return { ...rest, parts: parts as SessionFile['messages'][number]['parts'], spans }
}

/** Everything of a session as one value. */
export async function exportSession(store: Store, { id, title, createdAt, updatedAt, messageCount }: Session): Promise<SessionFile> {
  const file: SessionFile = { format: 'mai-session', version: 2, session: { id, title, createdAt, updatedAt }, messages: [], facts: [] }
  for await (const each of exportLines(store, { id, title, createdAt, updatedAt, messageCount })) {
    if ('message' in each) file.messages.push(each.message)
    else if ('fact' in each) file.facts?.push(each.fact)
    else if ('looked' in each) file.looked = each.looked
  }
  return file
}

/**
 * Takes a session in; under a new id where its own is taken, so that nothing is mixed. A failure leaves nothing of it.
 * @param lines of JSON Lines, or of one JSON value
 * @param name of the file, for errors
 * @throws MaiError `MAI_USAGE` for what is no exported session, or was cut off
 */
export async function importSession(store: Store, lines: AsyncIterable<string>, name: string): Promise<Session> {
  const intake = new Intake(store, name)
  try {
    for await (const each of parsedLines(lines, name)) await intake.take(each)
    return await intake.finish()
  } catch (error) {
    await intake.abandon()
    throw error
  }
}

class Intake {
  readonly #store: Store
  readonly #name: string
  readonly #ids: Map<string, string> = new Map()
  readonly #seqs: number[] = []
  readonly #waiting: Parameters<Store['appendMessages']>[0][number][] = []
  #id: string | undefined
  #expected = 0

  constructor(store: Store, name: string) {
    this.#store = store
    this.#name = name
  }

  async take(each: SessionLine): Promise<void> {
    if ('format' in each) return this.#begin(each)
    const sessionId = this.#id
    if (sessionId === undefined) throw noSession(this.#name, 'its first line does not say that it is one')
    if ('message' in each) {
      const { spans = [], id, parts, ...rest } = each.message
      // An id is one message's in the whole store.
      const own = randomUUID()
      this.#ids.set(id, own)
      this.#waiting.push({ message: { ...rest, parts: parts as Message['parts'], id: own, sessionId }, spans })
      if (this.#waiting.length >= PAGE) await this.#write()
      return
    }
    await this.#write()
    if ('fact' in each) {
      const sources = each.fact.sources.map((id) => this.#ids.get(id) ?? '')
      await this.#store.changeLedger(sessionId, { add: [{ ...each.fact, sources }] })
    } else {
      const through = this.#seqs[each.looked - 1]
      if (through !== undefined) await this.#store.changeLedger(sessionId, { looked: { after: 0, through } })
    }
  }

  async #write(): Promise<void> {
    if (this.#waiting.length === 0) return
    const stored = await this.#store.appendMessages(this.#waiting.splice(0))
    this.#seqs.push(...stored.map(({ seq }) => seq))
  }

  async finish(): Promise<Session> {
    if (this.#id === undefined) throw noSession(this.#name, 'it is empty')
    await this.#write()
    if (this.#seqs.length !== this.#expected)
      throw noSession(this.#name, `it was cut off: ${this.#seqs.length} of ${this.#expected} messages are in it`)
    const stored = await this.#store.getSession(this.#id)
    if (!stored) throw noSession(this.#name, 'it was deleted meanwhile')
    return stored
  }

  async abandon(): Promise<void> {
    if (this.#id !== undefined) await this.#store.deleteSession(this.#id)
  }

  async #begin({ session: { id, title, createdAt }, messages }: Extract<SessionLine, { format: string }>): Promise<void> {
    if (this.#id !== undefined) throw noSession(this.#name, 'it holds more than one; take them in one by one')
    const taken = (await this.#store.getSession(id)) !== undefined
    this.#id = (await this.#store.createSession({ id: taken ? randomUUID() : id, title, time: createdAt })).id
    this.#expected = messages
  }
}

/** The lines of a file. @throws MaiError `MAI_USAGE` when it cannot be read */
export async function* linesOf(input: AsyncIterable<Buffer | string>, name: string): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  try {
    for await (const chunk of input) {
      // A line may be many chunks long: only what is new is searched for its end.
      const [first = '', ...lines] = (typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true })).split('\n')
      rest += first
      if (lines.length === 0) continue
      yield rest
      rest = lines.pop() ?? ''
      yield* lines
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new MaiError('MAI_USAGE', `${name} cannot be read: ${why}`, { cure: 'Check its name.', cause })
  }
  rest += decoder.decode()
  if (rest !== '') yield rest
}

/** The lines of a file, whichever of the two forms it has. */
async function* parsedLines(lines: AsyncIterable<string>, name: string): AsyncGenerator<SessionLine> {
  let number = 0
  let value = ''
  let begun = false
  for await (const each of lines) {
    number++
    if (each.trim() === '') continue
    const parsed = value === '' ? parsedLine(each, !begun, number, name) : undefined
    begun = true
    if (parsed) yield parsed
    // No line by itself: a part of one value over many lines. JSON has no line breaks inside its texts.
    else value += `${each}\n`
  }
  if (value !== '') yield* flattened(wholeOf(value, name))
}

/** @returns undefined for a first line that may be the beginning of a value */
function parsedLine(json: string, first: boolean, number: number, name: string): SessionLine | undefined {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (cause) {
    if (first) return undefined
    throw noSession(name, `line ${number} is not JSON`, cause)
  }
  if (first && typeof value === 'object' && value !== null && 'messages' in value && Array.isArray(value.messages)) return undefined
  const result = line.safeParse(value)
  if (result.success) return result.data
  throw noSession(name, `line ${number} is no message, fact or heading as Mai writes them`, result.error)
}

function wholeOf(json: string, name: string): SessionFile {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (cause) {
    throw noSession(name, 'it is not JSON', cause)
  }
  const result = whole.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw noSession(name, `${issue?.path.map(String).join('.') || 'the file'}: ${issue?.message ?? 'not as expected'}`, result.error)
}

function* flattened({ session, messages, facts = [], looked = 0 }: SessionFile): Generator<SessionLine> {
  yield { format: 'mai-session', version: 2, session, messages: messages.length }
  for (const message of messages) yield { message }
  for (const fact of facts) yield { fact }
  yield { looked }
}

function noSession(name: string, why: string, cause?: unknown): MaiError {
  return new MaiError('MAI_USAGE', `${name} is no exported session: ${why}.`, { cure: 'Export one with mai sessions export <id>.', cause })
}
