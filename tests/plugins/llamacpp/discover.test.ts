import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { CHAT_HOOKS, CHAT_LISTS } from '../../../src/chat/events.ts'
import { Catalogue } from '../../../src/chat/residency/catalogue.ts'
import { createKernel } from '../../../src/core/kernel.ts'
import { definePlugin } from '../../../src/core/plugin.ts'
import { type Discovery, discover } from '../../../src/plugins/llamacpp/discover/discover.ts'
import { HeaderCache } from '../../../src/plugins/llamacpp/discover/header-cache.ts'
import { type ModelOrigin, type ModelPlace, modelPlaces } from '../../../src/plugins/llamacpp/discover/places.ts'
import { lmstudio } from '../../../src/plugins/lmstudio/index.ts'
import { type GgufValue, writeGguf } from '../../../src/testing/gguf-file.ts'
import { llamaEngine } from '../../../src/testing/llama-engine.ts'
import { startLmStudioServer } from '../../../src/testing/lmstudio-server/server.ts'
import { open, temporaryFolder } from './support.ts'

/** A file with the header of a model and few weights. */
async function header(file: string, changes: Record<string, GgufValue> = {}): Promise<string> {
  await fs.mkdir(path.dirname(file), { recursive: true })
  const needed = ['feed_forward_length', 'attention.head_count', 'block_count', 'embedding_length']
  const metadata = {
    'general.architecture': { string: 'llama' },
    ...Object.fromEntries(needed.map((key) => [`llama.${key}`, { u32: 1 }])),
    ...changes,
  }
  await writeGguf(file, metadata, [{ name: 'a', shape: [4], type: 'f16', parts: [] }])
  return file
}

/** One file of a split model, as llama.cpp's own tool writes them: only the first says what it is. */
async function part(folder: string, index: number, count: number): Promise<string> {
  const split = { 'split.no': { u32: index }, 'split.count': { u32: count }, 'split.tensors.count': { u32: count } }
  const number = (value: number): string => String(value).padStart(5, '0')
  const file = path.join(folder, `big-${number(index + 1)}-of-${number(count)}.gguf`)
  if (index === 0) return header(file, split)
  await fs.mkdir(folder, { recursive: true })
  await writeGguf(file, split, [{ name: `a${index}`, shape: [4], type: 'f16', parts: [] }])
  return file
}

const at = (folder: string, origin: ModelOrigin = 'configuration'): ModelPlace => ({ origin, path: folder })
const fresh = async (): Promise<HeaderCache> => new HeaderCache(path.join(await temporaryFolder(), 'sub', 'models.json'))
const found = async (...places: ModelPlace[]): Promise<Discovery> => discover(places, await fresh())
const ids = ({ models }: Discovery): string[] => models.map(({ id }) => id).sort()

