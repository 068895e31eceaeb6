/**
 * Loads a switching policy from a file, as configurations are loaded: the policy itself, or a plugin that provides one.
 *
 * @module
 */
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { SwitchingPolicy } from '../chat/policy.ts'
import { createKernel } from '../core/kernel.ts'
import { isPlugin, type Plugin } from '../core/plugin.ts'
import { configErrors } from './errors.ts'
import { importTrusted } from './load.ts'

/** @throws MaiError `MAI_CONFIG_MISSING`, `MAI_CONFIG_*` as for a configuration, `MAI_CONFIG_INVALID` where none is exported */
export async function loadPolicy(file: string, cwd: string = process.cwd()): Promise<SwitchingPolicy> {
  const found = path.resolve(cwd, file)
  if (!existsSync(found)) throw configErrors.policyMissing(found)
  const module = await importTrusted(found, false)
  const exported = typeof module === 'object' && module !== null ? Object.values(module).flatMap(withMembers) : []
  for (const value of exported) if (isPolicy(value)) return value
  for (const value of exported) {
    const plugin = asPlugin(value)
    if (plugin) return policyOf(plugin)
  }
  throw configErrors.noPolicy(found)
}

/** The value, and one level of what it holds: jiti gives a default export that is an object as it is. */
function withMembers(value: unknown): unknown[] {
  return typeof value === 'object' && value !== null ? [value, ...Object.values(value)] : [value]
}

function isPolicy(value: unknown): value is SwitchingPolicy {
  if (typeof value !== 'object' || value === null) return false
  const has = (name: string): boolean => name in value && typeof Reflect.get(value, name) === 'function'
  return typeof Reflect.get(value, 'name') === 'string' && ['initial', 'reduce', 'select', 'onStruggle'].every(has)
}

/** A plugin that provides a policy, or what makes one without options. */
function asPlugin(value: unknown): Plugin | undefined {
  const made = typeof value === 'function' ? tried(value) : value
  return isPlugin(made) && made.definition.provides?.includes('policy') ? made : undefined
}

function tried(make: CallableFunction): unknown {
  try {
    return make()
  } catch {
    // A function of another kind, or one that needs options.
    return undefined
  }
}

async function policyOf(plugin: Plugin): Promise<SwitchingPolicy> {
  const kernel = createKernel({ plugins: [plugin], lists: [], hooks: {} })
  await kernel.start()
  try {
    return kernel.context.use('policy')
  } finally {
    await kernel.close()
  }
}
