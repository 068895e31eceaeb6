/**
 * What the log says of each event. A table: one row an event, its level, its sentence, its fields.
 *
 * @module
 */
import type {} from '../../chat/events.ts'
import type { ErrorFact } from '../../core/errors.ts'
import type { EventType, MaiEvents } from '../../core/events.ts'
import type { Describe, LogLevel, LogLine } from './entry.ts'

/** Rows of the table. */
export type Descriptions = { readonly [T in EventType]?: Describe<T> }

/** Bytes as people read them. */
const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`
const seconds = (ms: number): string => (ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms)} ms`)
const because = ({ code, message }: ErrorFact): string => `${code}: ${message}`

function line(level: LogLevel, msg: string, fields: Readonly<Record<string, unknown>>): LogLine {
  return { level, msg, fields }
}

/** @param messageText whether messages are logged with their text */
export function descriptions(messageText: boolean): Descriptions {
  const text = (value: string): Readonly<Record<string, unknown>> =>
    messageText ? { chars: value.length, text: value } : { chars: value.length }
  /** Models whose load has been logged as begun. */
  const underWay = new Set<string>()
  return {
    'kernel.ready': ({ bootMs, plugins }) => line('debug', `ready in ${seconds(bootMs)}`, { bootMs, plugins }),
    'kernel.closing': () => line('debug', 'closing', {}),
    'plugin.failed': (e) => line('error', `plugin "${e.plugin}" failed in its ${e.during}: ${because(e.error)}`, { ...e }),

    'session.started': (e) => line('info', `session ${e.sessionId} ${e.resumed ? 'resumed' : 'started'}`, { ...e }),
    'message.received': ({ text: body, ...ids }) => line('info', `message received, ${body.length} characters`, { ...ids, ...text(body) }),
    'message.completed': ({ text: body, ...e }) =>
      line('info', `answered by ${e.model} in ${seconds(e.ms)}, ${e.usage.completionTokens} tokens, ${e.switches} switches (${e.finish})`, {
        ...e,
        ...text(body),
      }),
    'message.failed': (e) => line('error', `no answer: ${because(e.error)}`, { ...e }),

    'resources.sampled': ({ memory, cpu, memoryStall, level }) =>
      line('debug', `${gib(memory.availableBytes)} of ${gib(memory.totalBytes)} free, CPU ${Math.round(cpu.load * 100)} %`, {
        availableBytes: memory.availableBytes,
        totalBytes: memory.totalBytes,
        cpuLoad: cpu.load,
        memoryStall,
        pressure: level,
      }),
    'resources.pressured': ({ level, ...bytes }) =>
      line('warn', `memory is ${level}: ${gib(bytes.availableBytes)} of ${gib(bytes.totalBytes)} free`, { pressure: level, ...bytes }),
    'resources.recovered': (e) => line('info', `memory has recovered: ${gib(e.availableBytes)} of ${gib(e.totalBytes)} free`, { ...e }),

    'backend.connected': (e) => line('info', `backend ${e.backend} connected at ${e.endpoint}`, { ...e }),
    'backend.lost': (e) => line('warn', `backend ${e.backend} lost: ${because(e.error)}`, { ...e }),
    'models.discovered': ({ backend, models }) =>
      line('info', `${models.length} models at ${backend}`, { backend, count: models.length, models }),

    'model.selected': selected,
    'model.loading': (e) => loading(e, underWay),
    'model.loaded': (e) => {
      underWay.delete(e.model)
      return line('info', `loaded ${e.model} in ${seconds(e.ms)}, window of ${e.contextLength} tokens`, { ...e })
    },
    'model.load.failed': (e) => {
      underWay.delete(e.model)
      return line('warn', `could not load ${e.model}: ${because(e.error)}`, { ...e })
    },
    'model.unloaded': (e) => line('info', `unloaded ${e.model}: ${e.reason}`, { ...e }),
    'model.preloaded': (e) => line('info', `prepared ${e.model} in ${seconds(e.ms)}`, { ...e }),
    'model.struggling': (e) => line('warn', `${e.model} struggles at character ${e.atChar}: ${e.kind} (${e.evidence})`, { ...e }),
    'model.switched': (e) =>
      line('info', `switched ${e.from} → ${e.to}: ${e.reason}${e.rescue ? ` (at character ${e.atChar} of the answer)` : ''}`, { ...e }),
    'pin.changed': (e) => line('info', e.model === null ? 'unpinned' : `pinned ${e.model}`, { ...e }),
    'circuit.opened': (e) => line('warn', `${e.model} is left alone for a while: ${e.reason}`, { ...e }),
    'circuit.closed': (e) => line('info', `${e.model} may be used again`, { ...e }),

    'generation.started': (e) => line('debug', `attempt ${e.attempt} with ${e.model}, prompt of ${e.promptTokens} tokens`, { ...e }),
    'generation.finished': (e) => line('info', finished(e), { ...e }),
    'generation.failed': (e) => line('warn', `${e.model} failed (${e.kind}): ${because(e.error)}`, { ...e }),

    'context.assembled': (e) =>
      line('debug', `prompt of ${e.tokens} of ${e.usableTokens} tokens${e.exact ? '' : ' (estimated)'}`, { ...e }),
    'context.compressed': (e) =>
      line('info', `conversation compressed for ${e.model}: ${e.verbatimMessages} of ${e.totalMessages} messages verbatim`, { ...e }),
    'context.transferred': (e) => line('info', `conversation moved ${e.from} → ${e.to}: ${e.tokens} of ${e.usableTokens} tokens`, { ...e }),
  }
}

/** The decision, not the whole question: the policy's own record keeps that. */
function selected({ request, decision }: MaiEvents['model.selected']): LogLine {
  const { purpose, sessionId, turnId, current, resources } = request
  const { model, reason, contextLength, fallbacks, candidates } = decision
  const fields = {
    sessionId,
    turnId,
    purpose,
    from: current,
    to: model,
    reason,
    contextLength,
    fallbacks,
    candidates,
    availableBytes: resources.memory.availableBytes,
    pressure: resources.level,
  }
  if (model === undefined) return line('warn', `no model can serve (${purpose}): ${reason}`, fields)
  const move = current !== undefined && current !== model ? `${current} → ${model}` : model
  return line('info', `selected ${move}: ${reason}`, fields)
}

/** The beginning of each load; its progress only where everything is asked for. */
function loading(e: MaiEvents['model.loading'], under: Set<string>): LogLine {
  const begins = !under.has(e.model)
  under.add(e.model)
  return line(begins ? 'info' : 'trace', `loading ${e.model}, ${Math.round(e.fraction * 100)} %`, { ...e })
}

function finished(e: MaiEvents['generation.finished']): string {
  const decodeMs = e.ms - e.firstTokenMs
  const rate = decodeMs > 0 ? `, ${((e.usage.completionTokens * 1000) / decodeMs).toFixed(1)} tokens/s` : ''
  return `${e.model} wrote ${e.usage.completionTokens} tokens in ${seconds(e.ms)} (${e.finish})${rate}`
}
