/**
 * Decisions in sentences that a person would say. Pure.
 *
 * @module
 */
import type { Candidate, Decision, Needs, SelectionRequest, StruggleDecision, StruggleKind, StruggleRequest } from '../../chat/policy.ts'

/** `5.2 GB`, in powers of ten. */
export function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(bytes < 99.95e9 ? 1 : 0)} GB`
}

/** `0.3 s`. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

const tokens = (count: number): string => `${count.toLocaleString('en-GB')} tokens`

/** What a message was taken for. */
const TASKS: Readonly<Record<NonNullable<Needs['task']>, string>> = {
  chat: 'talk',
  code: 'code',
  mathematics: 'mathematics',
  analysis: 'analysis',
  translation: 'translation',
  image: 'a picture',
}

/** Why one model cannot serve. */
const RULES: Readonly<Record<string, (candidate: Candidate, request: SelectionRequest) => string>> = {
  memory: (c, request) => {
    if (c.loadedContextLength !== undefined) return `it holds ${gigabytes(c.memory.totalBytes)} that other programs want`
    const spare = c.memory.totalBytes < freeBytes(request) ? ', which would leave too little for other programs' : ''
    return `it needs ${gigabytes(c.memory.totalBytes)}${spare}`
  },
  failed: () => 'it had failed in this turn',
  circuit: () => 'it failed several times and rests',
  vision: () => 'it cannot see pictures',
  tools: () => 'it cannot use tools',
  window: (c, { needs }) => `its window of ${tokens(c.plannedContextLength)} is too small for the ${tokens(needs.contextTokens)} needed`,
  remote: () => 'it runs on another machine, and that is not allowed',
  language: () => 'it was trained on English alone',
  'no-chat': () => 'it is not made for talking',
}

/** Why a candidate was left out, as the end of a sentence. */
export function ruleText(rule: string, candidate: Candidate | undefined, request: SelectionRequest): string {
  const words = RULES[rule]
  return words && candidate ? words(candidate, request) : `rule "${rule}"`
}

interface Told {
  readonly request: SelectionRequest
  readonly decision: Decision
  readonly chosen: Candidate
  /** Key of the chosen one. */
  readonly name: string
  /** The model in use before. */
  readonly former: string
  /** The best by score of those that were not left out. */
  readonly best: string
  /** `it needs 5.2 GB and 9.1 GB were free`. */
  readonly room: string
  readonly formerRule: string
}

const SENTENCES: Readonly<Record<string, (told: Told) => string>> = {
  requested: ({ name }) => `Mai used ${name} because it was asked for with this message.`,
  pinned: ({ name }) => `Mai used ${name} because it is pinned; mai switch --auto lets Mai choose again.`,
  'most-efficient': ({ name, room }) => `Mai used ${name} because it is the best model that fits: ${room}.`,
  'still-best': ({ name, room }) => `Mai stayed with ${name} because it is still the best model that fits: ${room}.`,
  'close-enough': ({ name, best }) => `Mai stayed with ${name}: ${best} would be better, but not by enough to be worth a switch.`,
  dwell: ({ name, best }) => `Mai stayed with ${name}: ${best} would be better, but the last switch was only a moment ago.`,
  'not-calm-yet': ({ name, best }) =>
    `Mai stayed with ${name}: ${best} would be better, but memory has not been calm for long enough to move up.`,
  upgrade: ({ name, former, request }) =>
    `Mai moved up from ${former} to ${name}: memory has been calm, and ${name} is better for ${TASKS[request.needs.task ?? 'chat']}.`,
  downgrade: ({ name, former, room }) => `Mai moved down from ${former} to ${name} because memory ran short: ${room}.`,
  circuit: ({ name, former }) => `Mai moved from ${former} to ${name} because ${former} failed several times and rests.`,
  remote: ({ name, former }) => `Mai moved from ${former} to ${name} because ${former} runs on another machine, and that is not allowed.`,
  needs: ({ name, former, formerRule }) =>
    `Mai moved from ${former} to ${name} because ${former} cannot serve this message: ${formerRule}.`,
  gone: ({ name, former }) => `Mai moved from ${former} to ${name} because ${former} is no longer there.`,
  rescue: ({ name, request }) => `Mai went on with ${name} because ${listed(request.failed)} had failed.`,
  'last-resort': ({ name, formerRule, room }) => `Mai used ${name} because nothing better fits, although ${formerRule}: ${room}.`,
  widest: ({ name, request }) =>
    `Mai tried ${name}, whose window is the widest: the conversation seems to need ${tokens(request.needs.contextTokens)}, more than any model has.`,
  tight: ({ name, room }) => `Memory is short, so Mai used ${name}, the best that fits into a part of what is left: ${room}.`,
  smallest: ({ name, request, decision }) =>
    `No model fits and leaves enough for other programs: ${gigabytes(freeBytes(request))} were free. So Mai tried the smallest, ${name}, with a window of ${tokens(decision.contextLength)}.`,
  minimal: ({ name, decision }) =>
    `The machine is short of memory, so Mai worked in minimal mode: ${name}, the smallest, with a window of ${tokens(decision.contextLength)}.`,
  'policy-failed': ({ name }) => `The policy could not answer, so Mai used ${name} by a plain rule.`,
}

/** What would have been free for a new model, in bytes. */
function freeBytes({ resources, candidates }: SelectionRequest): number {
  return resources.memory.availableBytes + (candidates[0]?.reclaimableBytes ?? 0)
}

/** The decision in a sentence. */
export function decisionSentence(request: SelectionRequest, decision: Decision): string {
  const chosen = request.candidates.find(({ model }) => model === decision.model)
  if (decision.model === undefined || !chosen) return 'No model could answer.'
  const former = request.current ?? 'none'
  const ruleOf = (model: string): string | undefined => decision.candidates.find((row) => row.model === model)?.excluded
  const about = decision.reason === 'last-resort' ? decision.model : former
  const serving = decision.candidates.filter((row) => row.excluded === undefined).sort((a, b) => b.score - a.score)
  const told: Told = {
    request,
    decision,
    chosen,
    name: decision.model,
    former,
    best: serving[0]?.model ?? decision.model,
    room: roomText(chosen, decision, request),
    formerRule: ruleText(
      ruleOf(about) ?? '',
      request.candidates.find(({ model }) => model === about),
      request,
    ),
  }
  return SENTENCES[decision.reason]?.(told) ?? `Mai used ${decision.model} (${decision.reason}).`
}

function roomText(chosen: Candidate, { contextLength }: Decision, request: SelectionRequest): string {
  if (chosen.remote) return 'it runs on another machine, which is allowed'
  if (chosen.loadedContextLength !== undefined)
    return `it is loaded already, and ${gigabytes(request.resources.memory.availableBytes)} more were free`
  const { memory, plannedContextLength } = chosen
  const shorter = contextLength < plannedContextLength
  const need = memory.totalBytes - memory.kvBytes * (1 - contextLength / Math.max(1, plannedContextLength))
  const window = shorter ? ` with a window of ${tokens(contextLength)} instead of ${tokens(plannedContextLength)}` : ''
  return `it needs ${gigabytes(need)}${window} and ${gigabytes(freeBytes(request))} were free`
}

const TROUBLES: Readonly<Record<StruggleKind, string>> = {
  loop: 'repeated itself',
  'noisy-loop': 'repeated itself with small changes',
  stall: 'fell silent',
  slow: 'became far slower than it usually is',
  empty: 'gave no answer',
  'cut-off': 'broke off',
  garbled: 'wrote garbage',
  'low-confidence': 'lost its way',
  'context-full': 'ran out of its window',
  'model-unloaded': 'was unloaded by somebody else',
  'backend-lost': 'lost its server',
  crashed: 'crashed',
  'load-failed': 'could not be loaded',
  failed: 'failed',
}

/** What went wrong, and what was done about it. */
export function struggleSentence(request: StruggleRequest, { action, reason, delayMs }: StruggleDecision): string {
  const seen = request.releasedChars > 0 ? ` after ${request.releasedChars.toLocaleString('en-GB')} characters of the answer` : ''
  const code = request.error ? ` (${request.error.code})` : ''
  const done = {
    switch: 'so Mai turned to another model',
    retry: `so Mai tried it again${delayMs > 0 ? ` after ${seconds(delayMs)}` : ''}`,
    continue: 'and Mai let it go on',
    fail: reason === 'no-alternative' ? 'and there was no other model to turn to' : `and Mai gave up (${reason})`,
  }[action]
  return `${request.model} ${TROUBLES[request.kind]}${seen}${code}, ${done}.`
}

/** `a`, `a and b`, `a, b and c`. */
export function listed(names: readonly string[]): string {
  return names.length < 2 ? (names[0] ?? 'another') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}
