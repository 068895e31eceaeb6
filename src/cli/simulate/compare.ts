/**
 * Several policies through the same traces, beside the oracle. Pure.
 *
 * @module
 */
import type { ModelKey } from '../../chat/model.ts'
import type { SwitchingPolicy } from '../../chat/policy.ts'
import { oracleWorth } from '../../chat/simulation/oracle.ts'
import { type Outcome, simulate } from '../../chat/simulation/simulate.ts'
import type { Trace } from '../../chat/simulation/trace.ts'
import { MaiError, toErrorFact } from '../../core/errors.ts'

/** How a policy did, as numbers. */
export interface Result {
  readonly policy: string
  readonly switches: number
  /** Of these, such as the former model's trouble did not force. */
  readonly unforced: number
  /** Of these, within 30 s of another. */
  readonly hasty: number
  readonly answers: number
  readonly failures: number
  /** Loads of more than was free. */
  readonly overloads: number
  readonly exceededMs: number
  /** Sum over the answers, each from 0 to 1. */
  readonly worth: number
  /** What a knowing one would have reached in addition, as a share of all that it would have reached. */
  readonly regret: number
  /** Share of the time, by model, the longest first; the rest had none loaded. */
  readonly time: Readonly<Record<ModelKey, number>>
}

/** All policies over one trace. */
export interface Comparison {
  readonly trace: Trace
  /** Most that could have been reached. */
  readonly oracle: number
  readonly outcomes: readonly Outcome[]
  readonly results: readonly Result[]
}

/** Runs policies through a trace. @throws MaiError `MAI_POLICY_FAILED` where one throws */
export function compare(trace: Trace, policies: readonly SwitchingPolicy[]): Comparison {
  const outcomes = policies.map((policy) => played(trace, policy))
  // The bound supposes that nobody waits for the answer before; whoever did better than that is the bound.
  const oracle = Math.max(oracleWorth(trace), ...outcomes.map(({ worth }) => worth))
  return { trace, oracle, outcomes, results: outcomes.map((outcome) => resultOf(outcome, oracle)) }
}

function played(trace: Trace, policy: SwitchingPolicy): Outcome {
  try {
    return simulate(trace, policy)
  } catch (cause) {
    throw new MaiError('MAI_POLICY_FAILED', `The policy "${policy.name}" failed: ${toErrorFact(cause).message}`, {
      cure: 'Mend it. In a conversation Mai would choose by a plain rule in its place.',
      cause,
    })
  }
}

function resultOf(outcome: Outcome, oracle: number): Result {
  const time = new Map<ModelKey, number>()
  for (const { model, from, to } of outcome.spans) time.set(model, (time.get(model) ?? 0) + (to - from) / Math.max(1, outcome.endMs))
  return {
    policy: outcome.policy,
    switches: outcome.switches.length,
    unforced: outcome.switches.filter(({ forced }) => !forced).length,
    hasty: outcome.hasty,
    answers: outcome.answers,
    failures: outcome.failures.length,
    overloads: outcome.overloads,
    exceededMs: outcome.exceededMs,
    worth: outcome.worth,
    regret: oracle > 0 ? 1 - outcome.worth / oracle : 0,
    time: Object.fromEntries([...time].sort((a, b) => b[1] - a[1])),
  }
}
