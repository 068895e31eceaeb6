/**
 * What a model's name and architecture say of it: family, specialities, number of parameters.
 *
 * @module
 */
import type { ModelKey } from '../../chat/model.ts'
import type { Candidate } from '../../chat/policy.ts'

/** What a model was made for. */
export type Speciality = 'code' | 'mathematics' | 'vision' | 'reasoning' | 'translation' | 'instruct' | 'base' | 'no-chat'

/** What is read from names. */
export interface Traits {
  /** Such as `qwen2.5`; undefined when none is known. */
  readonly family: string | undefined
  /** How far its generation is ahead of, or behind, a plain model of its size, in doublings of parameters. */
  readonly ahead: number
  /** Whether it was trained on English alone. */
  readonly englishOnly: boolean
  /** How well it writes what is not written in Latin letters, in doublings of parameters. */
  readonly multilingual: number
  readonly specialities: ReadonlySet<Speciality>
  /** Parameters that the name states, in billions. */
  readonly billions: number | undefined
  /** Of these, active for each token, where experts are mixed. */
  readonly activeBillions: number | undefined
}

interface Family extends Pick<Traits, 'ahead' | 'englishOnly' | 'multilingual'> {
  readonly name: string
  readonly pattern: RegExp
}

const family = (name: string, pattern: RegExp, ahead: number, multilingual = 0, englishOnly = false): Family => ({
  name,
  pattern,
  ahead,
  multilingual,
  englishOnly,
})

/**
 * The first that matches. The offsets are rounded from public leader boards: models of a generation score like plain ones
 * of so many times the size. Languages are those of the models' cards.
 */
const FAMILIES: readonly Family[] = [
  family('qwen3', /qwen-?3/, 0.8, 0.6),
  family('qwen2.5', /qwen-?2\.5|qwen25/, 0.5, 0.5),
  family('qwen', /qwen/, 0.2, 0.4),
  family('gemma3', /gemma-?3/, 0.7, 0.6),
  family('gemma2', /gemma-?2/, 0.4, 0.3),
  family('gemma', /gemma/, 0),
  family('llama3', /llama-?3/, 0.4, 0.1),
  family('gpt-oss', /gpt-oss/, 0.8, 0.2),
  family('deepseek', /deepseek/, 0.4, 0.2),
  family('phi4', /phi-?4/, 0.6),
  family('phi3', /phi-?3/, 0.3),
  family('phi', /phi-?[12]/, -0.2, 0, true),
  family('mistral', /mistral|mixtral|ministral|magistral|devstral|codestral/, 0.3, 0.1),
  family('granite', /granite/, 0.3, 0.1),
  family('aya', /\baya\b|command-r/, 0.2, 0.8),
  family('smollm', /smollm/, 0, -0.5, true),
  family('tinyllama', /tinyllama/, -0.5, -0.5, true),
  family('llama2', /llama-?2|vicuna/, -0.5, -0.3),
  family('starcoder', /starcoder|codellama/, -0.2, -0.5, true),
  family('falcon', /falcon|mpt-|pythia|gpt2|gpt-j|gpt-neo/, -0.8, -0.5, true),
]

const SPECIALITIES: readonly (readonly [Speciality, RegExp])[] = [
  ['code', /coder?\b|code(llama|stral|gemma|qwen)|starcoder|devstral|-code-/],
  ['mathematics', /math|numina|\bmetamath|wizardmath/],
  ['vision', /[-_]vl\b|vlm\b|\bvl[-_]|vision|llava|pixtral|minicpm-v|moondream|internvl/],
  ['reasoning', /[-_]r1\b|deepseek-r1|qwq|thinking|reason|magistral|-o1\b|gpt-oss/],
  ['translation', /\baya\b|translat|nllb|madlad|towerinstruct|seamless/],
  ['instruct', /instruct|\bchat\b|-it\b|-it-|assistant|hermes|\brlhf|\bdpo\b/],
  ['base', /[-_]base\b|pretrain/],
  ['no-chat', /embed|rerank|\bbge-|whisper|\btts\b|clip-vit|mmproj/],
]

/** Names seen; forgotten together when there are too many. What is remembered follows from the name alone. */
const known: Map<ModelKey, { readonly architecture: string; readonly traits: Traits }> = new Map()
const KNOWN_LIMIT = 2000

/** Traits of a model. Pure: the same name and architecture, the same traits. */
export function traitsOf({ model, architecture = '' }: Pick<Candidate, 'model' | 'architecture'>): Traits {
  const seen = known.get(model)
  if (seen?.architecture === architecture) return seen.traits
  if (known.size >= KNOWN_LIMIT) known.clear()
  const traits = read(model, architecture)
  known.set(model, { architecture, traits })
  return traits
}

function read(model: string, architecture: string): Traits {
  // The backend's name comes first and says nothing.
  const name = model.slice(model.indexOf('/') + 1).toLowerCase()
  const found =
    FAMILIES.find(({ pattern }) => pattern.test(name)) ?? FAMILIES.find(({ pattern }) => pattern.test(architecture.toLowerCase()))
  const experts = /(\d+)x(\d+(?:\.\d+)?)b\b/.exec(name)
  const active = /[-_]a(\d+(?:\.\d+)?)b\b/.exec(name)
  const stated = /(?:^|[^a-z\d.])(\d+(?:\.\d+)?)(b|m)\b/.exec(name)
  const millions = stated?.[2] === 'm' ? 1000 : 1
  const each = Number(experts?.[2] ?? 0)
  return {
    family: found?.name,
    ahead: found?.ahead ?? 0,
    englishOnly: found?.englishOnly ?? false,
    multilingual: found?.multilingual ?? 0,
    specialities: new Set(SPECIALITIES.flatMap(([speciality, pattern]) => (pattern.test(name) ? [speciality] : []))),
    // Experts share a good fifth of each one's weights; two of them work for each token.
    billions: experts ? Number(experts[1]) * each * 0.83 : stated ? Number(stated[1]) / millions : undefined,
    activeBillions: active ? Number(active[1]) : experts ? each * 1.85 : undefined,
  }
}

/** Share of the weights that works for each token. */
export function activeShare(candidate: Candidate): number {
  const { billions, activeBillions } = traitsOf(candidate)
  const all = candidate.parameters === undefined ? billions : candidate.parameters / 1e9
  return activeBillions === undefined || all === undefined || all <= 0 ? 1 : Math.min(1, activeBillions / all)
}
