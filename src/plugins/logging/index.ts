/**
 * The default `logging` plugin: one line of JSON for each event worth one, in a rotating file.
 *
 * @module
 */
import path from 'node:path'
import { z } from 'zod'
import { maiHome } from '../../chat/home.ts'
import type { EventType, MaiEvents } from '../../core/events.ts'
import { definePlugin, type PluginFactory } from '../../core/plugin.ts'
import { descriptions } from './describe.ts'
import { cleaned, cleanedText, type Describe, type LogLevel } from './entry.ts'
import { Journal } from './journal.ts'

export { isSecretKey, REDACTED, redactText } from './neutral.ts'

/** What to log, and where. Every field has a default. */
export interface LoggingOptions {
  /** The least grave level that is logged; default `info`. */
  readonly level?: LogLevel | 'silent' | undefined
  /** The file; default `mai.log` in the log folder of {@link maiHome}. False: none. */
  readonly file?: string | false | undefined
  /** Rotated at this size, in bytes; default 5 MiB. */
  readonly maxBytes?: number | undefined
  /** Rotated files kept; default 5. */
  readonly keep?: number | undefined
  /** Also writes lines for people to standard error; default false. */
  readonly verbose?: boolean | undefined
  /** Logs what is said, not only its length; default false. */
  readonly messageText?: boolean | undefined
}

/** {@link LoggingOptions} with the defaults filled in. `file` is undefined for the default place. */
export type LoggingSettings = { readonly [K in Exclude<keyof LoggingOptions, 'file'>]-?: Exclude<LoggingOptions[K], undefined> } & Pick<
  LoggingOptions,
  'file'
>

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const satisfies readonly LogLevel[]

/** Validates {@link LoggingOptions}. */
export const loggingSchema: z.ZodType<LoggingSettings, LoggingOptions> = z.strictObject({
  level: z.enum([...LEVELS, 'silent']).default('info'),
  file: z.union([z.string().min(1), z.literal(false)]).optional(),
  maxBytes: z
    .number()
    .int()
    .min(1024)
    .default(5 * 2 ** 20),
  keep: z.number().int().min(1).max(100).default(5),
  verbose: z.boolean().default(false),
  messageText: z.boolean().default(false),
})

/** After a failure the file is tried again so much later, in ms. */
const RETRY_MS = 60_000
/** Loading pino takes 50–100 ms of CPU; a first answer comes first. */
const OPEN_AFTER_MS = 250

/**
 * Logs facts as they happen. Listens only; put it first in the configuration, so that it closes last.
 *
 * @example
 * plugins: [logging({ level: 'debug', file: './mai.log' })]
 */
export const logging: PluginFactory<typeof loggingSchema> = definePlugin({
  name: 'logging',
  apiVersion: 1,
  options: loggingSchema,
  setup(ctx, { level, file, maxBytes, keep, verbose, messageText }) {
    if (level === 'silent' || (file === false && !verbose)) return
    const journal = new Journal({
      level,
      file: file === false ? undefined : path.resolve(file ?? path.join(maiHome().log, 'mai.log')),
      people: verbose ? process.stderr : undefined,
      maxBytes,
      keep,
      retryMs: RETRY_MS,
      openAfterMs: OPEN_AFTER_MS,
      warn: (text) => process.stderr.write(`mai: ${text}\n`),
    })
    ctx.onDispose(() => journal.close(), 'log')
    ctx.task('open', async () => journal.start())

    const grave = LEVELS.indexOf(level)
    const log = <T extends EventType>(type: T, describe: Describe<T>): void => {
      ctx.on(type, (payload: MaiEvents[T], meta) => {
        const line = describe(payload)
        if (line === undefined || LEVELS.indexOf(line.level) < grave) return
        // cleaned() keeps the shape of what it is given: an object stays one.
        const fields = cleaned(line.fields ?? {}) as Readonly<Record<string, unknown>>
        const data = { time: Date.now(), event: type, seq: meta.seq, cause: meta.cause || undefined, ...fields }
        journal.add({ level: line.level, msg: cleanedText(line.msg), data })
      })
    }
    for (const [type, describe] of Object.entries(descriptions(messageText))) {
      // Samples come all the time; where their lines would be thrown away, nobody needs to listen.
      if (type === 'resources.sampled' && grave > LEVELS.indexOf('debug')) continue
      // Object.entries forgets that row and event belong together; the type of the table guarantees it.
      log(type as EventType, describe as Describe<EventType>)
    }
  },
})
