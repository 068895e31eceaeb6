/**
 * The default detectors: each watches an answer for one way of going wrong.
 *
 * @module
 */

import type { Watcher } from '../../chat/watcher.ts'
import { definePlugin, type PluginFactory } from '../../core/plugin.ts'
import { compressionWatcher } from './compression.ts'
import { confidenceWatcher } from './confidence.ts'
import { endingWatcher } from './ending.ts'
import { garbledWatcher } from './garbled.ts'
import type { StruggleSettings } from './options.ts'
import { struggleSchema } from './options.ts'
import { repetitionWatcher } from './repetition.ts'
import { slowWatcher } from './slow.ts'
import { stallWatcher } from './stall.ts'

export type { StruggleOptions } from './options.ts'

/**
 * Contributes detectors to the slot `watcher`.
 *
 * @example
 * plugins: [struggle({ stall: { gapMs: 60_000 }, compression: false })]
 */
export const struggle: PluginFactory<typeof struggleSchema> = definePlugin({
  name: 'struggle',
  apiVersion: 1,
  provides: ['watcher'],
  options: struggleSchema,
  setup(ctx, settings) {
    for (const watcher of watchersFor(settings)) ctx.contribute('watcher', watcher)
  },
})

/** The detectors themselves, for measurements and tests. */
export function struggleWatchers(options: Parameters<typeof struggle>[0] = {}): Watcher[] {
  return watchersFor(struggleSchema.parse(options))
}

function watchersFor({ loop, compression, garbled, stall, slow, ending, confidence }: StruggleSettings): Watcher[] {
  return [
    loop && repetitionWatcher(loop),
    compression && compressionWatcher(compression),
    garbled && garbledWatcher(garbled),
    stall && stallWatcher(stall),
    slow && slowWatcher(slow),
    ending && endingWatcher(),
    confidence && confidenceWatcher(confidence),
  ].filter((watcher) => watcher !== false)
}
