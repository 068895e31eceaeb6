/**
 * The policy's log with a limit on every call: a store that hangs costs what it was asked, not what is asked after it.
 *
 * @module
 */
import { within } from '../../core/scope.ts'
import { chatErrors } from '../failure.ts'
import type { Store } from '../store.ts'

/** What the policy asks of the store. */
export type PolicyLog = Pick<Store, 'appendRecord' | 'records' | 'saveSnapshot' | 'latestSnapshot'>

/** Longer than the store itself waits for other processes, in ms. */
const PATIENCE_MS = 15_000
/** The same after a call of its kind that took longer, until one is answered in time. */
const IMPATIENCE_MS = 250

/** Calls of the store that end. They reject with `MAI_STORE_FAILED` where the store stays silent. */
export function patientLog(store: PolicyLog): PolicyLog {
  const silent = new Set<keyof PolicyLog>()
  const patiently = async <T>(kind: keyof PolicyLog, call: Promise<T>): Promise<T> => {
    const limitMs = silent.has(kind) ? IMPATIENCE_MS : PATIENCE_MS
    const answer = await within(call, limitMs, () => {
      silent.add(kind)
      return chatErrors.storeSilent(limitMs)
    })
    silent.delete(kind)
    return answer
  }
  return {
    appendRecord: (record) => patiently('appendRecord', store.appendRecord(record)),
    records: (query) => patiently('records', store.records(query)),
    saveSnapshot: (snapshot) => patiently('saveSnapshot', store.saveSnapshot(snapshot)),
    latestSnapshot: (policy, version, through) => patiently('latestSnapshot', store.latestSnapshot(policy, version, through)),
  }
}
