/**
 * Storing what a turn was given and what came of it, within a limit: a store may be anybody's.
 *
 * @module
 */
import { within } from '../../core/scope.ts'
import { chatErrors } from '../failure.ts'
import type { NewMessage, Span } from '../message.ts'
import type { CommittedMessage, Store } from '../store.ts'

/** Longest that the store may take for a message, in ms: its own waits for other processes are shorter. */
const STORE_LIMIT_MS = 60_000

/** Commits a person's message. @throws MaiError of the store; `MAI_STORE_BUSY` when it does not answer */
export async function commitMessage(store: Store, message: NewMessage): Promise<CommittedMessage> {
  if (!store.commitMessage) return { message: await inTime(store.appendMessage(message)), durable: Promise.resolve() }
  const committed = await inTime(store.commitMessage(message))
  const durable = inTime(committed.durable)
  // Whoever asks for it is told; a turn that ends before may not.
  durable.catch(() => {})
  return { ...committed, durable }
}

/** Stores an answer with who wrote what of it. @throws MaiError as {@link commitMessage} */
export async function storeAnswer(store: Store, message: NewMessage, spans: readonly Omit<Span, 'messageId'>[]): Promise<void> {
  await inTime(store.appendMessage(message, spans))
}

function inTime<T>(work: Promise<T>): Promise<T> {
  return within(work, STORE_LIMIT_MS, () => chatErrors.storeSilent(STORE_LIMIT_MS))
}
