/**
 * What the plugin can be told.
 *
 * @module
 */
import { z } from 'zod'
import { parseAddress } from './address.ts'

/** Options of `lmstudio()`. Limits are in ms. */
export interface LmStudioOptions {
  /** Where LM Studio listens, such as `ws://127.0.0.1:1234`. Without it the port is found on this machine. */
  readonly baseUrl?: string | undefined
  /** Start LM Studio with `lms` when it is installed and down. Default true. */
  readonly autoStart?: boolean | undefined
  /** Let a LM Studio on another machine be chosen by itself. Default false. */
  readonly allowRemote?: boolean | undefined
  /** An API token of LM Studio, `sk-lm-…:…`. Or the two below, which are its parts. */
  readonly apiToken?: string | undefined
  readonly clientIdentifier?: string | undefined
  readonly clientPasskey?: string | undefined
  /** Limit for a probe; default 1,500. */
  readonly probeMs?: number | undefined
  /** Limit for starting LM Studio, all attempts together; default 30,000. */
  readonly startMs?: number | undefined
  /** Limit for one call that is neither a load nor an answer; default 10,000. */
  readonly callMs?: number | undefined
  /** Limit for a load that makes no progress; default 300,000. */
  readonly loadIdleMs?: number | undefined
  /** Limit for an answer in which nothing happens, not even progress of the prompt; default 600,000. */
  readonly answerIdleMs?: number | undefined
}

/** The same with defaults. */
export interface LmStudioSettings {
  readonly baseUrl: string | undefined
  readonly autoStart: boolean
  readonly allowRemote: boolean
  readonly clientIdentifier: string | undefined
  readonly clientPasskey: string | undefined
  readonly probeMs: number
  readonly startMs: number
  readonly callMs: number
  readonly loadIdleMs: number
  readonly answerIdleMs: number
}

/** Both SDKs authenticate with the two parts of a token; only 2.x would split it itself. */
const TOKEN = /^sk-lm-([A-Za-z0-9]+):([A-Za-z0-9]+)$/

const limit = (ms: number): z.ZodDefault<z.ZodNumber> => z.number().int().positive().max(3_600_000).default(ms)

/** Validates {@link LmStudioOptions}. */
export const lmStudioSchema: z.ZodType<LmStudioSettings, LmStudioOptions> = z
  .strictObject({
    baseUrl: z
      .string()
      .transform((text, ctx) => {
        const address = parseAddress(text)
        if (address !== undefined) return address
        // The text itself is not shown: it may carry a password.
        ctx.addIssue('give an address such as ws://127.0.0.1:1234, without user, query or fragment')
        return z.NEVER
      })
      .optional(),
    autoStart: z.boolean().default(true),
    allowRemote: z.boolean().default(false),
    apiToken: z.string().regex(TOKEN, 'give it as LM Studio shows it, sk-lm-…:…').optional(),
    clientIdentifier: z.string().min(1).optional(),
    clientPasskey: z.string().min(1).optional(),
    probeMs: limit(1500),
    startMs: limit(30_000),
    callMs: limit(10_000),
    loadIdleMs: limit(300_000),
    answerIdleMs: limit(600_000),
  })
  .refine(({ apiToken, clientIdentifier, clientPasskey }) => apiToken === undefined || (clientIdentifier ?? clientPasskey) === undefined, {
    message: 'give either apiToken or clientIdentifier and clientPasskey',
    path: ['apiToken'],
  })
  .transform(({ apiToken, baseUrl, clientIdentifier, clientPasskey, ...rest }) => {
    const [, identifier = clientIdentifier, passkey = clientPasskey] = TOKEN.exec(apiToken ?? '') ?? []
    return { ...rest, baseUrl, clientIdentifier: identifier, clientPasskey: passkey }
  })