describe('the models of a machine', () => {
  it('are found in folders within folders, and as single files', async () => {
    const folder = await temporaryFolder()
    const one = await header(path.join(folder, 'deep', 'er', 'one.gguf'))
    const two = await header(path.join(folder, 'Two.GGUF'))
    await fs.writeFile(path.join(folder, 'readme.txt'), 'no model')
    expect(ids(await found(at(folder)))).toEqual(['Two', 'one'])
    expect((await found(at(one), at(two))).models.map(({ file }) => file)).toEqual([one, two])
    expect(await found(at(path.join(folder, 'nowhere')))).toEqual({ models: [], unusable: [] })
  })

  it('that lie in two places, or are linked, are one each, named by the first', async () => {
    const [first, second] = [await temporaryFolder(), await temporaryFolder()]
    const file = await header(path.join(first, 'a.gguf'))
    await fs.symlink(file, path.join(second, 'b.gguf'))
    await fs.symlink(first, path.join(second, 'all'))
    const { models } = await found(at(first, 'mai'), at(second, 'lm-studio'))
    expect(models).toMatchObject([{ id: 'a', origin: 'mai', file }])
  })

  it('have names of their own, whatever their files are called', async () => {
    const folder = await temporaryFolder()
    await Promise.all(['x/same', 'y/same', 'y/z/same', 'other'].map((name) => header(path.join(folder, `${name}.gguf`))))
    expect(ids(await found(at(folder)))).toEqual(['other', 'x/same', 'y/same', 'z/same'])
    const both = await found(at(path.join(folder, 'x')), at(path.join(folder, 'other.gguf')))
    expect(ids(both)).toEqual(['other', 'same'])
  })

  it('survive links in a circle, links to nowhere, and what is no file', async () => {
    const folder = await temporaryFolder()
    await header(path.join(folder, 'a', 'model.gguf'))
    await fs.symlink(folder, path.join(folder, 'a', 'up'))
    await fs.symlink(path.join(folder, 'a'), path.join(folder, 'a', 'self'))
    await fs.symlink(path.join(folder, 'gone'), path.join(folder, 'dangling.gguf'))
    await fs.symlink('loop.gguf', path.join(folder, 'loop.gguf'))
    await fs.mkdir(path.join(folder, 'folder.gguf'))
    if (process.platform !== 'win32') execFileSync('mkfifo', [path.join(folder, 'pipe.gguf')])
    const { models, unusable } = await found(at(folder))
    expect(models.map(({ id }) => id)).toEqual(['model'])
    expect(unusable.map(({ file }) => path.basename(file))).toEqual(process.platform === 'win32' ? [] : ['pipe.gguf'])
  })

  it('that are broken are told with the reason', async () => {
    const folder = await temporaryFolder()
    await fs.writeFile(path.join(folder, 'empty.gguf'), '')
    await fs.writeFile(path.join(folder, 'html.gguf'), '<html>404</html>')
    await header(path.join(folder, 'crash.gguf'), { 'tokenizer.ggml.model': { string: 'llama' } })
    const { models, unusable } = await found(at(folder))
    expect(models).toEqual([])
    expect(Object.fromEntries(unusable.map(({ file, problem }) => [path.basename(file), problem]))).toEqual({
      'empty.gguf': expect.stringContaining('cut off'),
      'html.gguf': expect.stringContaining('not a GGUF'),
      'crash.gguf': expect.stringContaining('byte tokens'),
    })
  })

  it.skipIf(process.getuid?.() === 0 || process.platform === 'win32')(
    'that may not be read are told, and asked again the next time',
    async () => {
      const folder = await temporaryFolder()
      const file = await header(path.join(folder, 'secret.gguf'))
      await fs.chmod(file, 0o000)
      const cache = await fresh()
      expect((await discover([at(folder)], cache)).unusable).toMatchObject([{ file }])
      await fs.chmod(file, 0o600)
      expect(ids(await discover([at(folder)], cache))).toEqual(['secret'])
    },
  )

  it('do not include what only embeds, projects or adapts', async () => {
    const folder = await temporaryFolder()
    await header(path.join(folder, 'bert.gguf'), { 'general.architecture': { string: 'bert' } })
    await header(path.join(folder, 'lora.gguf'), { 'general.type': { string: 'adapter' } })
    expect(await found(at(folder))).toEqual({ models: [], unusable: [] })
  })
})

describe('a model in several files', () => {
  it('is one, as large as all of them together', async () => {
    const folder = await temporaryFolder()
    const files = await Promise.all([0, 1, 2].map((index) => part(folder, index, 3)))
    const sizes = await Promise.all(files.map(async (file) => (await fs.stat(file)).size))
    const { models, unusable } = await found(at(folder))
    expect(unusable).toEqual([])
    expect(models).toMatchObject([{ id: 'big', file: files[0], sizeBytes: sizes.reduce((a, b) => a + b), facts: { parameters: 12 } }])
  })

  it('is told when one is missing or broken', async () => {
    const folder = await temporaryFolder()
    await part(folder, 0, 3)
    const [second, third] = [await part(folder, 1, 3), await part(folder, 2, 3)]
    await fs.truncate(third, 30)
    expect((await found(at(folder))).models).toEqual([])
    await fs.rm(second)
    const { unusable } = await found(at(folder))
    expect(unusable.find(({ file }) => file.includes('00001'))?.problem).toBe('2 of its 3 files are missing')
  })

  it('keeps the names by which its files find each other, behind links too', async () => {
    const [blobs, folder] = [await temporaryFolder(), await temporaryFolder()]
    for (const index of [0, 1]) {
      const file = await part(blobs, index, 2)
      await fs.rename(file, path.join(blobs, `blob${index}`))
      await fs.symlink(path.join(blobs, `blob${index}`), path.join(folder, path.basename(file)))
    }
    expect((await found(at(folder))).models).toMatchObject([{ id: 'big', file: path.join(folder, 'big-00001-of-00002.gguf') }])
  })
})

