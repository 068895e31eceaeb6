/**
 * The slot `resources`: what the machine has left.
 *
 * @module
 */

/** From fine to bad. */
export type PressureLevel = 'normal' | 'pressured' | 'critical'

/** One graphics device. Bytes; unified memory is counted once, in `memory`. */
export interface GpuSample {
  readonly name: string
  readonly totalBytes: number
  readonly freeBytes: number
  readonly unified: boolean
}

/** Where free memory is going: an exponentially weighted mean. */
export interface MemoryTrend {
  /** Positive: it gets more. */
  readonly bytesPerSecond: number
  /** Until nothing is left, in s; only while it gets less, and within the hour. */
  readonly secondsLeft?: number
}

/** A program, with all its processes. The name comes from outside: untrusted text. */
export interface MemoryUser {
  readonly name: string
  readonly bytes: number
}

/** The machine at one moment. */
export interface ResourceSample {
  /** Epoch ms. */
  readonly time: number
  readonly memory: {
    /** Bytes that this process tree may use: the machine's, or a container's limit. */
    readonly totalBytes: number
    readonly availableBytes: number
    readonly swapUsedBytes: number
  }
  readonly cpu: {
    readonly cores: number
    /** Busy share of all cores since the last sample, 0 to 1. */
    readonly load: number
  }
  readonly gpus: readonly GpuSample[]
  /** Memory pressure stall, `full avg10`, in percent; undefined where the system has none. */
  readonly memoryStall: number | undefined
  readonly battery: { readonly discharging: boolean; readonly percent: number } | undefined
  readonly level: PressureLevel
  /** Missing until two samples can be compared. */
  readonly trend?: MemoryTrend
  /** The hottest sensor of the processor, in degrees Celsius; missing where none tells. */
  readonly temperature?: number
}

/** The latest sample and its history. */
export interface Resources {
  /**
   * Newest sample, or one taken on the spot where there is none that is new enough. Cheap: no child process, no network.
   * @param maxAgeMs how old it may be, in ms; default: as the plugin is set
   */
  latest(maxAgeMs?: number): ResourceSample
  /** Up to the last 10 minutes, oldest first. */
  history(): readonly ResourceSample[]
  /**
   * Programs that take the most memory, the largest first.
   * @throws MaiError `MAI_CONSENT_NEEDED` where the configuration does not allow to name them
   */
  memoryUsers?(most: number): Promise<readonly MemoryUser[]>
}
