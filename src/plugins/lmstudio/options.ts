/**
 * What the plugin can be told.
 *
 * @module
 */
import { z } from 'zod'

/** Options of `lmstudio()`. */
export interface LmStudioOptions {
  /** Where LM Studio listens, such as `ws://127.0.0.1:1234`. Without it the port is found on this machine. */
  readonly baseUrl?: string | undefined
  /** Start LM Studio with `lms` when it is installed and down. Default true. */
  readonly autoStart?: boolean | undefined
  /** Let a LM Studio on another machine be chosen by itself. Default false. */
  readonly allowRemote?: boolean | undefined
  readonly clientIdentifier?: string | undefined
  readonly clientPasskey?: string | undefined
  /** Limit for a probe, in ms. */
  readonly probeMs?: number | undefined
  /** Limit for one call that is neither a load nor an answer, in ms. */
  readonly callMs?: number | undefined
}

/** The same with defaults. */
export interface LmStudioSettings extends LmStudioOptions {
  readonly autoStart: boolean
  readonly allowRemote: boolean
  readonly probeMs: number
  readonly callMs: number
}

export const lmStudioSchema: z.ZodType<LmStudioSettings, LmStudioOptions> = z.strictObject({
  baseUrl: z
    .string()
    .regex(/^(wss?|https?):\/\/[^\s/]+\/*$/, 'give an address such as ws://127.0.0.1:1234')
    .transform((url) => url.replace(/^http/, 'ws').replace(/\/+$/, ''))
    .optional(),
  autoStart: z.boolean().default(true),
  allowRemote: z.boolean().default(false),
  clientIdentifier: z.string().optional(),
  clientPasskey: z.string().optional(),
  probeMs: z.number().int().positive().default(1500),
  callMs: z.number().int().positive().default(10_000),
})
