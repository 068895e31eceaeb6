/** `mai models estimate`: what a model would take, of a backend's models or of any GGUF file. */
import { Command, Option } from 'clipanion'
import type { HoldSettings } from '../../chat/memory/header-estimate.ts'
import type { KvType } from '../../chat/memory/kv-cache.ts'
import type { MemoryEstimate } from '../../chat/model.ts'
import { MaiError } from '../../core/errors.ts'
import { MaiCommand } from '../base.ts'
import { neutraliseLine } from '../neutralise.ts'

const KV_TYPES: readonly string[] = ['f16', 'q8_0', 'q4_0'] satisfies readonly KvType[]

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(bytes < 2 ** 30 ? 2 : 1)} GiB`

function isKvType(text: string): text is KvType {
  return KV_TYPES.includes(text)
}

export class ModelsEstimateCommand extends MaiCommand {
  static override paths = [['models', 'estimate']]
  static override usage = Command.Usage({
    description: 'Memory that loading a model would take',
    details:
      'Of a model by its key, or of a GGUF file by its path, of which the header is enough; of a split model, by any of its files. Says where the figure comes from: what was observed here, the backend itself, the header, a table, or the size alone.',
    examples: [
      ['A model', 'mai models estimate llama-3.2-1b --context 32768'],
      ['A file', 'mai models estimate ./model.gguf --context 32768 --kv-type q8_0 --json'],
    ],
  })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })
  contextLength: string | undefined = Option.String('--context', { description: 'Window, in tokens' })
  kvType: string | undefined = Option.String('--kv-type', { description: 'How the cache is stored: f16, q8_0 or q4_0' })
  noFlashAttention: boolean = Option.Boolean('--no-flash-attention', false, { description: 'Without flash attention' })
  gpuLayers: string | undefined = Option.String('--gpu-layers', { description: 'Layers in graphics memory: a number, or max' })
  gpus: string | undefined = Option.String('--gpus', { description: 'Graphics devices that share them' })
  key: string = Option.String()

  async run(): Promise<number> {
    const hold = this.#hold()
    if (/\.gguf$|[\\/]/i.test(this.key)) {
      const file = await this.#file(hold)
      if (file) return this.#show(file.name, file.contextLength, file.memory)
    }
    return this.withMai(async (mai) => {
      const { model, contextLength, memory } = await mai.models.estimateMemory(this.key, hold)
      const { availableBytes } = (await mai.models.getCurrentModelStatus()).resources.memory
      return this.#show(model, contextLength, memory, { model, contextLength, availableBytes, fits: memory.totalBytes <= availableBytes })
    })
  }

  /** Undefined where there is no such file: a key may have slashes too. */
  async #file(
    hold: HoldSettings,
  ): Promise<{ readonly name: string; readonly contextLength: number; readonly memory: MemoryEstimate } | undefined> {
    const [fs, { readModelHeader }, { estimateFromHeader, headerFacts, windowOf }] = await Promise.all([
      import('node:fs/promises'),
      import('../../chat/gguf/split-header.ts'),
      import('../../chat/memory/header-estimate.ts'),
    ])
    const there = await fs.stat(this.key).then(
      () => true,
      () => false,
    )
    if (!there && !/\.gguf$/i.test(this.key)) return undefined
    const facts = headerFacts(await readModelHeader(this.key, { headerOnly: true }))
    if (!facts) {
      throw new MaiError('MAI_MODEL_FILE', `${this.key} does not say how it is built.`, { cure: 'Give the file of a language model.' })
    }
    return { name: this.key, contextLength: windowOf(facts, hold), memory: estimateFromHeader(facts, hold) }
  }

  #show(name: string, contextLength: number, memory: MemoryEstimate, more: Readonly<Record<string, unknown>> = {}): number {
    if (this.json) {
      const { weightsBytes, kvBytes, computeBytes, totalBytes, gpuBytes, source, confidence } = memory
      const gpu = gpuBytes === undefined ? {} : { gpuBytes }
      this.print({ weightsBytes, kvBytes, computeBytes, totalBytes, source, confidence, ...gpu, ...more })
      return 0
    }
    const { weightsBytes, kvBytes, computeBytes, totalBytes, gpuBytes, source, confidence } = memory
    const free = typeof more.availableBytes === 'number' ? `; ${gib(more.availableBytes)} are free` : ''
    this.say(`${neutraliseLine(name)} with ${contextLength} tokens: ${gib(totalBytes)}${free}\n`)
    const graphics = gpuBytes === undefined ? '' : `; ${gib(gpuBytes)} of it in graphics memory`
    this.say(`weights ${gib(weightsBytes)}, KV cache ${gib(kvBytes)}, computing ${gib(computeBytes)}${graphics}\n`)
    this.say(`source: ${source}, confidence ${Math.round(confidence * 100)} %\n`)
    return 0
  }

  /** @throws MaiError `MAI_USAGE` */
  #hold(): HoldSettings {
    const { kvType, gpuLayers } = this
    if (kvType !== undefined && !isKvType(kvType)) {
      throw new MaiError('MAI_USAGE', `--kv-type knows ${KV_TYPES.join(', ')}, not "${kvType}".`, { cure: 'Write --kv-type q8_0, say.' })
    }
    const contextLength = whole('--context', this.contextLength, 'tokens', 8192)
    const gpus = whole('--gpus', this.gpus, 'devices', 2)
    const layers = gpuLayers === 'max' || gpuLayers === '0' ? gpuLayers : whole('--gpu-layers', gpuLayers, 'layers', 20)
    return {
      ...(contextLength === undefined ? {} : { contextLength }),
      ...(kvType === undefined ? {} : { kvType }),
      ...(this.noFlashAttention ? { flashAttention: false } : {}),
      ...(layers === undefined ? {} : { gpuLayers: layers === '0' ? 'off' : layers }),
      ...(gpus === undefined ? {} : { gpus }),
    }
  }
}

/** A positive whole number. @throws MaiError `MAI_USAGE` */
function whole(option: string, text: string | undefined, what: string, example: number): number | undefined {
  if (text === undefined) return undefined
  const number = Number(text)
  if (/^\d+$/.test(text) && number > 0 && Number.isSafeInteger(number)) return number
  throw new MaiError('MAI_USAGE', `${option} wants a number of ${what}, not "${text}".`, { cure: `Write ${option} ${example}, say.` })
}
