/**
 * Options of the `struggle` plugin.
 *
 * @module
 */
import { z } from 'zod'

/** When an answer counts as lost. Every field has a default; `false` switches a detector off. */
export interface StruggleOptions {
  /** Exact and noisy loops. */
  readonly loop?: Partial<LoopSettings> | false | undefined
  /** Text that compresses as no real text does. */
  readonly compression?: Partial<CompressionSettings> | false | undefined
  /** Silence. */
  readonly stall?: Partial<StallSettings> | false | undefined
  /** Writing slower than the model can. */
  readonly slow?: Partial<SlowSettings> | false | undefined
  /** Answers without content, or cut inside a character. */
  readonly ending?: boolean | undefined
  /** Characters that no text has. */
  readonly garbled?: Partial<GarbledSettings> | false | undefined
  /** Low log-probabilities; off by default, because the limit differs from model to model. */
  readonly confidence?: Partial<ConfidenceSettings> | false | undefined
}

/** Lengths are lexical units. */
export interface LoopSettings {
  /** Longest cycle that is looked for; default 256, twice what the design asks, at no cost in ordinary text. */
  readonly maxPeriod: number
  /** Copies that make an exact loop; default 3. On 2,929 real answers this and `minUnits` gave no false alarm. */
  readonly minCopies: number
  /** Units that these copies must cover at least; default 48, from the same measurement. */
  readonly minUnits: number
  /** Units that copies of code must cover; default 64, with the copies of `exact-loop.ts`. */
  readonly minCodeUnits: number
  /** Units that copies with next to no words must cover; default 480: rulers, zeros and base64 padding reach 320. */
  readonly minDataUnits: number
  /** Near copies that a noisy loop of lines needs at least, and twice as many where several words change; default 20: counting songs have 10 verses, lists of a model 20 items. */
  readonly minNearVerses: number
  /** Share of units that near copies have in common, 0 to 1; default 0.8. */
  readonly likeness: number
}

export interface CompressionSettings {
  /** Characters of the tail that are compressed; default 1,024. The whole text would grow with the answer, and rises above 2.4 in one of six real answers. */
  readonly tailChars: number
  /** zlib ratio above which the tail is no text; default 6: real text peaked at 3.97. */
  readonly ratio: number
}

export interface StallSettings {
  /** Shortest limit to the first content, in ms; default: the turn's, `turn.firstTokenMs`. */
  readonly firstTokenMs?: number | undefined
  /** The limit is this many times the predicted reading time of the prompt, where that is longer; default 4. */
  readonly firstTokenFactor: number
  /** Reading speed of a model that nothing is known of, in tokens/s; default 20: a large model on a slow processor. */
  readonly coldPrefillPerSecond: number
  /** Longest silence between pieces of content, in ms; default: the turn's, `turn.gapMs`. */
  readonly gapMs?: number | undefined
}

export interface SlowSettings {
  /** Share of the speed that this model has shown on this machine, below which it struggles; default 0.2. */
  readonly share: number
  /** Window over which speed is measured, in ms; default 20,000. */
  readonly windowMs: number
  /** Time after the first content in which nothing is judged, in ms; default 10,000. */
  readonly graceMs: number
  /** An absolute floor, in tokens/s; none by default, because slow hardware is legitimate. */
  readonly floorPerSecond: number | undefined
}

export interface GarbledSettings {
  /** Characters that are looked at together; default 64. */
  readonly window: number
  /** Invalid, replacement or control characters among them; default 8: text about encodings has a few. */
  readonly maxInvalid: number
  /** Scripts among the letters of a window, from which a jumble is suspected; default 4. */
  readonly minScripts: number
  /** Changes of script inside words that confirm it; default 6: a list of languages changes between words. */
  readonly minChanges: number
}

export interface ConfidenceSettings {
  /** Mean natural log-probability at or below which the model guesses; default −1. */
  readonly mean: number
  /** Tokens over which it is taken; default 64. */
  readonly window: number
}

/** {@link StruggleOptions} with the defaults filled in. */
export interface StruggleSettings {
  readonly loop: LoopSettings | false
  readonly compression: CompressionSettings | false
  readonly stall: StallSettings | false
  readonly slow: SlowSettings | false
  readonly ending: boolean
  readonly garbled: GarbledSettings | false
  readonly confidence: ConfidenceSettings | false
}

const count = z.number().int().positive()
const ms = z.number().int().positive()
const share = z.number().min(0).max(1)
const loop = z.strictObject({
  maxPeriod: count.max(1024).default(256),
  minCopies: z.number().min(2).default(3),
  minUnits: count.default(48),
  minCodeUnits: count.default(64),
  minDataUnits: count.default(480),
  minNearVerses: count.min(2).default(20),
  likeness: share.default(0.8),
})
const compression = z.strictObject({
  tailChars: count.min(256).max(65_536).default(1024),
  ratio: z.number().min(2).default(6),
})
const stall = z.strictObject({
  firstTokenMs: ms.optional(),
  firstTokenFactor: z.number().min(1).default(4),
  coldPrefillPerSecond: z.number().positive().default(20),
  gapMs: ms.optional(),
})
const slow = z.strictObject({
  share: share.default(0.2),
  windowMs: ms.default(20_000),
  graceMs: z.number().int().nonnegative().default(10_000),
  floorPerSecond: z.number().positive().optional(),
})
const garbled = z.strictObject({
  window: count.min(16).max(1024).default(64),
  maxInvalid: count.default(8),
  minScripts: count.min(2).default(4),
  minChanges: count.default(6),
})
const confidence = z.strictObject({ mean: z.number().negative().default(-1), window: count.default(64) })

/** Validates {@link StruggleOptions}. */
export const struggleSchema: z.ZodType<StruggleSettings, StruggleOptions> = z.strictObject({
  loop: z.union([z.literal(false), loop]).default(loop.parse({})),
  compression: z.union([z.literal(false), compression]).default(compression.parse({})),
  stall: z.union([z.literal(false), stall]).default(stall.parse({})),
  slow: z.union([z.literal(false), slow]).default(slow.parse({}) as SlowSettings),
  ending: z.boolean().default(true),
  garbled: z.union([z.literal(false), garbled]).default(garbled.parse({})),
  confidence: z.union([z.literal(false), confidence]).default(false),
}) as z.ZodType<StruggleSettings, StruggleOptions>
