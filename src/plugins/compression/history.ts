/**
 * Reads a session backwards, only as far as a budget reaches.
 *
 * @module
 */
import type { HistoryReader } from '../../chat/context.ts'
import type { Message } from '../../chat/message.ts'

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
  readonly #sessions: Map<string, { readonly through: number; readonly raw: number }> = new Map()

  /** @param through `seq` of the newest of messages that have at least `raw` o200k tokens together */
  note(sessionId: string, through: number, raw: number): void {
    const known = this.#sessions.get(sessionId)
    if (known && known.raw >= raw && known.through <= through) return
    this.#sessions.delete(sessionId)
    this.#sessions.set(sessionId, { through, raw })
    const [oldest] = this.#sessions.keys()
    if (this.#sessions.size > MOST_SESSIONS && oldest !== undefined) this.#sessions.delete(oldest)
  }

  /** o200k tokens that the session has at least. */
  async atLeast(sessionId: string, history: HistoryReader): Promise<number> {
    const known = this.#sessions.get(sessionId)
    if (!known) return 0
    const [newest] = await history.page(1)
    // Messages are taken back from the newest on: while that one is there, so are those before it.
    if (newest && newest.seq >= known.through) return known.raw
    this.#sessions.delete(sessionId)
    return 0
  }
}
