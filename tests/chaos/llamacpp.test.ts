import { describe } from 'vitest'
import { playScenarios } from './play.ts'

/** Everything that can happen to an embedded engine: llama.cpp itself, from dist/, in processes that are really killed and stopped. */
describe.skipIf(process.platform !== 'linux')('the embedded engine', () => playScenarios('llamacpp'))
