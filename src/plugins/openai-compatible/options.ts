/**
 * What the plugin can be told.
 *
 * @module
 */
import { z } from 'zod'
import { mayCarryKey, parseBaseUrl } from './address.ts'

/** The name of the backend without another. */
export const DEFAULT_NAME = 'openai-compatible'

/** Which server it is, where that matters: what a field is called, and how a partial answer is continued. */
export type Dialect = 'openai' | 'vllm' | 'llama.cpp' | 'ollama'

/** A model of an endpoint, where its list says too little. */
export interface EndpointModelOptions {
  readonly id: string
  /** Window in tokens. */
  readonly contextLength?: number | undefined
  /** Number of parameters. */
  readonly parameters?: number | undefined
  readonly vision?: boolean | undefined
  /** Default true. */
  readonly tools?: boolean | undefined
  readonly reasoning?: boolean | undefined
}

/** One server. */
export interface EndpointOptions {
  /** With `/v1` where the server has it, such as `http://127.0.0.1:8000/v1`. */
  readonly baseUrl: string
  /** The environment variable that holds the key. The key itself never stands in a configuration. */
  readonly apiKeyEnv?: string | undefined
  /** Share of the requests for a model that several endpoints serve. Default 1. */
  readonly weight?: number | undefined
  /** Let this endpoint be chosen by itself although it is another machine. Default false. */
  readonly allowRemote?: boolean | undefined
  /** Only these models, also where the server does not list them. Default: what it lists. */
  readonly models?: readonly (string | EndpointModelOptions)[] | undefined
  /** Default: as its list of models tells. */
  readonly dialect?: Dialect | undefined
  /** Whether the server goes on from an assistant message that stands last. Default `'probe'`: asked once, when it is first needed. */
  readonly prefill?: boolean | 'probe' | undefined
}

/** Options of `openaiCompatible()`. Limits are in ms. */
export interface OpenAiCompatibleOptions {
  /** Name of the backend and the plugin; two instances need two names. Default `openai-compatible`. */
  readonly name?: string | undefined
  readonly endpoints: readonly EndpointOptions[]
  /** Window of a model about which nothing is known, in tokens. Default 8,192; 4,096 for Ollama, which cuts longer prompts silently. */
  readonly contextLength?: number | undefined
  /** Limit for connecting; default 5,000. */
  readonly connectMs?: number | undefined
  /** Limit for a list of models; default 3,000. */
  readonly listMs?: number | undefined
  /** Limit for an answer in which nothing happens; default 600,000. The turn's own limits are shorter. */
  readonly answerIdleMs?: number | undefined
  /** How long an endpoint that failed is left out where another serves the same model; default 30,000. */
  readonly restMs?: number | undefined
}

/** A model as configured. */
export type ConfiguredModel = EndpointModelOptions

/** An endpoint with defaults. */
export interface EndpointSettings {
  readonly baseUrl: string
  readonly apiKeyEnv: string | undefined
  readonly weight: number
  readonly allowRemote: boolean
  readonly models: readonly ConfiguredModel[] | undefined
  readonly dialect: Dialect | undefined
  readonly prefill: boolean | 'probe'
}

/** The options with defaults. */
export interface OpenAiCompatibleSettings {
  readonly name: string
  readonly endpoints: readonly EndpointSettings[]
  readonly contextLength: number | undefined
  readonly connectMs: number
  readonly listMs: number
  readonly answerIdleMs: number
  readonly restMs: number
}

const limit = (ms: number): z.ZodDefault<z.ZodNumber> => z.number().int().positive().max(3_600_000).default(ms)
const count = z.number().int().positive()

const model = z.strictObject({
  id: z.string().min(1),
  contextLength: count.optional(),
  parameters: z.number().positive().optional(),
  vision: z.boolean().optional(),
  tools: z.boolean().optional(),
  reasoning: z.boolean().optional(),
})

const endpoint = z
  .strictObject({
    baseUrl: z.string().transform((text, ctx) => {
      const address = parseBaseUrl(text)
      if (address !== undefined) return address
      // The text itself is not shown: it may carry a password.
      ctx.addIssue('give an address such as http://127.0.0.1:8000/v1, without user, query or fragment')
      return z.NEVER
    }),
    apiKeyEnv: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'give the name of an environment variable, not the key itself')
      .optional(),
    weight: z.number().positive().max(1_000_000).default(1),
    allowRemote: z.boolean().default(false),
    models: z
      .array(
        z.union([
          z
            .string()
            .min(1)
            .transform((id): ConfiguredModel => ({ id })),
          model,
        ]),
      )
      .min(1)
      .optional(),
    dialect: z.enum(['openai', 'vllm', 'llama.cpp', 'ollama']).optional(),
    prefill: z.union([z.boolean(), z.literal('probe')]).default('probe'),
  })
  .refine(({ apiKeyEnv, baseUrl }) => apiKeyEnv === undefined || mayCarryKey(baseUrl), {
    message: 'a key goes only over https, or to this machine',
    path: ['apiKeyEnv'],
  })
  .transform(({ apiKeyEnv, models, dialect, ...rest }): EndpointSettings => ({ ...rest, apiKeyEnv, models, dialect }))

/** Validates {@link OpenAiCompatibleOptions}. */
export const openAiCompatibleSchema: z.ZodType<OpenAiCompatibleSettings, OpenAiCompatibleOptions> = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9._-]*$/, 'lower case, without a slash')
      .default(DEFAULT_NAME),
    endpoints: z.array(endpoint).min(1, 'give at least one endpoint'),
    contextLength: count.optional(),
    connectMs: limit(5000),
    listMs: limit(3000),
    answerIdleMs: limit(600_000),
    restMs: limit(30_000),
  })
  .transform(({ contextLength, ...rest }) => ({ ...rest, contextLength }))