describe('the stores of other programs', () => {
  async function ollama(folder: string, name: string, content: unknown): Promise<void> {
    const file = path.join(folder, 'manifests', 'registry.ollama.ai', name)
    await fs.mkdir(path.dirname(file), { recursive: true })
    await fs.writeFile(file, typeof content === 'string' ? content : JSON.stringify(content))
  }

  it('of Ollama: manifests name the files', async () => {
    const folder = await temporaryFolder()
    const blob = await header(path.join(folder, 'blobs', 'new'))
    const digest = createHash('sha256')
      .update(await fs.readFile(blob))
      .digest('hex')
    await fs.rename(blob, path.join(folder, 'blobs', `sha256-${digest}`))
    const layer = (hash: string): unknown => ({ layers: [{ mediaType: 'application/vnd.ollama.image.model', digest: hash }] })
    await ollama(folder, 'library/tiny/latest', layer(`sha256:${digest}`))
    await ollama(folder, 'someone/other/7b', layer(`sha256:${'0'.repeat(64)}`))
    await ollama(folder, 'library/evil/latest', layer('sha256:../../../../etc/passwd'))
    await ollama(folder, 'library/broken/latest', '{')
    await ollama(folder, 'library/odd/latest', { layers: null })
    expect((await found(at(folder, 'ollama'))).models).toMatchObject([
      { id: 'tiny:latest', origin: 'ollama', file: path.join(folder, 'blobs', `sha256-${digest}`) },
    ])
  })

  it('of Hugging Face: snapshots link to blobs', async () => {
    const hub = await temporaryFolder()
    const repo = path.join(hub, 'models--owner--repo')
    const blob = path.join(repo, 'blobs', 'abcdef')
    await header(blob)
    for (const revision of ['r1', 'r2']) {
      await fs.mkdir(path.join(repo, 'snapshots', revision), { recursive: true })
      await fs.symlink('../../blobs/abcdef', path.join(repo, 'snapshots', revision, 'Model.Q4_0.gguf'))
    }
    expect((await found(at(hub, 'hugging-face'))).models).toMatchObject([{ id: 'Model.Q4_0', origin: 'hugging-face', file: blob }])
  })

  it('lie where the environment says, or where they usually do', () => {
    const places = modelPlaces(['~/m', '/abs'], {}, '/home/a')
    expect(places.map(({ origin }) => origin)).toEqual([
      'configuration',
      'configuration',
      'mai',
      'lm-studio',
      'lm-studio',
      'ollama',
      'hugging-face',
      'llama.cpp',
    ])
    expect(places[0]?.path).toBe(path.resolve('/home/a/m'))
    const moved = modelPlaces([], { OLLAMA_MODELS: '/o', HF_HOME: '/h', LLAMA_CACHE: '/l', MAI_HOME: '/mai' }, '/home/a')
    const of = (origin: ModelOrigin): string | undefined => moved.find((place) => place.origin === origin)?.path
    expect([of('ollama'), of('hugging-face'), of('llama.cpp'), of('mai')]).toEqual(
      ['/o', '/h/hub', '/l', '/mai/models'].map((each, index) => (index === 0 || index === 3 ? path.resolve(each) : each)),
    )
  })
})

