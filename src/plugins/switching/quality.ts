/**
 * How good a model's answer is likely to be, for a kind of task: a prior, corrected by what happened here.
 *
 * @module
 */
import type { Candidate, Needs, TaskKind } from '../../chat/policy.ts'
import { type Speciality, type Traits, traitsOf } from './traits.ts'

/** Size of a model of which nothing is known, in billions of parameters. */
const UNKNOWN_BILLIONS = 7

/** Loss by quantisation, in doublings of parameters, by bits a weight: small down to 4, steep below. */
const BY_BITS: readonly (readonly [number, number])[] = [
  [7.5, 0],
  [5.5, -0.03],
  [4.5, -0.1],
  [3.8, -0.2],
  [2.8, -0.7],
  [1.9, -1.8],
  [0, -3],
]

/** What a speciality gains for its task, and costs for others. */
const GAINS: Readonly<
  Partial<Record<Speciality, { readonly tasks: readonly TaskKind[]; readonly gain: number; readonly elsewhere: number }>>
> = {
  code: { tasks: ['code'], gain: 1.2, elsewhere: -0.5 },
  mathematics: { tasks: ['mathematics'], gain: 1.2, elsewhere: -0.8 },
  vision: { tasks: ['image'], gain: 0.5, elsewhere: -0.1 },
  translation: { tasks: ['translation'], gain: 0.8, elsewhere: -0.1 },
  base: { tasks: [], gain: 0, elsewhere: -2 },
}
/** A conversation about a picture goes better with who can see it. */
const SIGHT_GAIN = 0.8
/** Thinking first helps where steps matter. */
const REASONING_GAIN = 0.8

/**
 * Expected quality of an answer, in doublings of parameters: a doubling gains 1.
 * @param correction learned here, in the same unit
 */
export function qualityOf(candidate: Candidate, needs: Needs, correction: number): number {
  if (candidate.quality !== undefined) return size(candidate.quality) + correction
  const traits = traitsOf(candidate)
  return size(effectiveBillions(candidate, traits)) + byBits(candidate) + traits.ahead + fitness(candidate, traits, needs) + correction
}

/** Doublings over an eighth of a billion. */
function size(billions: number): number {
  return Math.log2(1 + 8 * Math.max(0, billions))
}

/** Of mixed experts the geometric mean of all and active parameters, a rule of thumb of those who train them. */
function effectiveBillions(candidate: Candidate, { billions: stated, activeBillions }: Traits): number {
  const bits = candidate.quantisationBits ?? 4.5
  const byWeights = candidate.memory.weightsBytes > 0 ? (candidate.memory.weightsBytes * 8) / bits / 1e9 : undefined
  const all = candidate.parameters === undefined ? (stated ?? byWeights ?? UNKNOWN_BILLIONS) : candidate.parameters / 1e9
  return activeBillions === undefined || activeBillions >= all ? all : Math.sqrt(all * activeBillions)
}

function byBits({ quantisationBits }: Candidate): number {
  if (quantisationBits === undefined) return 0
  return BY_BITS.find(([bits]) => quantisationBits >= bits)?.[1] ?? 0
}

/** How well its specialities and languages suit the task. */
function fitness({ abilities }: Candidate, { specialities, multilingual, englishOnly }: Traits, needs: Needs): number {
  const task = needs.task ?? 'chat'
  let sum = 0
  for (const speciality of specialities) {
    const gains = GAINS[speciality]
    if (gains) sum += gains.tasks.includes(task) ? gains.gain : gains.elsewhere
  }
  if (task === 'image' && abilities.vision) sum += SIGHT_GAIN
  const steps = task === 'mathematics' || task === 'analysis' || needs.reasoning === true
  if (steps && (abilities.reasoning || specialities.has('reasoning'))) sum += REASONING_GAIN
  if (needs.script !== undefined && needs.script !== 'latin') sum += multilingual - (englishOnly ? 1 : 0)
  return sum
}
