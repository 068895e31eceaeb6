/**
 * All models of a machine, each once.
 *
 * @module
 */
import path from 'node:path'
import type { ModelFacts } from '../describe.ts'
import { type FoundFile, findFiles } from './find-files.ts'
import type { HeaderCache, KnownFile } from './header-cache.ts'
import type { ModelOrigin, ModelPlace } from './places.ts'

/** A model that can be run. */
export interface DiscoveredModel {
  /** Unique among all. */
  readonly id: string
  readonly origin: ModelOrigin
  /** The first file of a split one; where links lead to. */
  readonly file: string
  /** Of all its files together. */
  readonly sizeBytes: number
  readonly facts: ModelFacts
}

/** A file that looks like a model and cannot be run. */
export interface UnusableFile {
  readonly file: string
  readonly origin: ModelOrigin
  readonly problem: string
}

/** What was found. */
export interface Discovery {
  readonly models: readonly DiscoveredModel[]
  readonly unusable: readonly UnusableFile[]
}

interface Described extends KnownFile {
  readonly found: FoundFile
}

/** Looks in all places, in their order; a file that lies in several belongs to the first. */
export async function discover(places: readonly ModelPlace[], cache: HeaderCache): Promise<Discovery> {
  const found = (await Promise.all(places.map(findFiles))).flat()
  const seen = new Set<string>()
  const files = found.filter(({ realPath }) => !seen.has(realPath) && seen.add(realPath))
  const known = await cache.describe(files)
  const described = files.map((file, index): Described => ({ found: file, ...(known[index] ?? { facts: undefined, problem: undefined }) }))
  return sorted(described)
}

/** A pure function: joins the files of split models, leaves out what answers nothing, and gives names. */
function sorted(described: readonly Described[]): Discovery {
  const unusable: UnusableFile[] = []
  const models: (Omit<DiscoveredModel, 'id'> & { readonly names: readonly string[] })[] = []
  for (const { found, facts, problem } of described) {
    if (!facts || problem !== undefined) {
      unusable.push({ file: found.path, origin: found.origin, problem: problem ?? 'it could not be read' })
      continue
    }
    if (!facts.answers || (facts.split && facts.split.index > 0)) continue
    const parts = facts.split ? partsOf(found, facts.split.count, described) : [{ found, facts }]
    if (facts.split && parts.length < facts.split.count) {
      unusable.push({
        file: found.path,
        origin: found.origin,
        problem: `${facts.split.count - parts.length} of its ${facts.split.count} files are missing`,
      })
      continue
    }
    const sizeBytes = parts.reduce((sum, part) => sum + part.found.size, 0)
    // A header that counts the parameters counts those of all files.
    const counted = facts.parameters !== facts.elements
    const parameters = counted ? facts.parameters : parts.reduce((sum, part) => sum + part.facts.elements, 0)
    // llama.cpp finds the other files by the name of the first; behind a link it may be another.
    const file = facts.split && !SPLIT.test(found.realPath) ? found.path : found.realPath
    models.push({ origin: found.origin, file, sizeBytes, facts: { ...facts, parameters }, names: namesOf(found) })
  }
  return { models: named(models), unusable }
}

const SPLIT = /-(\d{5})-of-(\d{5})\.gguf$/i

interface Part {
  readonly found: FoundFile
  readonly facts: ModelFacts
}

/** The files of a split model that are there and whole. */
function partsOf(first: FoundFile, count: number, all: readonly Described[]): Part[] {
  const stem = first.path.replace(SPLIT, '')
  return all.flatMap(({ found, facts, problem }) => {
    const own = found.path.replace(SPLIT, '') === stem && SPLIT.exec(found.path)?.[2] === String(count).padStart(5, '0')
    return own && facts && problem === undefined ? [{ found, facts }] : []
  })
}

/** Ways to call a file, the shortest first. */
function namesOf({ path: file, name }: FoundFile): string[] {
  if (name !== undefined) return [name, `ollama/${name}`]
  const own = path
    .basename(file)
    .replace(SPLIT, '')
    .replace(/\.gguf$/i, '')
  const folders = path.dirname(file).split(path.sep).filter(Boolean)
  return [own, ...[1, 2, 3, 4].map((depth) => [...folders.slice(-depth), own].join('/'))]
}

/** The shortest name that no other has; where all are taken, with a number. */
function named(models: readonly (Omit<DiscoveredModel, 'id'> & { readonly names: readonly string[] })[]): DiscoveredModel[] {
  const uses = new Map<string, number>()
  for (const { names } of models) for (const name of new Set(names)) uses.set(name, (uses.get(name) ?? 0) + 1)
  const given = new Set<string>()
  return models.map(({ names, ...model }) => {
    const [longest = 'model'] = names.slice(-1)
    let id = names.find((name) => uses.get(name) === 1 && !given.has(name)) ?? longest
    for (let number = 2; given.has(id); number++) id = `${longest}-${number}`
    given.add(id)
    return { id, ...model }
  })
}
