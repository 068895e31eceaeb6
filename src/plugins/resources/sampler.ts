/**
 * Turns readings into samples: CPU load since the last one, the level, and ten minutes of history.
 *
 * @module
 */
import type { MemoryTrend, MemoryUser, PressureLevel, ResourceSample, Resources } from '../../chat/resources.ts'
import { type LevelThresholds, nextLevel } from './level.ts'
import type { CpuTimes } from './linux-text.ts'
import { fastest, nextInterval, nextTrend } from './pace.ts'
import type { DirectReader, DirectReading, SlowFacts } from './reading.ts'

/** How far back {@link Resources.history} goes, in ms. */
export const HISTORY_MS: number = 10 * 60 * 1000

/** The history holds no more than one sample in so many ms: a fast pace must not make it longer. */
const HISTORY_STEP_MS = 1000

/** A shorter stretch of CPU time, in jiffies or ms for each core, is too coarse to tell a load from. */
const MIN_CPU_STRETCH = 5

/** Its effects. */
export interface SamplerParts {
  readonly read: DirectReader
  readonly thresholds: LevelThresholds
  /** Age from which `latest()` takes a new sample where nobody says otherwise, in ms. */
  readonly intervalMs: number
  /** Epoch ms. */
  readonly now: () => number
  /** Ms that never jump. */
  readonly monotonic: () => number
  /** Load of the last minute, 0 to 1: stands in until two readings can be compared. */
  readonly firstLoad: () => number
  /** The largest users of memory. */
  readonly memoryUsers: (most: number) => Promise<readonly MemoryUser[]>
  /** Told of every sample. */
  readonly onSample: (sample: ResourceSample) => void
}

/** The slot's implementation. */
export class Sampler implements Resources {
  readonly #parts: SamplerParts
  readonly #history: ResourceSample[] = []
  readonly #maxHistory: number
  #slow: SlowFacts = { gpus: [], battery: undefined }
  #level: PressureLevel = 'normal'
  #cpu: CpuTimes | undefined
  #load = 0
  #trend: MemoryTrend | undefined
  #takenAt = Number.NEGATIVE_INFINITY

  constructor(parts: SamplerParts) {
    this.#parts = parts
    // Between two ticks `latest()` may take one of its own. Counted too, as a clock set back would keep old samples for ever.
    this.#maxHistory = Math.ceil((2 * HISTORY_MS) / Math.max(HISTORY_STEP_MS, fastest(parts.intervalMs)))
  }

  latest(maxAgeMs: number = this.#parts.intervalMs): ResourceSample {
    const newest = this.#history.at(-1)
    const fresh = maxAgeMs > 0 && this.#parts.monotonic() - this.#takenAt <= maxAgeMs
    return newest !== undefined && fresh ? newest : this.take()
  }

  history(): readonly ResourceSample[] {
    return [...this.#history]
  }

  memoryUsers(most: number): Promise<readonly MemoryUser[]> {
    return this.#parts.memoryUsers(most)
  }

  /** How soon to look again, in ms. */
  get nextIntervalMs(): number {
    const { level, memory, cpu, battery } = this.latest()
    const freeShare = memory.totalBytes > 0 ? memory.availableBytes / memory.totalBytes : 1
    const reading = { level, freeShare, trend: this.#trend, load: cpu.load, discharging: battery?.discharging ?? false }
    return nextInterval(reading, this.#parts.intervalMs)
  }

  /** What the slow readings found; shows from the next sample on. */
  setSlowFacts(facts: SlowFacts): void {
    this.#slow = facts
  }

  /** Reads the machine now. */
  take(): ResourceSample {
    const reading = this.#parts.read()
    const before = this.#takenAt
    this.#takenAt = this.#parts.monotonic()
    const memory = corrected(reading.memory, this.#slow.memory)
    this.#follow(memory.availableBytes, this.#takenAt - before)
    this.#level = nextLevel(this.#level, { ...memory, stallPercent: reading.stallPercent }, this.#parts.thresholds)
    const sample: ResourceSample = {
      time: this.#parts.now(),
      memory,
      cpu: { cores: reading.cpu.cores, load: this.#loadSince(reading.cpu) },
      gpus: this.#slow.gpus.map((gpu) => (gpu.unified ? { ...gpu, totalBytes: memory.totalBytes, freeBytes: memory.availableBytes } : gpu)),
      memoryStall: reading.stallPercent,
      battery: this.#slow.battery,
      level: this.#level,
      ...(this.#trend ? { trend: this.#trend } : {}),
      ...(this.#slow.temperature === undefined ? {} : { temperature: this.#slow.temperature }),
    }
    this.#remember(sample)
    this.#parts.onSample(sample)
    return sample
  }

  #follow(availableBytes: number, ms: number): void {
    const newest = this.#history.at(-1)
    if (!newest) return
    this.#trend = nextTrend(this.#trend, { ms, gainedBytes: availableBytes - newest.memory.availableBytes, availableBytes })
  }

  #loadSince(cpu: CpuTimes): number {
    const before = this.#cpu
    if (before === undefined) {
      this.#load = Math.min(1, this.#parts.firstLoad())
      this.#cpu = cpu
    } else if (cpu.total < before.total) {
      // The counters began anew, as after a checkpoint was restored.
      this.#cpu = cpu
    } else if (cpu.total - before.total >= MIN_CPU_STRETCH * cpu.cores) {
      this.#load = Math.min(1, Math.max(0, (cpu.busy - before.busy) / (cpu.total - before.total)))
      this.#cpu = cpu
    }
    return this.#load
  }

  #remember(sample: ResourceSample): void {
    const history = this.#history
    const before = history.at(-2)
    if (before && sample.time - before.time < HISTORY_STEP_MS && sample.time >= before.time) history.pop()
    history.push(sample)
    const oldest = sample.time - HISTORY_MS
    let stale = Math.max(0, history.length - this.#maxHistory)
    while ((history[stale]?.time ?? oldest) < oldest) stale++
    if (stale > 0) history.splice(0, stale)
  }
}

/** Where the system told its real headroom a while ago, that figure follows the free count since. */
function corrected(memory: DirectReading['memory'], known: SlowFacts['memory']): DirectReading['memory'] {
  if (!known) return memory
  const since = memory.availableBytes - known.freeBytes
  const availableBytes = Math.min(memory.totalBytes, Math.max(memory.availableBytes, known.availableBytes + since))
  return { ...memory, availableBytes, swapUsedBytes: known.swapUsedBytes }
}
