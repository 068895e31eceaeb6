/**
 * What can go wrong with whoever serves the models, once for all backends: how each is harmed so, or why it cannot be.
 *
 * @module
 */
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'vitest'
import type { TurnSettings } from '../../src/chat/settings.ts'
import type { AnswerFault, Fault } from '../../src/testing/lmstudio-server/faults.ts'
import type { OpenAiFault } from '../../src/testing/openai-server/faults.ts'
import { type BackendName, MODELS, type Stages, signalEngines } from './stages.ts'
import { CANON, type Outcome } from './support.ts'

const WORDS = CANON.split(/\s+/).length
const EVER = { times: Number.POSITIVE_INFINITY } as const

/** Below a number, the same for the same seed. */
type Random = (below: number) => number

/** What follows from harm done. */
export interface Harm {
  readonly onText?: (soFar: string) => void
  /** Makes good what would not get well by itself. */
  readonly mend?: () => Promise<void> | void
}

/** Does it, or arms it, before the message is sent. */
type Harming<S> = (stage: S, random: Random) => Harm | undefined | Promise<Harm | undefined>

/** Why a backend cannot be harmed so. */
export interface NotHere {
  readonly not: string
}

/** One scenario. */
export interface Scenario {
  /** Continues the name of a backend. */
  readonly name: string
  /** Limits by backend: as short as a loaded machine allows. */
  readonly turn?: Readonly<Partial<Record<BackendName, Partial<TurnSettings>>>>
  readonly ownProcess?: boolean
  readonly on: { readonly [B in BackendName]: Harming<Stages[B]> | NotHere }
  /** `whole`: after more than one attempt. */
  readonly ends: 'whole' | 'error' | 'either'
  readonly check?: (outcome: Outcome, backend: BackendName) => void
  /** Messages, with harm done to each; default 1. */
  readonly rounds?: number
  /** Where only the thorough run plays it, because it takes seconds. */
  readonly thorough?: readonly BackendName[]
}

const NO_SERVER: NotHere = { not: 'has no server: its engines are children of Mai, and die one by one' }

/** Does something once, when the answer has so many characters. */
export function at(characters: number, act: () => void): (soFar: string) => void {
  let done = false
  return (soFar) => {
    if (done || soFar.length < characters) return
    done = true
    act()
  }
}

const somewhere = (random: Random): number => random(WORDS - 2)
/** In the first four fifths of the answer. */
const midway = ({ telling: { canon } }: Stages['llamacpp'], random: Random): number => 1 + random(Math.floor(canon.length * 0.8))

/** Cuts the files of models short. @returns what makes them whole again */
function cutShort({ folder }: Stages['llamacpp'], models: readonly string[]): () => void {
  const files = models.map((model) => path.join(folder, `${model}.gguf`))
  const whole = files.map((file) => fs.readFileSync(file))
  for (const file of files) fs.truncateSync(file, Math.floor(fs.statSync(file).size / 2))
  return () => {
    for (const [index, file] of files.entries()) fs.writeFileSync(file, whole[index] ?? '')
  }
}

/** @param surely where the harm comes before the end of the answer, whatever the moment */
function expectRescued(surely: readonly BackendName[]): NonNullable<Scenario['check']> {
  return ({ reply, error }, backend) => {
    expect(error).toBeUndefined()
    if (surely.includes(backend)) expect(reply?.attempts.length).toBeGreaterThan(1)
  }
}

