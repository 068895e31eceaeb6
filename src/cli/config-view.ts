/**
 * The effective configuration: each value, and where it came from. Secrets are not shown.
 *
 * @module
 */
import { maiHome } from '../chat/home.ts'
import { DEFAULT_TURN } from '../chat/settings.ts'
import type { LoadedConfig } from '../config/load.ts'
import { defaultPlugins, mergedPlugins } from '../config/open.ts'
import { isSecretKey, REDACTED, redactText } from '../plugins/logging/index.ts'

/** One effective value. */
export interface ConfigValue {
  /** `turn.gapMs`, `plugins.lmstudio.baseUrl`. */
  readonly name: string
  readonly value: unknown
  /** `default`, a variable of the environment, or the file. */
  readonly source: string
}

/** All of them. @throws MaiError `MAI_CONFIG_INVALID` where plugins and defaults do not go together */
export function configValues({ config, file }: LoadedConfig, env: Readonly<Record<string, string | undefined>>): ConfigValue[] {
  const fromFile = file ?? 'default'
  const home = maiHome(env)
  const homeSource = env.MAI_HOME ? 'MAI_HOME' : 'default'
  const defaults = defaultPlugins(false)
  const own = new Set(config.plugins)
  const plugins = mergedPlugins(config, defaults).flatMap((plugin) => {
    const { name } = plugin.definition
    const source = own.has(plugin) ? fromFile : 'default'
    const given = own.has(plugin) ? leaves(`plugins.${name}`, plugin.input, source) : []
    return [{ name: `plugins.${name}`, value: true, source }, ...given]
  })
  return [
    { name: 'home.data', value: home.data, source: homeSource },
    { name: 'home.log', value: home.log, source: homeSource },
    ...Object.entries(DEFAULT_TURN).map(([name, value]) => {
      const set = Object.entries(config.turn ?? {}).find(([key, given]) => key === name && given !== undefined)
      return { name: `turn.${name}`, value: set ? set[1] : value, source: set ? fromFile : 'default' }
    }),
    { name: 'unloadOnExit', value: config.unloadOnExit ?? false, source: config.unloadOnExit === undefined ? 'default' : fromFile },
    ...leaves('models', config.models ?? {}, fromFile),
    ...plugins,
  ]
}

/** The values inside a value. What is code, or goes in circles, is only named. */
function leaves(name: string, value: unknown, source: string, depth = 0): ConfigValue[] {
  if (value === undefined) return []
  if (isSecretKey(name.slice(name.lastIndexOf('.') + 1))) return [{ name, value: REDACTED, source }]
  if (typeof value === 'string') return [{ name, value: redactText(value), source }]
  if (typeof value === 'function' || typeof value === 'symbol') return [{ name, value: `[${typeof value}]`, source }]
  if (typeof value === 'bigint') return [{ name, value: String(value), source }]
  if (typeof value !== 'object' || value === null) return [{ name, value, source }]
  if (depth > 5) return [{ name, value: '[…]', source }]
  return Object.entries(value).flatMap(([key, inner]) => leaves(`${name}.${key}`, inner, source, depth + 1))
}
