/**
 * LM Studio's list of models in Mai's words. Everything in it comes from outside and may be missing.
 *
 * @module
 */
import type { LLMInfo, LLMInstanceInfo } from '@lmstudio/sdk'
import type { LoadedInstance, ModelInfo } from '../../chat/model.ts'

/**
 * Downloaded models with what is loaded of them.
 * @param files the real paths of files, by what LM Studio calls them
 */
export function toModels(
  downloaded: readonly LLMInfo[],
  loaded: readonly LLMInstanceInfo[],
  remote: boolean,
  files: ReadonlyMap<string, string>,
): ModelInfo[] {
  return downloaded.map((info) => {
    const key = `lmstudio/${info.modelKey}`
    return {
      key,
      backend: 'lmstudio',
      id: info.modelKey,
      name: info.displayName || info.modelKey,
      remote,
      sizeBytes: info.sizeBytes > 0 ? info.sizeBytes : undefined,
      parameters: parseParameters(info.paramsString),
      quantisation: info.quantization ? { name: info.quantization.name, bits: info.quantization.bits } : undefined,
      architecture: info.architecture,
      maxContextLength: info.maxContextLength,
      abilities: { vision: info.vision, tools: info.trainedForToolUse, reasoning: false },
      path: files.get(info.path),
      instances: loaded.filter((instance) => instance.modelKey === info.modelKey).map((instance) => toInstance(instance, key)),
    }
  })
}

function toInstance({ identifier, contextLength }: LLMInstanceInfo, model: string): LoadedInstance {
  return { instanceId: identifier, model, contextLength }
}

const UNITS: Readonly<Record<string, number>> = { K: 1e3, M: 1e6, B: 1e9, T: 1e12 }

/** `7B`, `135M`, `8x7B` → a number of parameters. */
export function parseParameters(text: string | undefined): number | undefined {
  const match = /^(?:(\d+)x)?(\d+(?:\.\d+)?)\s*([KMBT])/i.exec(text ?? '')
  if (!match) return undefined
  const [, experts = '1', amount = '0', unit = 'B'] = match
  return Number(experts) * Number(amount) * (UNITS[unit.toUpperCase()] ?? 1)
}
