/**
 * The fault script of the stand-in LM Studio server: what shall go wrong, with which model, and when.
 *
 * @module
 */

/** Which operation a fault hits. */
export interface FaultMatch {
  /** Model key; any model when absent. */
  readonly model?: string
  /** Hits the n-th matching operation after the fault was added. Default 1. */
  readonly occurrence?: number
  /** How many operations it hits from there on; `Infinity` for ever. Default 1. */
  readonly times?: number
}

/** What goes wrong while a model loads. */
export type LoadFault = FaultMatch &
  (
    | {
        /** The guardrail: not enough memory. */
        readonly kind: 'refuse-load'
        readonly message?: string
      }
    | { readonly kind: 'fail-load'; readonly message?: string }
    | {
        /** The engine dies while it loads, as it does when memory runs out. */
        readonly kind: 'crash-load'
        readonly exitCode?: number
      }
    | {
        /** Progress stands still until the client gives up. */
        readonly kind: 'hang-load'
        /** Where it stands still, 0 to 1. Default 0. */
        readonly atProgress?: number
      }
    | { readonly kind: 'slow-load'; readonly ms: number }
    | {
        /** Loads with another window (in tokens) than asked, and says nothing. */
        readonly kind: 'wrong-context'
        readonly contextLength: number
      }
  )

/** What goes wrong with an answer. */
export type AnswerFault = FaultMatch & {
  /** Fragments that the client still gets. An answer that ends before them is not hit. Default 0 (`repeat`: 8). */
  readonly afterFragments?: number
} & (
    | {
        /** The connection breaks; models stay loaded. */
        readonly kind: 'drop-socket'
        /** Breaks all connections and refuses new ones for so long, in ms. */
        readonly refuseForMs?: number
      }
    | {
        /** The whole program dies, its models with it. */
        readonly kind: 'kill-server'
        /** Starts again, empty, after so many ms; without it only `restart()` brings it back. */
        readonly restartAfterMs?: number
      }
    | {
        /** Nothing more comes, for ever. */
        readonly kind: 'stall'
        /** Not even cancelling ends it. */
        readonly ignoreCancel?: boolean
      }
    | { readonly kind: 'unload' }
    | { readonly kind: 'crash'; readonly exitCode?: number }
    | {
        /** The last fragments come again and again, for ever. */
        readonly kind: 'repeat'
        /** Length of the cycle. Default: 8, or as many as there were. */
        readonly fragments?: number
        /** Ms between fragments. Default 1. */
        readonly everyMs?: number
      }
    | { readonly kind: 'slow-answer'; readonly everyMs: number }
    | { readonly kind: 'stop'; readonly reason: 'failed' | 'contextLengthReached' | 'maxPredictedTokensReached' | 'eosFound' }
    | { readonly kind: 'answer-error'; readonly message: string }
    | { readonly kind: 'overflow' }
    | { readonly kind: 'empty' }
    | {
        /** The prompt takes so long to read, in ms; happens beside any other fault. */
        readonly kind: 'slow-prefill'
        readonly ms: number
      }
  )

/** What goes wrong with a plain call, such as `listDownloadedModels`. */
export type CallFault = Omit<FaultMatch, 'model'> & {
  readonly endpoint: string
} & (
    | { readonly kind: 'hang-call' }
    | { readonly kind: 'fail-call'; readonly message: string }
    | { readonly kind: 'drop-call' }
    | { readonly kind: 'slow-call'; readonly ms: number }
  )

/** Authentication is refused. */
export interface AuthFault extends Omit<FaultMatch, 'model'> {
  readonly kind: 'refuse-auth'
  readonly message?: string
}

/**
 * One thing that goes wrong.
 *
 * @example
 * server.faults.add({ kind: 'drop-socket', model: 'a', afterFragments: 3 })
 */
export type Fault = LoadFault | AnswerFault | CallFault | AuthFault

/** What hits one load: at most one that ends it, and changes of its course. */
export interface LoadFaults {
  readonly ending: Exclude<LoadFault, { kind: 'slow-load' | 'wrong-context' }> | undefined
  readonly slow: Extract<LoadFault, { kind: 'slow-load' }> | undefined
  readonly wrongContext: Extract<LoadFault, { kind: 'wrong-context' }> | undefined
}

