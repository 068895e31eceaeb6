/**
 * Reads a session backwards, only as far as a budget reaches.
 *
 * @module
 */
import type { HistoryReader } from '../../chat/context.ts'
import type { Message } from '../../chat/message.ts'
import { type Amount, plain, total } from './amount.ts'

/** Messages read at once. */
const PAGE = 64
/** Sessions whose length is remembered. */
const MOST_SESSIONS = 64

/** The end of a session. */
export interface Tail {
  /** The newest messages that cost at most the budget, ascending. */
  readonly messages: readonly Message[]
  /** Some of those before them, ascending. */
  readonly older: readonly Message[]
  /** What `messages` cost, or when they are not all, more than the budget. */
  readonly spent: number
  readonly whole: boolean
}

/** @param older how many messages before the tail to read as well */
export async function readTail(history: HistoryReader, budget: number, cost: (message: Message) => number, older = 0): Promise<Tail> {
  const taken: Message[] = []
  let spent = 0
  let before: number | undefined
  for (;;) {
    const page = await history.page(PAGE, before)
    for (let at = page.length - 1; at >= 0; at--) {
      const message = page[at]
      if (!message) continue
      spent += cost(message)
      if (spent > budget)
        return { messages: taken.reverse(), older: await readOlder(history, page.slice(0, at + 1), older), spent, whole: false }
      taken.push(message)
    }
    const [first] = page
    if (!first || page.length < PAGE) return { messages: taken.reverse(), older: [], spent, whole: true }
    before = first.seq
  }
}

async function readOlder(history: HistoryReader, known: readonly Message[], wanted: number): Promise<readonly Message[]> {
  const [first] = known
  if (known.length >= wanted || !first) return known.slice(Math.max(0, known.length - wanted))
  return [...(await history.page(wanted - known.length, first.seq)), ...known]
}

/** Which sessions are known to be longer than a window, so that they are not read again to find out. */
export class KnownLengths {
  readonly #sessions: Map<string, { readonly through: number; readonly amount: Amount }> = new Map()

  /** @param through `seq` of the newest of messages that have `amount` together */
  note(sessionId: string, through: number, amount: Amount): void {
    const known = this.#sessions.get(sessionId)
    if (known && total(known.amount) >= total(amount) && known.through <= through) return
    this.#sessions.delete(sessionId)
    this.#sessions.set(sessionId, { through, amount })
    const [oldest] = this.#sessions.keys()
    if (this.#sessions.size > MOST_SESSIONS && oldest !== undefined) this.#sessions.delete(oldest)
  }

  /** What the session has at least. */
  async atLeast(sessionId: string, history: HistoryReader): Promise<Amount> {
    const known = this.#sessions.get(sessionId)
    if (!known) return plain(0)
    const [newest] = await history.page(1)
    // Messages are taken back from the newest on: while that one is there, so are those before it.
    if (newest && newest.seq >= known.through) return known.amount
    this.#sessions.delete(sessionId)
    return plain(0)
  }
}

/** Newest messages that are asked for anew each time; a turn seldom has more. */
const NEWEST = 8
/** Messages that are kept of a session, characters of a message to be kept, and sessions. */
const MOST_KEPT = 1024
const MOST_CHARACTERS = 8192
const MOST_TAILS = 4

/** Keeps the ends of the sessions in use, so that a turn reads what is new only. */
export class KeptTails {
  /** Messages without a gap, ascending. */
  readonly #tails: Map<string, readonly Message[]> = new Map()

  /** The same history, read from memory as far as it is there. Good for one turn. */
  async reader(sessionId: string, history: HistoryReader): Promise<HistoryReader> {
    let tail = this.#joined(sessionId, await history.page(NEWEST))
    const page = async (limit: number, before = Number.POSITIVE_INFINITY): Promise<readonly Message[]> => {
      let end = tail.length
      while (end > 0 && (tail[end - 1]?.seq ?? 0) >= before) end--
      if (end >= limit) return tail.slice(end - limit, end)
      const first = tail[0]
      // What lies before the kept end is read, and kept as well where it joins on.
      const older = await history.page(limit - end, first && end > 0 ? first.seq : before === Number.POSITIVE_INFINITY ? undefined : before)
      if (end > 0 && older.length + tail.length <= MOST_KEPT) {
        tail = [...older, ...tail]
        this.#keep(sessionId, tail)
        return tail.slice(0, older.length + end)
      }
      return [...older, ...tail.slice(0, end)]
    }
    return { page }
  }

  #joined(sessionId: string, newest: readonly Message[]): readonly Message[] {
    const known = this.#tails.get(sessionId) ?? []
    // Messages are taken back from the newest on: what both have in common is still there, and so is what was before.
    const common = newest.findLastIndex(({ id, seq }) => known.some((message) => message.seq === seq && message.id === id))
    const at = known.findIndex(({ id }) => id === newest[common]?.id)
    const tail = common < 0 ? newest : [...known.slice(0, at + 1), ...newest.slice(common + 1)].slice(-MOST_KEPT)
    this.#keep(sessionId, tail)
    return tail
  }

  #keep(sessionId: string, tail: readonly Message[]): void {
    this.#tails.delete(sessionId)
    // A few very long messages are not worth their memory, and a kept end has no gap.
    const long = tail.findLastIndex(({ parts }) => parts.reduce((sum, part) => sum + sizeOf(part), 0) > MOST_CHARACTERS)
    this.#tails.set(sessionId, tail.slice(long + 1))
    const [oldest] = this.#tails.keys()
    if (this.#tails.size > MOST_TAILS && oldest !== undefined) this.#tails.delete(oldest)
  }
}

function sizeOf(part: Message['parts'][number]): number {
  return 'text' in part ? part.text.length : 'data' in part ? part.data.length : part.arguments.length
}
