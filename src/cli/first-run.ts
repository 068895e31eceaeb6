/**
 * The first run: no backend, no model. Says in two lines what would be fetched, asks, fetches, and lets the answer begin.
 *
 * @module
 */
import type { Mai } from '../chat/mai.ts'
import { isMaiError, MaiError } from '../core/errors.ts'
import { type CatalogueEntry, engineInstalled, FIRST_MODEL } from '../plugins/llamacpp/index.ts'
import type { MaiCommand } from './base.ts'
import { isTerminal } from './terminal/colour.ts'
import { bytesText } from './terminal/progress.ts'

/** How a person or a script has agreed beforehand. */
export interface Consent {
  /** `--yes`. */
  readonly yes: boolean
  readonly env?: Readonly<Record<string, string | undefined>>
}

/**
 * Makes sure that there is a model at all. Costs nothing where there is one: the turn asks the same question.
 * @returns whether a model was fetched
 * @throws MaiError `MAI_NOTHING_SERVES` with the exact command, where nobody agreed
 */
export async function ensureFirstModel(command: MaiCommand, mai: Mai, consent: Consent): Promise<boolean> {
  const nothing = await nothingServes(mai)
  if (!nothing) return false
  // Without the embedded engine a file would help nobody.
  if (!mai.models.backends().some(({ name }) => name === 'llamacpp') || !engineInstalled()) throw nothing
  const env = consent.env ?? process.env
  const agreed = consent.yes || (!isTerminal(command.context.stdin) && env.MAI_AUTO_PULL === '1') || (await asked(command))
  if (!agreed) {
    const { problem } = nothing
    throw new MaiError('MAI_NOTHING_SERVES', problem, {
      cure: `${nothing.cure ?? ''} With --yes Mai fetches it by itself (${offer(FIRST_MODEL)}).`,
      cause: nothing,
    })
  }
  const { pulledText, pullWatched } = await import('./pulling.ts')
  command.notice(pulledText(await pullWatched(command, FIRST_MODEL.name)))
  await mai.models.list()
  return true
}

async function nothingServes(mai: Mai): Promise<MaiError | undefined> {
  try {
    await mai.models.ready()
    return undefined
  } catch (error) {
    if (isMaiError(error) && error.code === 'MAI_NOTHING_SERVES') return error
    throw error
  }
}

function offer({ title, sizeBytes, licence }: CatalogueEntry): string {
  return `${title}, ${bytesText(sizeBytes)}, licence ${licence}`
}

/** Asks on a terminal. */
async function asked(command: MaiCommand): Promise<boolean> {
  const { stdin, stderr } = command.context
  if (!isTerminal(stdin) || !isTerminal(stderr)) return false
  stderr.write(`There is no model on this machine yet, and no LM Studio is running.\nMai can fetch one: ${offer(FIRST_MODEL)}.\n`)
  stderr.write('Fetch it now? [Y/n] ')
  // The terminal's own line editing is enough for a letter, and leaves the input as the chat wants to find it.
  const answer = await new Promise<string | undefined>((resolve) => {
    const end = (text: string | undefined): void => {
      stdin.off('data', heard).off('end', ended).pause()
      resolve(text)
    }
    const heard = (data: Buffer | string): void => end(String(data))
    const ended = (): void => end(undefined)
    stdin.on('data', heard).on('end', ended)
  })
  if (answer === undefined) stderr.write('\n')
  return answer !== undefined && /^\s*(y(es)?)?\s*$/i.test(answer)
}
