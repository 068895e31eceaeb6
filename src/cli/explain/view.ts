/**
 * A turn's explanation as lines of text. Pure.
 *
 * @module
 */
import type { Explanation, Step } from '../../chat/decisions/explanation.ts'
import type { Candidate, Decision, ScoredCandidate, SelectionRequest } from '../../chat/policy.ts'
import { neutraliseLine } from '../neutralise.ts'
import { table } from '../terminal/width.ts'
import { decisionSentence, gigabytes, listed, ruleText, seconds, struggleSentence } from './sentences.ts'

/** Candidates that are shown; `--json` has all. */
const SHOWN = 12
/** Left-out models that get a sentence each. */
const TOLD = 4
/** Reasons whose sentence says why the former model was left. */
const TELLS_FORMER: ReadonlySet<string> = new Set(['needs', 'circuit', 'remote'])

/** All that is known of a turn. */
export function explanationLines(explanation: Explanation): string[] {
  const steps = explanation.steps
    .filter((step, index, all) => !isToldLater(step, all.slice(index)))
    .flatMap((step) => ['', ...stepLines(step)])
  return [neutraliseLine(`Turn ${explanation.turnId}`), ...steps, '', ...replayLines(explanation).map(neutraliseLine)]
}

/** A failed answer that was put to the policy is told with what was done about it. */
function isToldLater(step: Step, after: readonly Step[]): boolean {
  return step.type === 'failed' && after.some((next) => next.type === 'struggle' && next.request.model === step.model)
}

function stepLines(step: Step): string[] {
  switch (step.type) {
    case 'decision':
      return [
        neutraliseLine([decisionSentence(step.request, step.decision), ...leftOut(step.request, step.decision)].join(' ')),
        ...candidateTable(step.request, step.decision),
      ]
    default:
      return [neutraliseLine(stepSentence(step))]
  }
}

function stepSentence(step: Exclude<Step, { readonly type: 'decision' }>): string {
  switch (step.type) {
    case 'struggle':
      return struggleSentence(step.request, step.decision)
    case 'loaded':
      return `${step.model} was loaded in ${seconds(step.ms)}, with a window of ${step.contextLength.toLocaleString('en-GB')} tokens.`
    case 'load-failed':
      return `${step.model} could not be loaded (${step.code})${step.memory ? ': memory did not allow it' : ''}.`
    case 'switched':
      return `The conversation moved from ${step.from} to ${step.to} (${step.reason})${step.rescue ? ', which a failure forced' : ''}.`
    case 'failed':
      return `An answer of ${step.model} failed: ${step.kind} (${step.code}).`
    case 'finished':
      return `${step.model} finished after ${seconds(step.ms)}: ${step.completionTokens.toLocaleString('en-GB')} tokens.`
  }
}

/** A sentence for each that was left out, those that would have been best first. */
function leftOut(request: SelectionRequest, decision: Decision): string[] {
  const told = (row: ScoredCandidate): boolean =>
    row.excluded === 'failed' || (TELLS_FORMER.has(decision.reason) && row.model === request.current)
  const out = decision.candidates
    .filter((row) => row.excluded !== undefined && row.model !== decision.model && !told(row))
    .sort((a, b) => b.score - a.score)
  const sentences = out
    .slice(0, TOLD)
    .map((row) => `${row.model} was left out: ${ruleText(row.excluded ?? '', candidateOf(request, row.model), request)}.`)
  const rest = out.length - sentences.length
  return rest > 0 ? [...sentences, `So were ${rest} more.`] : sentences
}

function candidateTable(request: SelectionRequest, { candidates, model }: Decision): string[] {
  const rows = [...candidates].sort((a, b) => Number(b.model === model) - Number(a.model === model) || b.score - a.score)
  const cells = rows.slice(0, SHOWN).map((row) => {
    const candidate = candidateOf(request, row.model)
    const need = candidate ? gigabytes(candidate.memory.totalBytes) : '–'
    const mark = row.model === model ? ['chosen'] : []
    return [row.model, row.score.toFixed(2), need, [...mark, ...(row.excluded === undefined ? [] : [row.excluded])].join(', ')].map(
      neutraliseLine,
    )
  })
  const more = rows.length - cells.length
  const lines = table([['MODEL', 'SCORE', 'NEEDS', 'RULE'], ...cells]).map((line) => `  ${line}`)
  return rows.length < 2 ? [] : [...lines, ...(more > 0 ? [`  and ${more} more; --json shows all`] : [])]
}

function candidateOf({ candidates }: SelectionRequest, model: string): Candidate | undefined {
  return candidates.find((candidate) => candidate.model === model)
}

function replayLines({ decidedBy, askedAgain, same, exact, steps }: Explanation): string[] {
  const nameOf = (policy: { readonly name: string; readonly version: number }): string => `${policy.name} ${policy.version}`
  const asked = nameOf(askedAgain)
  const other = decidedBy !== undefined && nameOf(decidedBy) !== asked
  const lines = same
    ? [`Asked again, ${asked} decides the same, bit for bit.`]
    : [`Asked again, ${asked} decides differently: ${differences(steps)}.`]
  if (other) lines.push(`It was ${nameOf(decidedBy)} that decided.`)
  else if (!same) lines.push(exact ? 'Its options in the configuration may have been others then.' : '')
  if (!exact && !other) lines.push('The log no longer holds all that the policy knew then.')
  return lines.filter((line) => line !== '')
}

function differences(steps: readonly Step[]): string {
  const found = steps.flatMap((step) => {
    if (!('replay' in step) || step.replay.same) return []
    const { now } = step.replay
    if (now === undefined) return ['it fails']
    if ('action' in now) return [`${now.action} (${now.reason})`]
    if (step.type === 'decision' && now.model === step.decision.model && now.reason === step.decision.reason)
      return ['the same model with other scores']
    return [`${now.model ?? 'none'} (${now.reason})`]
  })
  return listed(found)
}
