/**
 * Runs the built program several times in one process: starting it is most of what a refusal costs. Each run has its own
 * words, output and exit code, and nothing on standard input. Prints one JSON list of `{ code, out, err }`.
 */
import process from 'node:process'
import { pathToFileURL } from 'node:url'

const [bin = '', runs = '[]'] = process.argv.slice(2)
const write = process.stdout.write.bind(process.stdout)
// Every run listens anew for readers that leave and for signals.
for (const emitter of [process, process.stdout, process.stderr]) emitter.setMaxListeners(0)

const ran = []
for (const args of JSON.parse(runs)) {
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
  await import(`${pathToFileURL(bin).href}?run=${ran.length}`)
  ran.push({ code: process.exitCode ?? 0, ...texts })
}
process.exitCode = 0
write(JSON.stringify(ran))
