/**
 * Runs the built program again and again in one process: starting it is most of what a short run costs. Each message is
 * the words of a run, each answer its `{ code, out, err }`. Each run has its own words, output and exit code, and nothing
 * on standard input. Ends when nobody listens any more.
 */
import process from 'node:process'
import { pathToFileURL } from 'node:url'

const bin = process.argv[2] ?? ''
// Every run listens anew for readers that leave and for signals.
for (const emitter of [process, process.stdout, process.stderr]) emitter.setMaxListeners(0)

let runs = 0
/** @returns what a run left */
async function run(args) {
  const texts = { out: '', err: '' }
  for (const [stream, name] of [
    [process.stdout, 'out'],
    [process.stderr, 'err'],
  ]) {
    stream.write = (chunk, encoding, done) => {
      texts[name] += chunk
      const callback = typeof encoding === 'function' ? encoding : done
      if (callback) process.nextTick(callback)
      return true
    }
  }
  process.argv = [process.execPath, bin, ...args]
  process.exitCode = undefined
  await import(`${pathToFileURL(bin).href}?run=${runs++}`)
  const code = process.exitCode ?? 0
  process.exitCode = 0
  return { code, ...texts }
}

let last = Promise.resolve()
process.on('message', (args) => {
  last = last.then(async () => void process.send(await run(args)))
})
