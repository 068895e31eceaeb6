/**
 * The prompt with the history of this person.
 *
 * @module
 */
import path from 'node:path'
import { maiHome } from '../../chat/home.ts'
import { toErrorFact } from '../../core/errors.ts'
import { HistoryFile } from './history-file.ts'
import { PromptInput } from './prompt-input.ts'
import { SLASH_NAMES } from './slash.ts'

/** @param warn told once when the history cannot be kept; the chat goes on without it */
export async function openPrompt(warn: (text: string) => void): Promise<PromptInput> {
  let warned = false
  const failed = (error: unknown): undefined => {
    if (!warned) warn(`the history of the prompt cannot be kept: ${toErrorFact(error).message}`)
    warned = true
    return undefined
  }
  const history = await HistoryFile.open(path.join(maiHome().data, 'prompt-history.jsonl')).catch(failed)
  return new PromptInput({
    stdin: process.stdin,
    stdout: process.stdout,
    history: history?.newestFirst ?? [],
    completions: SLASH_NAMES,
    remember: (entry) => void history?.add(entry).catch(failed),
  })
}
