/**
 * Another process that uses a store: `child.ts <action> <file> [args…]`.
 *
 * @module
 */
import fs from 'node:fs'
import { createStore } from '../../../src/plugins/store/store.ts'

const [action, file, who = '', amount = '0'] = process.argv.slice(2)
if (!file) throw new Error('Which file?')
const store = createStore({ file, ownFolder: false })
const say = (line: string): void => void fs.writeSync(1, `${line}\n`)

switch (action) {
  /**
   * Writes of every kind for ever; says each once it is acknowledged: a message with its span, a record, a fact, a figure,
   * and now and then that a message was taken back.
   */
  case 'write-for-ever': {
    await store.createSession({ id: 's', title: 'Work', time: 1 })
    for (let index = 0; ; index++) {
      const id = `${who}-${index}`
      const text = `Message ${id} ${'with a few words '.repeat(index % 20)}`
      await store.appendMessage(
        { id, sessionId: 's', turnId: id, role: 'user', parts: [{ type: 'text', text }], time: index, complete: true },
        [{ start: 0, end: text.length, model: 'x/y', reason: 'test' }],
      )
      say(`message ${id}`)
      await store.appendRecord({ run: who, time: index, type: 'pin.changed', payload: { model: id } })
      say(`record ${id}`)
      await store.changeLedger('s', { add: [{ text: id, sources: [id], model: 'x/y', time: index }] })
      say(`fact ${id}`)
      await store.learn('x/y', { [who]: index })
      if (index % 5 !== 4) continue
      say(`undoing ${id}`)
      await store.deleteMessage(id)
      say(`undone ${id}`)
    }
  }
  /** Writes for a time in ms; says how many it wrote. */
  case 'write-for': {
    await store.createSession({ id: 's', title: 'Work', time: 1 })
    const until = Date.now() + Number(amount)
    let written = 0
    while (Date.now() < until) {
      const id = `${who}-${written}`
      await store.appendMessage({
        id,
        sessionId: 's',
        turnId: id,
        role: 'user',
        parts: [{ type: 'text', text: `Hello ${id}` }],
        time: written,
        complete: true,
      })
      await store.appendRecord({ run: who, time: written, type: 'pin.changed', payload: { model: id } })
      written++
    }
    say(String(written))
    break
  }
  /** Opens it and writes one message. */
  case 'open':
    await store.createSession({ id: 's', title: 'Work', time: 1 })
    await store.appendMessage({
      id: who,
      sessionId: 's',
      turnId: who,
      role: 'user',
      parts: [{ type: 'text', text: who }],
      time: 1,
      complete: true,
    })
    break
  /** Deletes a session; says when it has begun. */
  case 'delete': {
    const deleting = store.deleteSession(who)
    while (await store.getSession(who)) await new Promise((resolve) => setImmediate(resolve))
    say('deleting')
    await deleting
    break
  }
  /** Takes a lease and waits for its end. */
  case 'lease':
    await store.putLease({
      instanceId: who,
      model: 'x/y',
      pid: process.pid,
      processStart: Math.round(Date.now() - process.uptime() * 1000),
      bytes: 5,
      owned: true,
      heartbeat: Date.now(),
    })
    say('leased')
    setInterval(() => undefined, 1000)
    await new Promise(() => undefined)
}
await store.close()
