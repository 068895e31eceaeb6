/**
 * Where Mai keeps its files: the platform's own folders, or all below `MAI_HOME`.
 *
 * @module
 */
import path from 'node:path'
import envPaths from 'env-paths'

/** Absolute folders. Whoever uses one creates it, with mode 0700. */
export interface MaiHome {
  /** The store. */
  readonly data: string
  readonly log: string
  readonly config: string
  /** May be deleted at any time. */
  readonly cache: string
}

/**
 * The folders of this user. `MAI_HOME` overrides the platform's: data and configuration lie in it, `log` and `cache` below it.
 *
 * @example
 * const file = path.join(maiHome().data, 'mai.db')
 */
export function maiHome(env: Readonly<Record<string, string | undefined>> = process.env): MaiHome {
  const override = env.MAI_HOME
  if (override) {
    const home = path.resolve(override)
    return { data: home, log: path.join(home, 'log'), config: home, cache: path.join(home, 'cache') }
  }
  const { data, log, config, cache } = envPaths('mai', { suffix: '' })
  return { data, log, config, cache }
}
