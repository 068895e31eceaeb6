/**
 * Models: what a backend offers, and what is loaded.
 *
 * @module
 */

import type { HeaderMemory } from './memory/model-memory.ts'

/** `backend/id`. */
export type ModelKey = string

/** What a model can do beside text. */
export interface ModelAbilities {
  readonly vision: boolean
  readonly tools: boolean
  readonly reasoning: boolean
}

/** A model in memory. */
export interface LoadedInstance {
  /** The backend's own name for this instance. */
  readonly instanceId: string
  readonly model: ModelKey
  /** Window it was really loaded with, in tokens. */
  readonly contextLength: number
  /** Memory that its load took, in bytes, where the engine can tell. */
  readonly memoryBytes?: number
}

/** A model that a backend offers. Names and paths come from outside: untrusted text. */
export interface ModelInfo {
  readonly key: ModelKey
  readonly backend: string
  /** The backend's own key. */
  readonly id: string
  readonly name: string
  /** Whether its endpoint is another machine. */
  readonly remote: boolean
  /** Whether a remote one may be chosen by itself; default: as its backend says. */
  readonly allowRemote?: boolean
  /** Quality prior where the size is unknown, about billions of parameters. */
  readonly quality?: number | undefined
  readonly sizeBytes: number | undefined
  /** Number of parameters. */
  readonly parameters: number | undefined
  readonly quantisation: { readonly name: string; readonly bits: number | undefined } | undefined
  readonly architecture: string | undefined
  /** Largest window it was trained for, in tokens. */
  readonly maxContextLength: number
  readonly abilities: ModelAbilities
  /** Real path of the file, for merging what two backends see. */
  readonly path: string | undefined
  /** What its header says about memory, where that could be read. */
  readonly memory?: HeaderMemory
  readonly instances: readonly LoadedInstance[]
}

/** How to hold a model in memory. Everything is optional: the backend's own default applies. */
export interface LoadSettings {
  /** Window in tokens. */
  readonly contextLength?: number
  readonly gpuLayers?: number | 'max' | 'off'
  readonly kvType?: 'f16' | 'q8_0' | 'q4_0'
  readonly flashAttention?: boolean
  /** Unload after being unused for so long, in ms. */
  readonly keepAliveMs?: number
}

/** How to sample an answer. */
export interface SamplingSettings {
  readonly temperature?: number
  readonly topP?: number
  /** How much less likely recent words are made: 1 not at all, 1.1 is usual. */
  readonly repeatPenalty?: number
  /** Tokens. */
  readonly maxTokens?: number
  readonly stop?: readonly string[]
  readonly seed?: number
}

/** What the configuration says about one model, or about all (`'*'`). */
export interface ModelSettings extends LoadSettings, SamplingSettings {
  /** Overrides the quality prior: higher is more capable, about billions of parameters. */
  readonly quality?: number
}

/** Memory a model needs, in bytes. */
export interface MemoryEstimate {
  readonly weightsBytes: number
  readonly kvBytes: number
  readonly computeBytes: number
  readonly totalBytes: number
  /** Of the total, what lies in graphics memory of its own; only where layers go there. */
  readonly gpuBytes?: number
  readonly source: 'backend' | 'header' | 'table' | 'size' | 'observed'
  /** 0 to 1. */
  readonly confidence: number
}
