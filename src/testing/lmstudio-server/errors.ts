/**
 * Errors in the form and with the messages that LM Studio sends.
 *
 * @module
 */

/** An error as it crosses the wire. */
export interface SerializedError {
  readonly title: string
  readonly rootTitle: string
  readonly cause?: string
  readonly suggestion?: string
  readonly displayData?: Readonly<Record<string, unknown>>
}

/** Thrown by endpoint handlers; the connection sends its `wire` form. */
export class WireError extends Error {
  readonly wire: SerializedError

  constructor(title: string, details: Omit<SerializedError, 'title' | 'rootTitle'> = {}) {
    super(title)
    this.name = 'WireError'
    this.wire = { title, rootTitle: title, ...details }
  }
}

/** Any error as it crosses the wire. */
export function toWire(error: unknown): SerializedError {
  if (error instanceof WireError) return error.wire
  const title = error instanceof Error ? error.message : String(error)
  return { title, rootTitle: title }
}

/** How many names LM Studio lists in an error. */
const SAMPLE = 10

export const wireErrors = {
  pathNotFound: (path: string, available: readonly string[]): WireError =>
    new WireError('Model not found', {
      displayData: { code: 'generic.pathNotFound', path, availablePathsSample: available.slice(0, SAMPLE), totalModels: available.length },
    }),
  domainMismatch: (path: string): WireError =>
    new WireError('Model has wrong domain', {
      displayData: { code: 'generic.domainMismatch', path, actualDomain: 'llm', expectedDomain: 'embedding' },
    }),
  identifierNotFound: (identifier: string, loaded: readonly string[]): WireError =>
    new WireError('Cannot find a model with the given identifier', {
      displayData: {
        code: 'generic.identifierNotFound',
        identifier,
        loadedModelsSample: loaded.slice(0, SAMPLE),
        totalLoadedModels: loaded.length,
      },
    }),
  noModelMatching: (query: object, loaded: readonly string[]): WireError =>
    new WireError('No model found that fits the query', {
      displayData: {
        code: 'generic.noModelMatchingQuery',
        query,
        loadedModelsSample: loaded.slice(0, SAMPLE),
        totalLoadedModels: loaded.length,
      },
    }),
  modelUnloaded: (): WireError => new WireError('Model unloaded', { displayData: { code: 'generic.specificModelUnloaded' } }),
  identifierTaken: (identifier: string): WireError => new WireError(`A model with identifier "${identifier}" is already loaded.`),
  guardrail: (bytes: number): WireError =>
    new WireError(
      'Model loading was stopped due to insufficient system resources. Under the current settings, this model requires approximately ' +
        `${(bytes / 1e9).toFixed(2)} GB of memory, and continuing to load it would likely overload your system and cause it to freeze. ` +
        'If you think this is incorrect, you can adjust the model loading guardrails in settings.',
    ),
  loadFailed: (message: string): WireError => new WireError(message),
  crashed: (exitCode: number): WireError => new WireError(`The model has crashed without additional information. (Exit code: ${exitCode})`),
  contextOverflow: (promptTokens: number, contextLength: number): WireError =>
    new WireError(
      `Trying to keep the first ${promptTokens} tokens when context the overflows. However, the model is loaded with context length of ` +
        `only ${contextLength} tokens, which is not enough. Try to load the model with a larger context length, or provide a shorter input`,
    ),
} as const
