/**
 * Models, machines and records in few words.
 *
 * @module
 */
import type { Candidate, RecordedEvent, SelectionRequest } from '../../../src/chat/policy.ts'
import type { PressureLevel } from '../../../src/chat/resources.ts'
import type { SwitchingOptions } from '../../../src/plugins/switching/select.ts'

export const GB = 1e9
export const OPTIONS: SwitchingOptions = {
  dwellMs: 30_000,
  upgradeAfterMs: 300_000,
  headroom: 0.2,
  cooldownMs: 30_000,
  waitWeight: 1.2,
  switchWeight: 0.3,
}

export interface Sketch {
  readonly model?: string
  readonly gb?: number
  readonly loaded?: boolean
  readonly window?: number
  readonly remote?: boolean
  readonly allowed?: boolean
  readonly vision?: boolean
  readonly owned?: boolean
  readonly confidence?: number
  readonly kvGb?: number
  readonly parameters?: number
  readonly bits?: number
}

export function candidate({
  model = 'a',
  gb = 1,
  loaded = false,
  window = 8192,
  remote = false,
  allowed = true,
  vision = false,
  owned = true,
  confidence = 1,
  kvGb = 0,
  parameters,
  bits = 4,
}: Sketch = {}): Candidate {
  return {
    model,
    remote,
    allowed,
    sizeBytes: gb * GB,
    parameters: parameters ?? (gb - kvGb) * 1.6e9,
    quantisationBits: bits,
    quality: undefined,
    maxContextLength: 131_072,
    abilities: { vision, tools: false, reasoning: false },
    loadedContextLength: loaded ? window : undefined,
    plannedContextLength: window,
    memory: {
      weightsBytes: (gb - kvGb) * GB,
      kvBytes: kvGb * GB,
      computeBytes: 0,
      totalBytes: gb * GB,
      source: 'size',
      confidence,
    },
    reclaimableBytes: 0,
    ownBytes: loaded && owned ? gb * GB : 0,
  }
}

export function request(
  candidates: readonly Candidate[],
  changes: Partial<SelectionRequest> & { freeGb?: number; level?: PressureLevel } = {},
): SelectionRequest {
  const { freeGb = 16, level = 'normal', ...rest } = changes
  const reclaimableBytes = candidates.reduce((sum, c) => sum + (c.ownBytes ?? 0), 0)
  return {
    time: 1e12,
    purpose: 'turn',
    sessionId: undefined,
    turnId: undefined,
    current: undefined,
    requested: undefined,
    needs: { contextTokens: 1024, vision: false, tools: false },
    resources: {
      time: 1e12,
      memory: { totalBytes: 20 * GB, availableBytes: freeGb * GB, swapUsedBytes: 0 },
      cpu: { cores: 8, load: 0 },
      gpus: [],
      memoryStall: undefined,
      battery: undefined,
      level,
    },
    candidates: candidates.map((c) => ({ ...c, reclaimableBytes })),
    failed: [],
    ...rest,
  }
}

let seq = 0
export function event<T extends RecordedEvent['type']>(
  type: T,
  payload: Extract<RecordedEvent, { type: T }>['payload'],
  time = 1e12,
): RecordedEvent {
  return { seq: ++seq, run: 'run', time, type, payload } as RecordedEvent
}
