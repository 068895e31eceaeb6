/**
 * The order of boot, as a pure function of what plugins need and provide.
 *
 * @module
 */
import { kernelErrors } from './errors.ts'
import { isPlugin, PLUGIN_API_VERSION, type Plugin } from './plugin.ts'

/**
 * Checks the plugins of a configuration against each other and orders them: providers before those who need them,
 * otherwise as configured.
 * @param isList whether a slot takes many contributors
 * @throws MaiError `MAI_PLUGIN_INVALID`, `MAI_PLUGIN_DUPLICATE`, `MAI_PLUGIN_API_VERSION`, `MAI_SLOT_TAKEN`, `MAI_SLOT_MISSING`, `MAI_PLUGIN_CYCLE`
 */
export function bootOrder(plugins: readonly unknown[], isList: (slot: string) => boolean): Plugin[] {
  const checked = plugins.map((plugin, position) => {
    if (!isPlugin(plugin)) throw kernelErrors.notAPlugin(position)
    return plugin
  })
  const names = new Set<string>()
  const providers = new Map<string, Plugin[]>()
  for (const plugin of checked) {
    const { name, apiVersion, provides = [] } = plugin.definition
    if (names.has(name)) throw kernelErrors.pluginDuplicate(name)
    names.add(name)
    if (apiVersion !== PLUGIN_API_VERSION) throw kernelErrors.apiVersion(name, apiVersion, PLUGIN_API_VERSION)
    for (const slot of provides) {
      const holder = providers.get(slot)?.[0]
      if (holder && !isList(slot)) throw kernelErrors.slotTaken(slot, holder.definition.name, name)
      providers.set(slot, [...(providers.get(slot) ?? []), plugin])
    }
  }
  return topological(checked, (plugin) => dependencies(plugin, providers, isList))
}

function dependencies(plugin: Plugin, providers: ReadonlyMap<string, Plugin[]>, isList: (slot: string) => boolean): Plugin[] {
  // Widened: before any declaration merging the union of slot names is empty.
  const needs: readonly string[] = plugin.definition.needs ?? []
  return needs.flatMap((need) => {
    const optional = need.endsWith('?')
    const slot = optional ? need.slice(0, -1) : need
    const found = providers.get(slot) ?? []
    if (found.length === 0 && !optional && !isList(slot)) throw kernelErrors.slotMissing(slot, plugin.definition.name)
    return found.filter((provider) => provider !== plugin)
  })
}

/** Depth first in the order of the configuration, so that ties keep it. */
function topological(plugins: readonly Plugin[], needsOf: (plugin: Plugin) => Plugin[]): Plugin[] {
  const ordered = new Set<Plugin>()
  const path: Plugin[] = []
  const visit = (plugin: Plugin): void => {
    if (ordered.has(plugin)) return
    const start = path.indexOf(plugin)
    if (start >= 0) throw kernelErrors.pluginCycle([...path.slice(start), plugin].map((p) => p.definition.name))
    path.push(plugin)
    for (const needed of needsOf(plugin)) visit(needed)
    path.pop()
    ordered.add(plugin)
  }
  for (const plugin of plugins) visit(plugin)
  return [...ordered]
}
