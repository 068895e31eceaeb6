/**
 * Errors of OpenAI-compatible servers, as they write them.
 *
 * @module
 */

/** A refusal: its status and its body. */
export interface WireRefusal {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

const BY_STATUS: Readonly<Record<number, Readonly<Record<string, unknown>>>> = {
  401: { message: 'Incorrect API key provided.', type: 'invalid_request_error', param: null, code: 'invalid_api_key' },
  404: { message: 'The model does not exist.', type: 'invalid_request_error', param: null, code: 'model_not_found' },
  429: { message: 'Rate limit reached for requests.', type: 'requests', param: null, code: 'rate_limit_exceeded' },
  500: { message: 'The server had an error while processing your request.', type: 'server_error', param: null, code: null },
  503: { message: 'The engine is currently overloaded, please try again later.', type: 'server_error', param: null, code: null },
}

/** What OpenAI says with a status. */
export function refusalOf(status: number, error?: Readonly<Record<string, unknown>>): WireRefusal {
  return {
    status,
    body: { error: error ?? BY_STATUS[status] ?? { message: `Status ${status}.`, type: 'server_error', param: null, code: null } },
  }
}

/** A bad request, in OpenAI's words. */
export function invalid(message: string, param: string | null = null): WireRefusal {
  return refusalOf(400, { message, type: 'invalid_request_error', param, code: null })
}

/** A prompt that is too long, in one server's words. */
export function overflow(words: 'openai' | 'vllm' | 'llama.cpp' | 'ollama', window: number, prompt: number): WireRefusal {
  const says = `This model's maximum context length is ${window} tokens.`
  switch (words) {
    case 'openai':
      return refusalOf(400, {
        message: `${says} However, your messages resulted in ${prompt} tokens. Please reduce the length of the messages.`,
        type: 'invalid_request_error',
        param: 'messages',
        code: 'context_length_exceeded',
      })
    case 'vllm':
      return {
        status: 400,
        body: {
          object: 'error',
          message: `${says} However, you requested ${prompt} tokens in the messages.`,
          type: 'BadRequestError',
          code: 400,
        },
      }
    case 'llama.cpp':
      return refusalOf(400, {
        code: 400,
        message: `request (${prompt} tokens) exceeds the available context size (${window} tokens), try increasing it`,
        type: 'exceed_context_size_error',
        n_prompt_tokens: prompt,
        n_ctx: window,
      })
    case 'ollama':
      return refusalOf(400, { message: 'the input length exceeds the context length', type: 'api_error', param: null, code: null })
  }
}

/** A provider's filter that refuses a prompt, as Azure says it. */
export function filtered(reason: string): WireRefusal {
  return refusalOf(400, {
    message: reason,
    type: null,
    param: 'prompt',
    code: 'content_filter',
    status: 400,
    innererror: { code: 'ResponsibleAIPolicyViolation' },
  })
}
