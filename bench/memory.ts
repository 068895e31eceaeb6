/**
 * Errors of estimates of memory against what llama.cpp itself reckons in a dry run: Mai's from the header, file size × 1.2,
 * a power law on size alone, and node-llama-cpp's own formula. On recorded points beside the repository, where they are, and
 * on generated headers that the engine here is asked about. Also: how long reading a header with a real vocabulary takes.
 *
 * @module
 */
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { GgufInsights, getLlama, type Llama, LlamaLogLevel, readGgufFileInfo } from 'node-llama-cpp'
import { readGgufHeader } from '../src/chat/gguf/header.ts'
import { estimateFromHeader, type HeaderFacts, headerFacts } from '../src/chat/memory/header-estimate.ts'
import { estimateFromSize } from '../src/chat/memory/size-estimate.ts'
import { type GgufShape, writeShape } from '../src/testing/gguf-shapes.ts'
import { median, type Report, report } from './harness.ts'
import { SHAPES } from './memory-shapes.ts'

const POINTS = path.resolve('..', 'shared', 'data', 'memory', 'points.json')
const CONTEXTS = [2048, 8192, 32_768]
const VOCABULARY = 150_000
const READS = 15
/** Tokens that are read at once. */
const BATCH = 512

/** One measured case. Bytes. */
interface Point {
  readonly set: string
  readonly name: string
  readonly fileBytes: number
  readonly parameters: number
  readonly contextLength: number
  /** Context and computing, by the engine. */
  readonly truth: number
  readonly ours: number
  readonly node: number
}

interface Recorded {
  readonly model: string
  readonly architecture: string
  readonly contextLength: number
  readonly parameters: number
  readonly fileBytes: number
  readonly contextAndComputeBytes: number
  readonly shape: {
    readonly layers: number
    readonly embedding: number
    readonly heads: number
    readonly kvHeads: number
    readonly headDim: number
    readonly feedForward: number
    readonly vocabulary: number
    readonly trainedContext: number
    readonly tiedEmbeddings: boolean
    readonly slidingWindow: number | null
    readonly experts: { readonly n: number; readonly used: number; readonly ff: number } | null
  }
}

function shapeOf({ architecture, shape }: Recorded): GgufShape {
  const { headDim, tiedEmbeddings, slidingWindow, experts, ...rest } = shape
  return {
    ...rest,
    architecture,
    headLength: headDim,
    tied: tiedEmbeddings,
    ...(slidingWindow === null ? {} : { slidingWindow }),
    ...(experts === null ? {} : { experts: { count: experts.n, used: experts.used, inner: experts.ff } }),
  }
}

interface Header {
  readonly facts: HeaderFacts
  readonly insights: GgufInsights
}

async function header(llama: Llama, file: string, shape: GgufShape): Promise<Header> {
  await writeShape(file, shape)
  const facts = headerFacts(await readGgufHeader(file, { headerOnly: true }))
  if (!facts) throw new Error(`no facts of ${shape.architecture}`)
  return { facts, insights: await GgufInsights.from(await readGgufFileInfo(file), llama) }
}

/** Context and computing, as each estimator says. */
function estimates({ facts, insights }: Header, contextLength: number): { readonly ours: number; readonly node: number } {
  const { kvBytes, computeBytes } = estimateFromHeader(facts, { contextLength })
  const { cpuRam } = insights.estimateContextResourceRequirements({
    contextSize: contextLength,
    modelGpuLayers: 0,
    batchSize: BATCH,
    flashAttention: true,
  })
  return { ours: kvBytes + computeBytes, node: cpuRam }
}

async function recordedPoints(llama: Llama, folder: string): Promise<Point[]> {
  const text = await fs.readFile(POINTS, 'utf8').catch(() => '[]')
  const points: Point[] = []
  for (const recorded of JSON.parse(text) as Recorded[]) {
    const { model, contextLength, parameters, fileBytes, contextAndComputeBytes: truth } = recorded
    const read = await header(llama, path.join(folder, 'recorded.gguf'), shapeOf(recorded))
    points.push({ set: 'recorded', name: model, fileBytes, parameters, contextLength, truth, ...estimates(read, contextLength) })
  }
  return points
}

/** A dry run of llama.cpp: nothing is allocated. */
async function dryRun(insights: GgufInsights, contextSize: number): Promise<number> {
  const options = { contextSize, modelGpuLayers: 0, batchSize: BATCH, flashAttention: true, useMmap: false }
  const { cpuRam } = await insights.estimateContextResourceRequirementsV2(options)
  return cpuRam
}

async function enginePoints(llama: Llama, folder: string): Promise<Point[]> {
  const points: Point[] = []
  for (const [name, shape] of Object.entries(SHAPES)) {
    const read = await header(llama, path.join(folder, `${name}.gguf`), shape)
    const { weightsBytes } = read.facts
    for (const contextLength of CONTEXTS.filter((length) => length <= shape.trainedContext)) {
      const truth = await dryRun(read.insights, contextLength)
      const parameters = (weightsBytes * 32) / 34
      points.push({ set: 'engine', name, fileBytes: weightsBytes, parameters, contextLength, truth, ...estimates(read, contextLength) })
    }
  }
  return points
}

