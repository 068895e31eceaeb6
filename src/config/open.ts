/**
 * From a configuration to a running Mai: the default set underneath, the configured plugins on top.
 *
 * @module
 */
import { createMai, type Mai } from '../chat/mai.ts'
import type { Plugin } from '../core/plugin.ts'
import { compression } from '../plugins/compression/index.ts'
import { ledger } from '../plugins/ledger/index.ts'
import { llamacpp } from '../plugins/llamacpp/index.ts'
import { lmstudio } from '../plugins/lmstudio/index.ts'
import { logging } from '../plugins/logging/index.ts'
import { resources } from '../plugins/resources/index.ts'
import { store } from '../plugins/store/index.ts'
import { struggle } from '../plugins/struggle/index.ts'
import { switching } from '../plugins/switching/index.ts'
import { blockingTwin } from './blocking.ts'
import { configErrors } from './errors.ts'
import { type ConfigPlace, loadConfig } from './load.ts'
import type { MaiConfig } from './schema.ts'

/** Single slots decide who replaces whom; list slots take everybody. */
const LIST_SLOTS: ReadonlySet<string> = new Set(['backend', 'watcher', 'command', 'route'])

/** How to open. */
export interface OpenOptions extends ConfigPlace {
  /** Log to standard error too, in words. */
  readonly verbose?: boolean | undefined
}

/** Loads the configuration and boots Mai. @throws MaiError */
export async function openMai(options: OpenOptions = {}): Promise<Mai> {
  const { verbose: _, cwd = process.cwd(), ...place } = options
  const { config, file } = await loadConfig(options)
  const plugins = mergedPlugins(config, defaultPlugins(options.verbose ?? false))
  const { models, turn, unloadOnExit } = config
  return createMai({
    plugins,
    blocking: blockingTwin({ ...place, cwd }),
    ...(models ? { models } : {}),
    ...(turn ? { turn } : {}),
    ...(unloadOnExit === undefined ? {} : { unloadOnExit }),
    ...(file === undefined ? {} : { configFile: file }),
  })
}

/** The set that runs without a configuration. */
export function defaultPlugins(verbose: boolean): Plugin[] {
  return [logging({ verbose }), store(), resources(), switching(), struggle(), compression(), ledger(), lmstudio(), llamacpp()]
}

/**
 * A pure function: replaces by name or single slot, takes out what is disabled. What has the name of a default plugin
 * stands in its place: backends are asked in their order. @throws MaiError `MAI_CONFIG_INVALID`
 */
export function mergedPlugins(config: MaiConfig, defaults: readonly Plugin[]): Plugin[] {
  const own = config.plugins ?? []
  if (config.defaults === false) return [...own]
  const names = defaults.map((plugin) => plugin.definition.name)
  for (const name of config.disable ?? []) if (!names.includes(name)) throw configErrors.unknownDisable(name, names)
  const singles = (plugin: Plugin): readonly string[] => (plugin.definition.provides ?? []).filter((slot) => !LIST_SLOTS.has(slot))
  const nameOf = (plugin: Plugin): string => plugin.definition.name
  const named = (name: string): Plugin[] => own.filter((plugin) => nameOf(plugin) === name)
  const slotTaken = (plugin: Plugin): boolean => own.some((other) => singles(other).some((slot) => singles(plugin).includes(slot)))
  const kept = defaults.flatMap((plugin) => {
    const [first] = named(nameOf(plugin))
    if (first) return [first]
    return slotTaken(plugin) || config.disable?.includes(nameOf(plugin)) ? [] : [plugin]
  })
  return [...kept, ...own.filter((plugin) => !kept.includes(plugin))]
}