describe('the memory of headers', () => {
  it('serves the second look, in another process too, and follows changes', async () => {
    const folder = await temporaryFolder()
    const file = path.join(await temporaryFolder(), 'models.json')
    await Promise.all(Array.from({ length: 200 }, (_, n) => header(path.join(folder, `d${n % 10}`, `m${n}.gguf`))))
    const timed = async (cache: HeaderCache): Promise<{ readonly ms: number; readonly result: Discovery }> => {
      const began = performance.now()
      return { result: await discover([at(folder)], cache), ms: performance.now() - began }
    }
    const first = await timed(new HeaderCache(file))
    const cache = new HeaderCache(file)
    const second = await timed(cache)
    const third = await timed(cache)
    expect(first.result.models).toHaveLength(200)
    expect(second.result).toEqual(first.result)
    console.info(`200 files: first ${first.ms.toFixed(0)} ms, from the memory ${second.ms.toFixed(0)} ms, again ${third.ms.toFixed(0)} ms`)

    await header(path.join(folder, 'd0', 'm0.gguf'), { 'general.name': { string: 'Changed' } })
    await fs.rm(path.join(folder, 'd1', 'm1.gguf'))
    const { models } = await discover([at(folder)], cache)
    expect(models).toHaveLength(199)
    expect(models.find(({ id }) => id === 'm0')?.facts.name).toBe('Changed')
  })

  it('forgets files that are gone, and keeps those of places that were not asked for', async () => {
    const [one, two] = [await temporaryFolder(), await temporaryFolder()]
    const file = path.join(await temporaryFolder(), 'models.json')
    await header(path.join(one, 'kept.gguf'))
    const gone = await header(path.join(two, 'gone.gguf'))
    const cache = new HeaderCache(file)
    await discover([at(one), at(two)], cache)
    await fs.rm(gone)
    await header(path.join(two, 'new.gguf'))
    await discover([at(two)], cache)
    const names = (JSON.parse(await fs.readFile(file, 'utf8')) as { files: [string][] }).files.map(([name]) => path.basename(name))
    expect(names.sort()).toEqual(['kept.gguf', 'new.gguf'])
  })

  it('reads no header that it knows', async () => {
    const folder = await temporaryFolder()
    const file = await header(path.join(folder, 'a.gguf'))
    const cache = await fresh()
    const whole = new Date('2026-01-01T00:00:00Z')
    await fs.utimes(file, whole, whole)
    await discover([at(folder)], cache)
    // Other bytes of the same size and time show only to who reads them.
    await fs.writeFile(file, Buffer.alloc((await fs.stat(file)).size))
    await fs.utimes(file, whole, whole)
    expect(ids(await discover([at(folder)], cache))).toEqual(['a'])
  })

  it.each(['', '{', '[]', '{"version":3,"files":7}', '{"version":3,"files":[[1,2]]}', '{"version":2,"files":[["/x",{}]]}'])(
    'that is damaged (%j) costs only time',
    async (content) => {
      const folder = await temporaryFolder()
      await header(path.join(folder, 'a.gguf'))
      const file = path.join(await temporaryFolder(), 'models.json')
      await fs.writeFile(file, content)
      expect(ids(await discover([at(folder)], new HeaderCache(file)))).toEqual(['a'])
      expect(ids(await discover([at(folder)], new HeaderCache(file)))).toEqual(['a'])
    },
  )

  it('that cannot be written costs only time', async () => {
    const folder = await temporaryFolder()
    const file = await header(path.join(folder, 'a.gguf'))
    expect(ids(await discover([at(folder)], new HeaderCache(path.join(file, 'below-a-file', 'models.json'))))).toEqual(['a'])
  })
})

describe('beside another backend', () => {
  it('a file that both see is one row, of the backend that comes first', async () => {
    const folder = await temporaryFolder()
    const file = await header(path.join(folder, 'shared.gguf'))
    await header(path.join(folder, 'own.gguf'))
    const linked = path.join(await temporaryFolder(), 'shared.gguf')
    await fs.symlink(file, linked)
    const server = await startLmStudioServer({ models: [await llamaEngine({ file: linked, key: 'studio-shared' })] })
    onTestFinished(() => server.close())
    const { backend } = open(folder)
    const engine = definePlugin({
      name: 'engine',
      apiVersion: 1,
      provides: ['backend'],
      setup: (ctx) => void ctx.contribute('backend', backend),
    })
    const kernel = createKernel({ plugins: [lmstudio({ baseUrl: server.baseUrl }), engine()], lists: CHAT_LISTS, hooks: CHAT_HOOKS })
    onTestFinished(() => kernel.close())
    await kernel.start()
    const catalogue = new Catalogue(kernel.context)
    await catalogue.refresh()
    expect(catalogue.models.map(({ key }) => key).sort()).toEqual(['llamacpp/own', 'lmstudio/studio-shared'])
  })
})
