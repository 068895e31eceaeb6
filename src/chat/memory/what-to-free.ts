/**
 * What a person could close when no model fits: the largest users of memory by name, where the configuration allows to name them.
 *
 * @module
 */
import { isMaiError, MaiError, toErrorFact } from '../../core/errors.ts'
import type { PluginContext } from '../../core/plugin.ts'
import { within } from '../../core/scope.ts'
import { traitsOf } from '../failure.ts'
import type { MemoryUser } from '../resources.ts'

/** Programs that are named. */
const MOST = 3
/** Looking for them must not hold up the error, in ms. */
const LIMIT_MS = 1000

/** The largest users of memory; none where they may not be named. */
export async function largestUsers(ctx: PluginContext, most: number = MOST): Promise<readonly MemoryUser[]> {
  const asked = ctx.use('resources').memoryUsers?.(most)
  if (!asked) return []
  return within(asked, LIMIT_MS, () => new MaiError('MAI_RESOURCES_SLOW', 'The processes could not be counted in time.')).catch(() => [])
}

/** The same error, with what to close added to its cure when memory is what is missing. */
export async function withWhatToFree(ctx: PluginContext, error: unknown): Promise<unknown> {
  if (!isMaiError(error) || !missesMemory(error)) return error
  const hint = await hintOf(ctx)
  if (hint === undefined) return error
  const { code, problem, cure, cause, details } = error
  return new MaiError(code, problem, {
    cure: [cure, hint].filter((text) => text !== undefined).join(' '),
    cause,
    ...(details ? { details } : {}),
  })
}

/** `editor 3.1 GiB, browser 2.0 GiB`. */
export function usersText(users: readonly MemoryUser[]): string {
  return users.map(({ name, bytes }) => `${name} ${(bytes / 2 ** 30).toFixed(1)} GiB`).join(', ')
}

async function hintOf(ctx: PluginContext): Promise<string | undefined> {
  try {
    const asked = ctx.use('resources').memoryUsers?.(MOST)
    const users = asked
      ? await within(asked, LIMIT_MS, () => new MaiError('MAI_RESOURCES_SLOW', 'The processes could not be counted in time.'))
      : []
    return users.length > 0 ? `Most memory is taken by ${usersText(users)}.` : undefined
  } catch (refused) {
    const { code } = toErrorFact(refused)
    return code === 'MAI_CONSENT_NEEDED'
      ? 'To see which programs take it, set resources({ nameProcesses: true }) in mai.config.ts.'
      : undefined
  }
}

function missesMemory(error: MaiError): boolean {
  if (error.code === 'MAI_ALL_FAILED') return traitsOf(error.cause).memory
  const tried = error.details?.tried
  return error.code === 'MAI_NOTHING_SERVES' && Array.isArray(tried) && tried.some((text) => String(text).includes('memory'))
}