type Estimator = (point: Point) => number

/** Weights, context and computing together. */
const ESTIMATORS: Readonly<Record<string, Estimator>> = {
  'Mai, from the header': ({ fileBytes, ours }) => fileBytes + ours,
  'node-llama-cpp, its formula': ({ fileBytes, node }) => fileBytes + node,
  'size alone, power law': ({ fileBytes, parameters, contextLength }) =>
    estimateFromSize({ sizeBytes: fileBytes, parameters, quantisationBits: undefined }, contextLength).totalBytes,
  'file size × 1.2': ({ fileBytes }) => fileBytes * 1.2,
}

function rowsOf(set: string, points: readonly Point[]): Record<string, string | number>[] {
  return Object.entries(ESTIMATORS).map(([estimator, estimate]) => {
    const total = points.map((point) => 100 * (estimate(point) / (point.fileBytes + point.truth) - 1))
    // Without the weights, which anybody can read off the file.
    const rest = points.map((point) => 100 * ((estimate(point) - point.fileBytes) / point.truth - 1))
    const absolute = total.map(Math.abs).sort((a, b) => a - b)
    return {
      set: `${set}, ${points.length}`,
      estimator,
      median: median(absolute),
      ninety: absolute[Math.ceil(absolute.length * 0.9) - 1] ?? Number.NaN,
      over: Math.max(0, ...total),
      under: Math.min(0, ...total),
      restMedian: median(rest.map(Math.abs)),
      restUnder: Math.min(0, ...rest),
    }
  })
}

async function headerTime(folder: string): Promise<{ readonly ms: number; readonly bytes: number }> {
  const file = path.join(folder, 'vocabulary.gguf')
  await writeShape(file, { ...LLAMA, vocabulary: VOCABULARY }, { tokens: VOCABULARY })
  const times: number[] = []
  for (let read = 0; read < READS; read++) {
    const began = performance.now()
    await readGgufHeader(file, { headerOnly: true })
    times.push(performance.now() - began)
  }
  return { ms: median(times), bytes: (await fs.stat(file)).size }
}

const LLAMA: GgufShape = {
  architecture: 'llama',
  layers: 32,
  embedding: 4096,
  heads: 32,
  kvHeads: 8,
  feedForward: 14_336,
  vocabulary: 128_256,
  trainedContext: 131_072,
}

/** Its dry run falls back on its formula, and only a warning says so. */
function strict(level: LlamaLogLevel, message: string): void {
  if (level === LlamaLogLevel.warn && message.includes('simulating')) throw new Error(message)
}

async function measured(): Promise<Report> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-bench-'))
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    progressLogs: false,
    logLevel: LlamaLogLevel.warn,
    logger: strict,
  })
  const sets = { recorded: await recordedPoints(llama, folder), engine: await enginePoints(llama, folder) }
  const { ms, bytes } = await headerTime(folder)
  await fs.rm(folder, { recursive: true, force: true })
  const worst = [...sets.recorded, ...sets.engine]
    .map(({ name, contextLength, truth, ours }) => ({ name: `${name} @ ${contextLength}`, error: 100 * (ours / truth - 1) }))
    .sort((a, b) => Math.abs(b.error) - Math.abs(a.error))
    .slice(0, 3)
  return {
    title: 'Estimates of memory against llama.cpp’s own reckoning, errors in %',
    columns: [
      { key: 'set', heading: 'points' },
      { key: 'estimator', heading: 'estimator' },
      { key: 'median', heading: 'median', digits: 2 },
      { key: 'ninety', heading: '90 %', digits: 2 },
      { key: 'over', heading: 'worst over', digits: 1 },
      { key: 'under', heading: 'worst under', digits: 1 },
      { key: 'restMedian', heading: 'median without weights', digits: 2 },
      { key: 'restUnder', heading: 'worst under without weights', digits: 1 },
    ],
    rows: [...(sets.recorded.length > 0 ? rowsOf('recorded', sets.recorded) : []), ...rowsOf('engine', sets.engine)],
    notes: [
      `Header with a vocabulary of ${VOCABULARY} words and as many merges (${(bytes / 1e6).toFixed(1)} MB): ${ms.toFixed(1)} ms, median of ${READS}. Goal: 20 ms.`,
      `Furthest off, without weights: ${worst.map(({ name, error }) => `${name} ${error.toFixed(1)} %`).join('; ')}.`,
      sets.recorded.length > 0 ? 'Goals: median 0.5 %, 90 % 2 %, never more than 5 % under.' : 'No recorded points beside the repository.',
    ],
  }
}

report(await measured())
// node-llama-cpp keeps a thread or two.
process.exit(0)
