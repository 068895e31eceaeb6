/**
 * What one look at the machine gives, whatever the system.
 *
 * @module
 */
import type { GpuSample, ResourceSample } from '../../chat/resources.ts'
import type { CpuTimes } from './linux-text.ts'

/** Read at every sample: cheap, synchronous, no child process. */
export interface DirectReading {
  /** Bytes: the machine's, or the container's where that is less. */
  readonly memory: ResourceSample['memory']
  readonly cpu: CpuTimes
  /** `full avg10`, in percent. */
  readonly stallPercent: number | undefined
}

/** Takes a {@link DirectReading}; never throws. */
export type DirectReader = () => DirectReading

/** What takes child processes to find out; refreshed at the slow interval. */
export interface SlowFacts {
  readonly gpus: readonly GpuSample[]
  readonly battery: ResourceSample['battery']
  /** Degrees Celsius. */
  readonly temperature?: number | undefined
  /** macOS: its free count leaves out what it would give back at once, so the system's own tools are asked. Bytes. */
  readonly memory?: { readonly availableBytes: number; readonly freeBytes: number; readonly swapUsedBytes: number }
}

/** Finds {@link SlowFacts}. */
export type SlowReader = (signal: AbortSignal) => Promise<SlowFacts>
