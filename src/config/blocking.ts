/**
 * The blocking twin of a Mai that came from a configuration: a thread that opens the same configuration.
 *
 * @module
 */
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { type BlockingTwin, LONGEST_SYNC_MS } from '../chat/blocking.ts'
import type { Reply } from '../chat/reply.ts'
import { MaiError, type MaiErrorCode } from '../core/errors.ts'
import type { ConfigPlace } from './load.ts'
import type { SyncCall } from './sync-worker.ts'

/** What comes back from the thread: errors as data, because their class does not survive the way. */
export type SyncResult =
  | { readonly reply: Reply | undefined }
  | {
      readonly error: {
        readonly code: string
        readonly problem: string
        readonly cure: string | undefined
        readonly details: Readonly<Record<string, unknown>> | undefined
      }
    }

/** Beyond this, in ms, the thread itself hangs. */
const HUNG_MS = LONGEST_SYNC_MS + 30_000

type Call = (call: SyncCall) => SyncResult

/** Nothing is loaded or started before the first answer. */
export function blockingTwin(place: ConfigPlace): BlockingTwin {
  let call: Call | undefined
  const ask = (message: SyncCall): Reply | undefined => {
    call ??= startThread()
    const result = call(message)
    if ('reply' in result) return result.reply
    const { code, problem, cure, details } = result.error
    throw new MaiError(code as MaiErrorCode, problem, { ...(cure === undefined ? {} : { cure }), ...(details ? { details } : {}) })
  }
  return {
    answer(parts, options) {
      const reply = ask({ place, parts, options })
      if (!reply) throw new MaiError('MAI_INTERNAL', 'The thread of the blocking twin gave no answer.')
      return reply
    },
    close() {
      if (call) ask({ place, close: true })
    },
  }
}

function startThread(): Call {
  // An `import` could not be waited for.
  const { createSyncFn }: typeof import('synckit') = createRequire(import.meta.url)('synckit')
  return createSyncFn<(call: SyncCall) => Promise<SyncResult>>(fileURLToPath(new URL('./sync-worker.ts', import.meta.url)), HUNG_MS)
}
