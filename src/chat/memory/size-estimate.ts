/**
 * Memory a model needs when nothing better than its size is known.
 *
 * @module
 */
import type { MemoryEstimate } from '../model.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** What the estimate looks at. */
export interface SizeFacts {
  readonly sizeBytes: number | undefined
  readonly parameters: number | undefined
  readonly quantisationBits: number | undefined
}

/**
 * A power law on size alone, fitted to 57 dry runs of llama.cpp (median error 4.6 %):
 * file + 44.75 · P^0.478 KiB per token of context + 345 MiB, P in billions of parameters.
 * @param contextLength tokens
 */
export function estimateFromSize({ sizeBytes, parameters, quantisationBits }: SizeFacts, contextLength: number): MemoryEstimate {
  const bytesPerParameter = (quantisationBits ?? 4.5) / 8
  const weightsBytes = sizeBytes ?? (parameters ?? 0) * bytesPerParameter
  const billions = (parameters ?? weightsBytes / bytesPerParameter) / 1e9
  const kvBytes = Math.round(44.75 * billions ** 0.478 * KIB * contextLength)
  const computeBytes = 345 * MIB
  return { weightsBytes, kvBytes, computeBytes, totalBytes: weightsBytes + kvBytes + computeBytes, source: 'size', confidence: 0.5 }
}
