/**
 * The thread behind `processMessageSync`: a Mai of its own for each configuration, on the same store and sessions.
 * It installs no signal handlers.
 *
 * @module
 */
import { runAsWorker } from 'synckit'
import { type SyncOptions, syncErrors } from '../chat/blocking.ts'
import type { Mai } from '../chat/mai.ts'
import type { Part } from '../chat/message.ts'
import type { Reply } from '../chat/reply.ts'
import { isMaiError, toErrorFact } from '../core/errors.ts'
import type { SyncResult } from './blocking.ts'
import type { ConfigPlace } from './load.ts'
import { openMai } from './open.ts'

/** What it is asked to do. */
export type SyncCall =
  | { readonly place: ConfigPlace; readonly parts: readonly Part[]; readonly options: SyncOptions & { readonly timeLimitMs: number } }
  | { readonly place: ConfigPlace; readonly close: true }

const opened = new Map<string, Promise<Mai>>()

runAsWorker(async (call: SyncCall): Promise<SyncResult> => {
  try {
    return { reply: 'close' in call ? await close(call.place) : await answer(call) }
  } catch (error) {
    const { code, message } = toErrorFact(error)
    const { problem, cure, details } = isMaiError(error) ? error : { problem: message }
    return { error: { code: isMaiError(error) ? code : 'MAI_INTERNAL', problem, cure, details: plain(details) } }
  }
})

async function answer({ place, parts, options }: Extract<SyncCall, { readonly parts: readonly Part[] }>): Promise<Reply> {
  const { timeLimitMs, ...sending } = options
  const late = AbortSignal.timeout(timeLimitMs)
  const mai = await open(place)
  try {
    const reply = await mai.processMessage(parts, { ...sending, signal: late })
    if (reply.finishReason === 'cancelled' && late.aborted) throw syncErrors.timeout(timeLimitMs)
    return reply
  } catch (error) {
    throw late.aborted ? syncErrors.timeout(timeLimitMs) : error
  }
}

function open(place: ConfigPlace): Promise<Mai> {
  const key = JSON.stringify(place)
  const known = opened.get(key)
  if (known) return known
  const opening = openMai(place)
  opened.set(key, opening)
  // A configuration that fails may be mended before the next call.
  opening.catch(() => opened.delete(key))
  return opening
}

async function close(place: ConfigPlace): Promise<undefined> {
  const key = JSON.stringify(place)
  const mai = await opened.get(key)
  opened.delete(key)
  await mai?.shutdown()
  return undefined
}

/** Only what survives the way to another thread. */
function plain(details: Readonly<Record<string, unknown>> | undefined): Readonly<Record<string, unknown>> | undefined {
  try {
    return structuredClone(details)
  } catch {
    return undefined
  }
}
