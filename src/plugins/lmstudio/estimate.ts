/**
 * LM Studio's own estimate of memory, which SDK 2.x can ask for and 1.5 cannot.
 *
 * @module
 */
import type { LLMLoadModelConfig } from '@lmstudio/sdk'
import type { MemoryEstimate } from '../../chat/model.ts'

/** The ability, as 2.x has it. Its answer is not trusted: estimates were seen missing and NaN. */
interface Estimating {
  estimateResourcesUsage(modelKey: string, config: LLMLoadModelConfig): Promise<unknown>
}

/** Whether this SDK can estimate. */
export function canEstimate(namespace: object): namespace is Estimating {
  return 'estimateResourcesUsage' in namespace && typeof namespace.estimateResourcesUsage === 'function'
}

/** The answer in Mai's words; undefined unless LM Studio is sure of it and it makes sense. */
export function toMemoryEstimate(answer: unknown): MemoryEstimate | undefined {
  const memory = field(answer, 'memory')
  const totalBytes = bytes(memory, 'totalBytes')
  if (field(memory, 'confidence') !== 'high' || totalBytes === undefined || totalBytes === 0) return undefined
  const weightsBytes = Math.min(bytes(memory, 'modelBytes') ?? 0, totalBytes)
  const kvBytes = Math.min(bytes(memory, 'contextBytes') ?? 0, totalBytes - weightsBytes)
  return { weightsBytes, kvBytes, computeBytes: totalBytes - weightsBytes - kvBytes, totalBytes, source: 'backend', confidence: 0.9 }
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

function bytes(memory: unknown, name: string): number | undefined {
  const value = field(memory, name)
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? Math.round(value) : undefined
}
