/**
 * Starts the stand-in LM Studio server by hand, with real llama.cpp behind it: `npm run stand-in -- [model.gguf …]`.
 * Without a file it writes two small models that recite, so that nothing has to be at hand.
 *
 * @module
 */
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { writeRecitingModel } from '../src/testing/gguf-writer.ts'
import { llamaEngine } from '../src/testing/llama-engine.ts'
import { startLmStudioServer } from '../src/testing/lmstudio-server/server.ts'

const HELP = `Starts a stand-in for LM Studio that runs real llama.cpp.

  npm run stand-in                        two small models that recite a text
  npm run stand-in -- a.gguf b.gguf       these models
  npm run stand-in -- --port 1234         on this port, where Mai looks by itself

It listens on 127.0.0.1 and ends with Ctrl-C.
`

const TALE =
  'Once upon a time there was a small machine that knew a few tales by heart. Every evening somebody sat down and asked it for one. ' +
  'It told of a cat who crossed the sea in a basket, of a lamp that was afraid of the dark, and of two brothers who shared one coat. ' +
  'When the night grew long the machine began again, word by word, and nobody minded that it never told anything new.'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { help: { type: 'boolean', short: 'h' }, port: { type: 'string' } },
})
if (values.help) process.stdout.write(HELP)
else await serve(positionals, values.port === undefined ? undefined : Number(values.port))

async function serve(files: readonly string[], port: number | undefined): Promise<void> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-stand-in-'))
  const models = files.length > 0 ? files : await ownModels(folder)
  const engines = await Promise.all(models.map((file) => llamaEngine({ file: path.resolve(file) })))
  const server = await startLmStudioServer({ models: engines, ...(port === undefined ? {} : { port }) })
  process.stdout.write(`${engines.map(({ key }) => key).join(', ')} at ${server.baseUrl}

In mai.config.ts: plugins: [lmstudio({ baseUrl: '${server.baseUrl}' })]
Ctrl-C ends it.
`)
  const end = (): void => {
    void server
      .close()
      .then(() => fs.rm(folder, { recursive: true, force: true }))
      .then(() => process.exit(0))
  }
  process.once('SIGINT', end).once('SIGTERM', end)
}

async function ownModels(folder: string): Promise<string[]> {
  const small = await writeRecitingModel(path.join(folder, 'teller-small.gguf'), { text: TALE })
  const large = await writeRecitingModel(path.join(folder, 'teller-large.gguf'), { text: TALE, sizeBytes: 48_000_000 })
  return [small.file, large.file]
}
