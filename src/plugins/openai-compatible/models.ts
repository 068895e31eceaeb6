/**
 * What servers list, as models: each says its window under another name. Pure.
 *
 * @module
 */
import { isRecord } from './errors.ts'
import type { ConfiguredModel, Dialect } from './options.ts'

/** A model as one endpoint offers it. */
export interface OfferedModel {
  readonly id: string
  /** Window in tokens; undefined where nobody says. */
  readonly contextLength: number | undefined
  readonly parameters: number | undefined
  readonly sizeBytes: number | undefined
  readonly vision: boolean
  readonly tools: boolean
  readonly reasoning: boolean
}

/** Names under which servers give the window that a model runs with, then that it was trained for. */
const WINDOWS: readonly string[] = [
  'max_model_len',
  'n_ctx',
  'context_length',
  'context_window',
  'max_context_length',
  'loaded_context_length',
  'n_ctx_train',
]
/** Models that do not converse. */
const NOT_FOR_CHAT = /embed|rerank|whisper|(^|[-_/])(tts|bge|e5|gte|clip|dall-e|moderation)([-_./]|$)/i
const SEES = /(^|[-_/.:0-9])(vl|vision|llava|pixtral|omni)([-_/.:]|\d|$)/i

/** The models of a list. Anything else in it is left out. */
export function offered(list: unknown): OfferedModel[] {
  const data = isRecord(list) && Array.isArray(list.data) ? list.data : Array.isArray(list) ? list : []
  return data.flatMap((entry) => {
    if (!isRecord(entry) || typeof entry.id !== 'string' || entry.id === '') return []
    if (NOT_FOR_CHAT.test(entry.id) || entry.type === 'embeddings') return []
    const meta = isRecord(entry.meta) ? entry.meta : {}
    const architecture = isRecord(entry.architecture) ? entry.architecture : {}
    const vision = listed(architecture.input_modalities, 'image') || listed(entry.capabilities, 'multimodal') || entry.type === 'vlm'
    return [
      {
        id: entry.id,
        contextLength: windowOf(entry) ?? windowOf(meta),
        parameters: positive(meta.n_params) ?? parametersIn(entry.id),
        sizeBytes: positive(meta.size),
        vision: vision || SEES.test(entry.id),
        tools: true,
        reasoning: false,
      },
    ]
  })
}

/** What is configured, over what is listed. Only what is configured, where anything is. */
export function withConfigured(listed: readonly OfferedModel[], configured: readonly ConfiguredModel[] | undefined): OfferedModel[] {
  if (configured === undefined) return [...listed]
  return configured.map((own) => {
    const seen = listed.find(({ id }) => id === own.id)
    return {
      id: own.id,
      contextLength: own.contextLength ?? seen?.contextLength,
      parameters: own.parameters ?? seen?.parameters ?? parametersIn(own.id),
      sizeBytes: seen?.sizeBytes,
      vision: own.vision ?? seen?.vision ?? SEES.test(own.id),
      tools: own.tools ?? seen?.tools ?? true,
      reasoning: own.reasoning ?? seen?.reasoning ?? false,
    }
  })
}

/** Which server it is, by who it says owns its models. */
export function dialectOf(list: unknown): Dialect {
  const data = isRecord(list) && Array.isArray(list.data) ? list.data : []
  const owners = new Set(data.map((entry: unknown) => (isRecord(entry) ? entry.owned_by : undefined)))
  if (owners.has('vllm')) return 'vllm'
  if (owners.has('llamacpp')) return 'llama.cpp'
  return owners.has('library') ? 'ollama' : 'openai'
}

/** The window that a llama-server really runs with, from its `/props`. */
export function windowInProps(props: unknown): number | undefined {
  const settings = isRecord(props) && isRecord(props.default_generation_settings) ? props.default_generation_settings : {}
  return positive(settings.n_ctx)
}

/** `llama-3.1-8b` has 8e9 parameters, `mixtral-8x7b` 56e9. */
function parametersIn(id: string): number | undefined {
  const [, experts = '1', figure, unit] = /(?:^|[-_/.:])(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?=[-_/.:@]|$)/i.exec(id) ?? []
  if (figure === undefined || unit === undefined) return undefined
  return Math.round(Number(experts) * Number(figure) * (unit.toLowerCase() === 'b' ? 1e9 : 1e6))
}

function windowOf(entry: Record<string, unknown>): number | undefined {
  for (const name of WINDOWS) {
    const tokens = positive(entry[name])
    if (tokens !== undefined) return tokens
  }
  return undefined
}

function positive(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? Math.floor(value) : undefined
}

function listed(value: unknown, wanted: string): boolean {
  return Array.isArray(value) && value.includes(wanted)
}
