/**
 * The assembler over a store's file, as a turn asks it.
 *
 * @module
 */
import type { PromptMessage } from '../../src/chat/backend.ts'
import type { Message } from '../../src/chat/message.ts'
import { assemble, type CompressionOptions, type SizedPrompt } from '../../src/plugins/compression/assemble.ts'
import { Excerpts } from '../../src/plugins/compression/excerpts.ts'
import { KeptTails, KnownLengths } from '../../src/plugins/compression/history.ts'
import { Remembered } from '../../src/plugins/compression/remembered.ts'
import { TokenEstimator } from '../../src/plugins/compression/tokens.ts'
import type { OpenStore } from '../../src/plugins/store/store.ts'

/** Asks for a prompt. */
export interface Ask {
  readonly message: Message
  readonly model: string
  readonly contextLength: number
  readonly options: CompressionOptions
  readonly exact?: (messages: readonly PromptMessage[]) => number
}

/** The defaults of the plugin. */
export const DEFAULTS: CompressionOptions = { prepareAt: 0.7, condenseAt: 0.9, condenseTo: 0.5, extractShare: 0.15 }

/** One assembler, with what it remembers. */
export function openAssembler(store: OpenStore): { readonly tokens: TokenEstimator; assemble(ask: Ask): Promise<SizedPrompt> } {
  const tokens = new TokenEstimator()
  const shared = {
    tokens,
    store,
    remembered: new Remembered(tokens),
    lengths: new KnownLengths(),
    tails: new KeptTails(),
    excerpts: new Excerpts(tokens),
  }
  return {
    tokens,
    assemble: ({ message, model, contextLength, options, exact }) =>
      assemble(
        {
          sessionId: message.sessionId,
          turnId: message.turnId,
          model,
          window: { contextLength, reserveTokens: Math.min(1024, Math.floor(contextLength / 4)) },
          sections: [],
          message,
          history: { page: (limit, before = message.seq) => store.messages(message.sessionId, { limit, before }) },
          partial: '',
          exactCount: async (messages) => exact?.(messages),
        },
        { ...shared, options },
      ),
  }
}
