/**
 * Options of the `resources` plugin.
 *
 * @module
 */
import { z } from 'zod'

/** How to sample, and when memory counts as short. Every field has a default. */
export interface ResourcesOptions {
  /** Time between samples, in ms; default 2,000. A quarter of it while memory is short or going, four times as long while nothing happens. */
  readonly intervalMs?: number | undefined
  /** Time between readings that take child processes (graphics, battery, macOS headroom), in ms; default 30,000. */
  readonly slowIntervalMs?: number | undefined
  /** Share of memory in use that is pressure, 0 to 1; default 0.8. */
  readonly pressuredAt?: number | undefined
  /** Share of memory in use that is critical, 0 to 1; default 0.9. */
  readonly criticalAt?: number | undefined
  /** Less free than this is critical, in bytes; default 1 GiB, and never more than an eighth of all memory. */
  readonly criticalFreeBytes?: number | undefined
  /** Memory stall (`full avg10`) that is pressure, in percent; default 10. */
  readonly stallPercent?: number | undefined
  /** Where the process file system is; default `/proc`. Another folder is read on every system: for tests. */
  readonly procRoot?: string | undefined
  /** Where cgroups are mounted; default `/sys/fs/cgroup`. */
  readonly cgroupRoot?: string | undefined
  /** Whether to ask for graphics devices; default true. */
  readonly graphics?: boolean | undefined
  /** Whether errors and `mai status` may name the programs that take the most memory; default false. */
  readonly nameProcesses?: boolean | undefined
  /** Where the system's devices are; default `/sys`. */
  readonly sysRoot?: string | undefined
}

/** {@link ResourcesOptions} with the defaults filled in. */
export type ResourcesSettings = { readonly [K in keyof ResourcesOptions]-?: Exclude<ResourcesOptions[K], undefined> }

/** Validates {@link ResourcesOptions}. */
export const resourcesSchema: z.ZodType<ResourcesSettings, ResourcesOptions> = z
  .strictObject({
    intervalMs: z.number().int().min(10).max(600_000).default(2000),
    slowIntervalMs: z.number().int().min(1000).max(86_400_000).default(30_000),
    pressuredAt: z.number().min(0.1).max(1).default(0.8),
    criticalAt: z.number().min(0.1).max(1).default(0.9),
    criticalFreeBytes: z
      .number()
      .int()
      .min(0)
      .default(2 ** 30),
    stallPercent: z.number().positive().max(100).default(10),
    procRoot: z.string().min(1).default('/proc'),
    cgroupRoot: z.string().min(1).default('/sys/fs/cgroup'),
    graphics: z.boolean().default(true),
    nameProcesses: z.boolean().default(false),
    sysRoot: z.string().min(1).default('/sys'),
  })
  .refine(({ pressuredAt, criticalAt }) => pressuredAt <= criticalAt, { message: 'must not be above criticalAt', path: ['pressuredAt'] })
