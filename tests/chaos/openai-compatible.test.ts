import { playScenarios } from './play.ts'

/** Beyond F1 to F16: everything that an OpenAI-compatible server can do to an answer, one of them a process from dist/ that is killed. */
playScenarios('openai-compatible')
