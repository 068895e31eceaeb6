/**
 * A model's own chat template (Jinja), and a plain one for files that bring none.
 *
 * @module
 */
import { backendError } from '../../chat/failure.ts'
import { toErrorFact } from '../../core/errors.ts'

/** One message as templates know it. */
export interface TemplateMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool'
  readonly content: string
}

/** What a template is rendered with. */
export interface TemplateTokens {
  readonly bos: string
  readonly eos: string
}

/** ChatML, which most models that come without a template were trained on. */
const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

/** Gives the raw prompt, up to where the answer begins. @throws MaiError `MAI_REQUEST_INVALID` */
export type ChatTemplate = (messages: readonly TemplateMessage[], tokens: TemplateTokens) => string

/** @param source the template of the file; undefined: {@link CHATML} @throws MaiError `MAI_LOAD_FAILED` for one that cannot be read */
export async function chatTemplate(source: string | undefined): Promise<ChatTemplate> {
  const { Template } = await import('@huggingface/jinja')
  const parse = (text: string): InstanceType<typeof Template> => {
    try {
      return new Template(text)
    } catch (error) {
      throw backendError('MAI_LOAD_FAILED', `The model's chat template cannot be read: ${toErrorFact(error).message}`, { cause: error })
    }
  }
  const template = parse(source ?? CHATML)
  const render = (messages: readonly TemplateMessage[], { bos, eos }: TemplateTokens): string =>
    template.render({ messages, bos_token: bos, eos_token: eos, add_generation_prompt: true, enable_thinking: false })
  return (messages, tokens) => {
    let failure: unknown
    // Some templates refuse system messages, others two messages of one role in a row.
    for (const shaped of [messages, systemInUser(messages), alternating(systemInUser(messages))]) {
      try {
        return render(shaped, tokens)
      } catch (error) {
        failure ??= error
      }
    }
    throw backendError('MAI_REQUEST_INVALID', `The model's chat template refuses this conversation: ${toErrorFact(failure).message}`, {
      cause: failure,
    })
  }
}

/** Puts what the system says at the head of the first message of the user. */
function systemInUser(messages: readonly TemplateMessage[]): TemplateMessage[] {
  const system = messages.filter(({ role }) => role === 'system').map(({ content }) => content)
  const others = messages.filter(({ role }) => role !== 'system')
  if (system.length === 0) return others
  const [first] = others
  if (first?.role !== 'user') return [{ role: 'user', content: system.join('\n\n') }, ...others]
  return [{ role: 'user', content: [...system, first.content].join('\n\n') }, ...others.slice(1)]
}

/** Joins neighbours of one role; what tools said counts as the user's. */
function alternating(messages: readonly TemplateMessage[]): TemplateMessage[] {
  const joined: TemplateMessage[] = []
  for (const message of messages) {
    const role = message.role === 'tool' ? 'user' : message.role
    const last = joined.at(-1)
    if (last?.role === role) joined[joined.length - 1] = { role, content: `${last.content}\n\n${message.content}` }
    else joined.push({ role, content: message.content })
  }
  return joined
}
