import type { LoadedInstance, ModelInfo, ModelKey } from './model.ts'
import type { Decision } from './policy.ts'
import type { CurrentModelStatus, ModelRow } from './status.ts'

export interface ModelManager {
  /** Asks all backends; merged by file. @throws MaiError `MAI_NOTHING_SERVES` when no backend can be reached */
  list(): Promise<readonly ModelInfo[]>
  /** The same with fit and state, for `mai models`. */
  rows(): Promise<readonly ModelRow[]>
  /** A key from what a person typed. @throws MaiError `MAI_UNKNOWN_MODEL` with the nearest names in details.nearest */
  resolve(text: string): Promise<ModelInfo>
  selectBestModel(options?: { sessionId?: string }): Promise<Decision>
  /** Loads, verifies, hands over, unloads the former, and pins. */
  switchModel(key: string): Promise<LoadedInstance>
  /** Pins (or with undefined unpins) in the store, for all processes; loads nothing. */
  pin(key: string | undefined): Promise<ModelKey | undefined>
  preloadModel(key: string): Promise<LoadedInstance>
  loadModel(key: string, options?: { contextLength?: number; onProgress?: (fraction: number) => void; signal?: AbortSignal }): Promise<LoadedInstance>
  /** Unloads what is loaded of it, also what Mai did not load, because the person asked. @returns how many instances */
  unloadModel(key: string): Promise<number>
  getCurrentModelStatus(): Promise<CurrentModelStatus>
}
