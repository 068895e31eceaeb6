/**
 * The fault script of the stand-in OpenAI server: what shall go wrong with which answer.
 *
 * @module
 */

/** Which answers a fault hits. */
export interface OpenAiFaultMatch {
  /** Model; any when absent. */
  readonly model?: string
  /** Hits the n-th matching request after the fault was added. Default 1. */
  readonly occurrence?: number
  /** How many it hits from there on; `Infinity` for ever. Default 1. */
  readonly times?: number
}

/** What goes wrong. `afterPieces`: pieces that the client still gets. */
export type OpenAiFault = OpenAiFaultMatch &
  (
    | {
        /** An answer with this status instead. */
        readonly kind: 'status'
        readonly status: number
        /** The header `Retry-After`, as it is sent: seconds or a date. */
        readonly retryAfter?: string
        /** `error` of the body; default: what OpenAI says with this status. */
        readonly error?: Readonly<Record<string, unknown>>
      }
    | {
        /** The prompt is too long, in the words of one server. */
        readonly kind: 'overflow'
        readonly words?: 'openai' | 'vllm' | 'llama.cpp' | 'ollama'
      }
    | {
        /** The provider's filter: refuses the prompt, or ends the answer. */
        readonly kind: 'filter'
        readonly reason?: string
        /** Ends the answer after so many pieces; absent: refuses the prompt. */
        readonly afterPieces?: number
      }
    /** The connection is reset before any header. */
    | { readonly kind: 'reset' }
    /** Never answers; with headers: says only that it will. */
    | { readonly kind: 'silence'; readonly headers?: boolean }
    /** The first piece comes late. */
    | { readonly kind: 'late'; readonly ms: number }
    /** Breaks off: the connection is reset, or ends as if all were well. */
    | { readonly kind: 'cut'; readonly afterPieces: number; readonly clean?: boolean }
    /** The whole process dies; started again after so many ms, or by `restart()` alone. */
    | { readonly kind: 'kill-server'; readonly afterPieces: number; readonly restartAfterMs?: number }
    /** Goes silent, with comments that keep the connection alive where asked. */
    | { readonly kind: 'stall'; readonly afterPieces: number; readonly keepAliveMs?: number }
    /** A piece that is no JSON; the answer then goes on. */
    | { readonly kind: 'malformed'; readonly afterPieces: number }
    /** A piece that says that something failed. */
    | { readonly kind: 'error-piece'; readonly afterPieces: number; readonly message?: string }
    /** The whole answer with its reason, but neither usage nor end marker; the connection stays open where asked. */
    | { readonly kind: 'no-end-marker'; readonly open?: boolean }
    /** Points elsewhere. */
    | { readonly kind: 'redirect'; readonly location: string }
    /** No content at all. */
    | { readonly kind: 'empty' }
  )

/** The faults still to come. May be changed at any time; only requests that start later are hit. */
export class OpenAiFaults {
  #entries: { readonly fault: OpenAiFault; seen: number; used: number }[] = []

  constructor(faults: readonly OpenAiFault[] = []) {
    this.add(...faults)
  }

  /** Appends faults. Of several that fit one request, the first comes first and the next one hits the next request. */
  add(...faults: readonly OpenAiFault[]): void {
    this.#entries.push(...faults.map((fault) => ({ fault, seen: 0, used: 0 })))
  }

  /** Forgets everything still to come. */
  clear(): void {
    this.#entries = []
  }

  /** The server asks it at the start of each answer. */
  take(model: string): OpenAiFault | undefined {
    const fitting = this.#entries.filter(({ fault }) => fault.model === undefined || fault.model === model)
    for (const entry of fitting) entry.seen++
    const due = fitting.find((entry) => entry.seen >= (entry.fault.occurrence ?? 1))
    if (!due) return undefined
    due.used++
    if (due.used >= (due.fault.times ?? 1)) this.#entries = this.#entries.filter((entry) => entry !== due)
    return due.fault
  }
}