/** What hits one answer. */
export interface AnswerFaults {
  readonly ending: EndingFault | undefined
  readonly slowPrefill: Extract<AnswerFault, { kind: 'slow-prefill' }> | undefined
}

/** A fault that takes the course of an answer over. */
export type EndingFault = Exclude<AnswerFault, { kind: 'slow-prefill' }>

interface Entry {
  readonly fault: Fault
  seen: number
  used: number
}

const LOAD_KINDS: ReadonlySet<string> = new Set<LoadFault['kind']>([
  'refuse-load',
  'fail-load',
  'crash-load',
  'hang-load',
  'slow-load',
  'wrong-context',
])
const CALL_KINDS: ReadonlySet<string> = new Set<CallFault['kind']>(['hang-call', 'fail-call', 'drop-call', 'slow-call'])

const isAuth = (fault: Fault): fault is AuthFault => fault.kind === 'refuse-auth'
const isCall = (fault: Fault): fault is CallFault => CALL_KINDS.has(fault.kind)
const isLoad = (fault: Fault): fault is LoadFault => LOAD_KINDS.has(fault.kind)
const isAnswer = (fault: Fault): fault is AnswerFault => !isAuth(fault) && !isCall(fault) && !isLoad(fault)

/** The faults still to come. May be changed at any time; only operations that start later are hit. */
export class FaultScript {
  #entries: Entry[] = []
  readonly #fired: Fault[] = []

  constructor(faults: readonly Fault[] = []) {
    this.add(...faults)
  }

  /** Appends faults. Of several that fit one operation, the first comes first and the next one hits the next operation. */
  add(...faults: readonly Fault[]): void {
    this.#entries.push(...faults.map((fault) => ({ fault, seen: 0, used: 0 })))
  }

  /** Forgets everything still to come. */
  clear(): void {
    this.#entries = []
  }

  /** Faults not used up. */
  get pending(): readonly Fault[] {
    return this.#entries.map((entry) => entry.fault)
  }

  /** Faults that hit, in order, once for each hit. */
  get fired(): readonly Fault[] {
    return this.#fired
  }

  /** The server asks it at the start of each load. */
  takeLoad(model: string): LoadFaults {
    const due = this.#seen((fault) => isLoad(fault) && matches(fault, model))
    return {
      ending: this.#take(due, (fault) =>
        isLoad(fault) && fault.kind !== 'slow-load' && fault.kind !== 'wrong-context' ? fault : undefined,
      ),
      slow: this.#take(due, (fault) => (fault.kind === 'slow-load' ? fault : undefined)),
      wrongContext: this.#take(due, (fault) => (fault.kind === 'wrong-context' ? fault : undefined)),
    }
  }

  /** The server asks it at the start of each answer. */
  takeAnswer(model: string): AnswerFaults {
    const due = this.#seen((fault) => isAnswer(fault) && matches(fault, model))
    return {
      ending: this.#take(due, (fault) => (isAnswer(fault) && fault.kind !== 'slow-prefill' ? fault : undefined)),
      slowPrefill: this.#take(due, (fault) => (fault.kind === 'slow-prefill' ? fault : undefined)),
    }
  }

  /** The server asks it for each plain call. */
  takeCall(endpoint: string): CallFault | undefined {
    const due = this.#seen((fault) => isCall(fault) && fault.endpoint === endpoint)
    return this.#take(due, (fault) => (isCall(fault) ? fault : undefined))
  }

  /** The server asks it for each new connection. */
  takeAuth(): AuthFault | undefined {
    return this.#take(this.#seen(isAuth), (fault) => (isAuth(fault) ? fault : undefined))
  }

  #seen(fits: (fault: Fault) => boolean): Entry[] {
    const found = this.#entries.filter((entry) => fits(entry.fault))
    for (const entry of found) entry.seen++
    return found.filter((entry) => entry.seen >= (entry.fault.occurrence ?? 1))
  }

  #take<T extends Fault>(due: readonly Entry[], pick: (fault: Fault) => T | undefined): T | undefined {
    for (const entry of due) {
      const fault = pick(entry.fault)
      if (!fault) continue
      entry.used++
      this.#fired.push(fault)
      if (entry.used >= (fault.times ?? 1)) this.#entries = this.#entries.filter((other) => other !== entry)
      return fault
    }
    return undefined
  }
}

function matches(fault: LoadFault | AnswerFault, model: string): boolean {
  return fault.model === undefined || fault.model === model
}
