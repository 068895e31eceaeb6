/**
 * Calls of tools, put together from their pieces.
 *
 * @module
 */
import type { GenerationPiece } from '../../chat/backend.ts'
import { isRecord } from './errors.ts'

/** A call that is being written. */
interface Call {
  id: string | undefined
  name: string
  arguments: string
}

/** Gathers what the pieces of one answer say of calls. */
export class ToolCalls {
  readonly #calls: Map<number, Call> = new Map()

  /** @param deltas `delta.tool_calls` of a piece. @returns whether it said anything */
  push(deltas: unknown): boolean {
    if (!Array.isArray(deltas) || deltas.length === 0) return false
    for (const [position, delta] of deltas.entries()) {
      if (!isRecord(delta)) continue
      // Servers that send calls whole leave the index out.
      const index = typeof delta.index === 'number' ? delta.index : this.#calls.size + position
      const call = this.#calls.get(index) ?? { id: undefined, name: '', arguments: '' }
      const named = isRecord(delta.function) ? delta.function : {}
      if (typeof delta.id === 'string' && delta.id !== '') call.id ??= delta.id
      if (typeof named.name === 'string') call.name += named.name
      if (typeof named.arguments === 'string') call.arguments += named.arguments
      else if (isRecord(named.arguments)) call.arguments += JSON.stringify(named.arguments)
      this.#calls.set(index, call)
    }
    return true
  }

  /** The calls, whole. */
  pieces(): GenerationPiece[] {
    return [...this.#calls].map(([index, { id, name, arguments: json }]) => ({
      type: 'tool-call',
      callId: id ?? `call-${index}`,
      name,
      arguments: json === '' ? '{}' : json,
    }))
  }
}
