import { playScenarios } from './play.ts'

/** Everything that LM Studio can do to an answer, over its real protocol. */
playScenarios('lmstudio')