/** As Ollama says it. */
const NO_MEMORY = { message: 'model requires more system memory (8.4 GiB) than is available (3.1 GiB)', type: 'api_error' }
const refuses = (model: string): OpenAiFault => ({ kind: 'status', status: 500, error: NO_MEMORY, model, ...EVER })

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'is killed and started again in the middle of an answer',
    on: {
      lmstudio: ({ server }, random) => {
        server.faults.add({ kind: 'kill-server', afterFragments: somewhere(random), restartAfterMs: 20 + random(300) })
        return undefined
      },
      'openai-compatible': ({ server }, random) => {
        server.faults.add({ kind: 'kill-server', afterPieces: somewhere(random), restartAfterMs: 20 + random(300) })
        return undefined
      },
      llamacpp: NO_SERVER,
    },
    ends: 'whole',
  },
  {
    name: 'is killed for good in the middle of an answer, and works again when it is back',
    on: {
      lmstudio: ({ server }, random) => {
        server.faults.add({ kind: 'kill-server', afterFragments: somewhere(random) })
        // For a second the plugin remembers that nobody answered.
        return { mend: () => server.restart().then(() => pause(1_100)) }
      },
      'openai-compatible': ({ server }, random) => {
        server.faults.add({ kind: 'kill-server', afterPieces: somewhere(random) })
        return { mend: () => server.restart() }
      },
      llamacpp: NO_SERVER,
    },
    ends: 'error',
    thorough: ['openai-compatible'],
  },
  {
    name: 'loses its model in the middle of an answer, because somebody unloads it',
    on: {
      lmstudio: ({ server }, random) => {
        server.faults.add({ kind: 'unload', afterFragments: somewhere(random) })
        return undefined
      },
      'openai-compatible': ({ server }, random) => {
        const [model = ''] = MODELS
        server.faults.add({ kind: 'error-piece', message: 'Model unloaded.', model, afterPieces: somewhere(random) })
        server.faults.add({ kind: 'status', status: 404, model, ...EVER })
        return undefined
      },
      llamacpp: { not: 'has nobody else who could: its engines belong to this Mai, which waits for the answer (tests/chat/residency)' },
    },
    ends: 'whole',
  },
  {
    name: 'refuses to load some of its models',
    on: {
      lmstudio: ({ server }, random) => {
        for (const model of MODELS.slice(0, 1 + random(3))) server.faults.add({ kind: 'refuse-load', model, ...EVER })
        return undefined
      },
      'openai-compatible': ({ server }, random) => {
        server.faults.add(...MODELS.slice(0, 1 + random(3)).map(refuses))
        return undefined
      },
      llamacpp: async (stage, random) => {
        await stage.mai.models.list()
        return { mend: cutShort(stage, MODELS.slice(0, 1 + random(3))) }
      },
    },
    ends: 'whole',
    thorough: ['llamacpp'],
  },
  {
    name: 'refuses to load any of its models',
    on: {
      lmstudio: ({ server }) => {
        server.faults.add({ kind: 'refuse-load', ...EVER })
        return undefined
      },
      'openai-compatible': ({ server }) => {
        server.faults.add(...MODELS.map(refuses))
        return undefined
      },
      llamacpp: async (stage) => {
        await stage.mai.models.list()
        return { mend: cutShort(stage, MODELS) }
      },
    },
    ends: 'error',
    check: ({ error }) => expect(error?.code).toMatch(/^MAI_(ALL_FAILED|NOTHING_SERVES|BACKEND_ERROR)$/),
    thorough: ['llamacpp'],
  },
  {
    name: 'stands still while it loads',
    turn: { lmstudio: { loadIdleMs: 300 }, 'openai-compatible': { firstTokenMs: 700 }, llamacpp: { loadIdleMs: 20_000 } },
    on: {
      lmstudio: ({ server }, random) => {
        server.faults.add({ kind: 'hang-load', atProgress: random(100) / 100 })
        return undefined
      },
      'openai-compatible': ({ server }) => {
        // It loads when it is asked, and until then only keeps the line open.
        server.faults.add({ kind: 'stall', afterPieces: 0, keepAliveMs: 50 })
        return undefined
      },
      llamacpp: ({ mai }) => {
        // As soon as its process is there.
        const off = mai.on('model.loading', () => {
          off()
          setImmediate(() => signalEngines('SIGSTOP'))
        })
        return undefined
      },
    },
    ends: 'whole',
    check: ({ reply }) => expect(reply?.attempts[0]?.code).toMatch(/^MAI_(LOAD|BACKEND)_TIMEOUT$/),
    thorough: ['llamacpp'],
  },
  {
    name: 'has its engine killed while it writes',
    ownProcess: true,
    on: {
      lmstudio: ({ server }, random) => {
        server.faults.add({ kind: 'crash', afterFragments: somewhere(random), exitCode: 137 })
        return undefined
      },
      'openai-compatible': ({ process }, random) => ({
        onText: at(1 + random(Math.floor(CANON.length * 0.8)), () => void process?.kill('SIGKILL')),
      }),
      llamacpp: (stage, random) => ({ onText: at(midway(stage, random), () => signalEngines('SIGKILL')) }),
    },
    // What was on its way already may have been all.
    ends: 'either',
    check: expectRescued(['lmstudio']),
    // Killed once, at random moments: tests/plugins/llamacpp/whole.test.ts does it again and again.
    thorough: ['llamacpp'],
  },
  {
    name: 'stands still while it writes',
    turn: { lmstudio: { gapMs: 700 }, 'openai-compatible': { gapMs: 700 }, llamacpp: { gapMs: 1_500 } },
    on: {
      lmstudio: ({ server }, random) => {
        server.faults.add({ kind: 'stall', afterFragments: 1 + somewhere(random) })
        return undefined
      },
      'openai-compatible': ({ server }, random) => {
        server.faults.add({ kind: 'stall', afterPieces: 1 + somewhere(random) })
        return undefined
      },
      llamacpp: (stage, random) => ({ onText: at(midway(stage, random), () => signalEngines('SIGSTOP')) }),
    },
    ends: 'either',
    check: expectRescued(['lmstudio', 'openai-compatible']),
    // F9 and tests/chat/turn play it in every run; an engine that stands still is waited for to the end of its patience.
    thorough: ['lmstudio', 'openai-compatible', 'llamacpp'],
  },
  {
    name: 'fails three times in one answer',
    turn: { lmstudio: { gapMs: 400 }, 'openai-compatible': { gapMs: 400 } },
    on: {
      lmstudio: ({ server }, random) => {
        const faults: readonly AnswerFault[] = [
          { kind: 'drop-socket', afterFragments: 1 + random(WORDS / 4) },
          { kind: 'crash', afterFragments: random(WORDS / 4) },
          { kind: 'stall', afterFragments: 1 + random(WORDS / 4) },
          { kind: 'stop', reason: 'failed', afterFragments: random(WORDS / 4) },
          { kind: 'stop', reason: 'contextLengthReached', afterFragments: random(WORDS / 4) },
          { kind: 'unload', afterFragments: random(WORDS / 4) },
          { kind: 'answer-error', message: 'Something broke.', afterFragments: random(WORDS / 4) },
        ]
        server.faults.add(...three(faults, random))
        return undefined
      },
      'openai-compatible': ({ server }, random) => {
        const faults: readonly OpenAiFault[] = [
          { kind: 'cut', afterPieces: 1 + random(WORDS / 4) },
          { kind: 'cut', afterPieces: 1 + random(WORDS / 4), clean: true },
          { kind: 'stall', afterPieces: 1 + random(WORDS / 4), keepAliveMs: 50 },
          { kind: 'malformed', afterPieces: random(WORDS / 4) },
          { kind: 'error-piece', afterPieces: random(WORDS / 4) },
          { kind: 'status', status: 503 },
          { kind: 'empty' },
        ]
        server.faults.add(...three(faults, random))
        return undefined
      },
      llamacpp: ({ telling: { canon } }, random) => {
        const kills = [0.2, 0.4, 0.6].map((share) => at((share + random(100) / 1000) * canon.length, () => signalEngines('SIGKILL')))
        return {
          onText: (soFar) => {
            for (const kill of kills) kill(soFar)
          },
        }
      },
    },
    ends: 'whole',
    // What an engine had sent before it was killed may be what the next kill waited for.
    check: ({ reply }, backend) =>
      expect(reply?.attempts.filter(({ outcome }) => outcome === 'failed').length).toBeGreaterThanOrEqual(backend === 'llamacpp' ? 1 : 3),
  },
  {
    name: 'does anything at all, many times in a row',
    turn: {
      lmstudio: { gapMs: 400, loadIdleMs: 400 },
      'openai-compatible': { gapMs: 400, firstTokenMs: 700 },
      llamacpp: { gapMs: 1_500 },
    },
    rounds: 6,
    on: {
      lmstudio: ({ server }, random) => {
        const kinds: readonly (() => Fault)[] = [
          () => ({ kind: 'drop-socket', afterFragments: somewhere(random), refuseForMs: random(200) }),
          () => ({ kind: 'kill-server', afterFragments: somewhere(random), restartAfterMs: random(200) }),
          () => ({ kind: 'unload', afterFragments: somewhere(random) }),
          () => ({ kind: 'crash', afterFragments: somewhere(random) }),
          () => ({ kind: 'empty' }),
          () => ({ kind: 'overflow' }),
          () => ({ kind: 'crash-load' }),
          () => ({ kind: 'refuse-load' }),
          () => ({ kind: 'hang-load' }),
          () => ({ kind: 'fail-load' }),
        ]
        server.faults.add(...some(kinds, random))
        return undefined
      },
      'openai-compatible': ({ server }, random) => {
        const afterPieces = somewhere(random)
        const kinds: readonly (() => OpenAiFault)[] = [
          () => ({ kind: 'cut', afterPieces }),
          () => ({ kind: 'cut', afterPieces, clean: true }),
          () => ({ kind: 'kill-server', afterPieces, restartAfterMs: random(200) }),
          // Silence before the first token may last four times what reading the text so far could take: F6 plays it.
          () => ({ kind: 'stall', afterPieces: 1 + afterPieces, keepAliveMs: 20 }),
          () => ({ kind: 'malformed', afterPieces }),
          () => ({ kind: 'error-piece', afterPieces }),
          () => ({ kind: 'no-end-marker', open: random(2) === 0 }),
          () => ({ kind: 'reset' }),
          () => ({ kind: 'status', status: [429, 500, 502, 503, 529][random(5)] ?? 500 }),
          () => ({ kind: 'overflow' }),
          () => ({ kind: 'empty' }),
        ]
        server.faults.add(...some(kinds, random))
        return undefined
      },
      llamacpp: (stage, random) => {
        const signal = random(3) === 0 ? 'SIGSTOP' : 'SIGKILL'
        return { onText: at(midway(stage, random), () => signalEngines(signal)) }
      },
    },
    ends: 'either',
    thorough: ['llamacpp'],
  },
]

/** Three different ones that follow each other. */
function three<T>(all: readonly T[], random: Random): T[] {
  const first = random(all.length)
  return [0, 1, 2].flatMap((n) => all[(first + n) % all.length] ?? [])
}

/** One or two. */
function some<T>(kinds: readonly (() => T)[], random: Random): T[] {
  return Array.from({ length: 1 + random(2) }, () => kinds[random(kinds.length)]).flatMap((make) => (make ? [make()] : []))
}
