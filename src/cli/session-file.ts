/**
 * Sessions as files: JSON that another Mai takes back in.
 *
 * @module
 */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { Message, Session, Span } from '../chat/message.ts'
import type { Store } from '../chat/store.ts'
import { MaiError } from '../core/errors.ts'

/** A whole session. */
export interface SessionFile {
  readonly format: 'mai-session'
  readonly version: 1
  readonly session: Pick<Session, 'id' | 'title' | 'createdAt' | 'updatedAt'>
  readonly messages: readonly (Omit<Message, 'seq' | 'sessionId'> & { readonly spans?: readonly Omit<Span, 'messageId'>[] | undefined })[]
}

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
const sessionFile = z.object({
  format: z.literal('mai-session'),
  version: z.literal(1),
  session: z.object({ id: text.min(1), title: text, createdAt: time, updatedAt: time }),
  messages: z.array(message),
})

/** Everything of a session. */
export async function exportSession(store: Store, { id, title, createdAt, updatedAt }: Session): Promise<SessionFile> {
  const messages = await store.messages(id, { limit: Number.POSITIVE_INFINITY })
  const whole = messages.map(async ({ seq: _, sessionId: __, ...rest }) => ({
    ...rest,
    spans: (await store.spans(rest.id)).map(({ messageId: ___, ...span }) => span),
  }))
  return { format: 'mai-session', version: 1, session: { id, title, createdAt, updatedAt }, messages: await Promise.all(whole) }
}

/** @throws MaiError `MAI_USAGE` for what is no such file */
export function parsedSession(json: string, name: string): SessionFile {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (cause) {
    throw noSession(name, 'it is not JSON', cause)
  }
  const result = sessionFile.safeParse(value)
  if (result.success) return result.data as SessionFile
  const [issue] = result.error.issues
  throw noSession(name, `${issue?.path.map(String).join('.') || 'the file'}: ${issue?.message ?? 'not as expected'}`, result.error)
}

/** Adds it as a session; under a new id where its own is taken, so that nothing is mixed. A failure leaves nothing of it. */
export async function importSession(store: Store, { session, messages }: SessionFile): Promise<Session> {
  const taken = (await store.getSession(session.id)) !== undefined
  const created = await store.createSession({ id: taken ? randomUUID() : session.id, title: session.title, time: session.createdAt })
  try {
    for (const { spans, ...rest } of messages) {
      // An id is one message's in the whole store.
      await store.appendMessage({ ...rest, id: randomUUID(), sessionId: created.id }, spans ?? [])
    }
  } catch (error) {
    await store.deleteSession(created.id)
    throw error
  }
  return (await store.getSession(created.id)) ?? created
}

function noSession(name: string, why: string, cause: unknown): MaiError {
  return new MaiError('MAI_USAGE', `${name} is no exported session: ${why}.`, { cure: 'Export one with mai sessions export <id>.', cause })
}
