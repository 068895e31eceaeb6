/**
 * Prompts of models that think before they answer.
 *
 * @module
 */

const OPEN = '<think>'
const CLOSE = '</think>'

/**
 * Some templates open the reasoning themselves, so that the answer begins inside it.
 * @param continueFrom what has been answered already, without reasoning
 * @returns the whole prompt, and what the answer begins with unsaid
 */
export function answerPrompt(rendered: string, continueFrom: string): { readonly prompt: string; readonly opening: string } {
  if (!rendered.trimEnd().endsWith(OPEN)) return { prompt: rendered + continueFrom, opening: '' }
  if (continueFrom === '') return { prompt: rendered, opening: OPEN }
  return { prompt: `${rendered}\n${CLOSE}\n\n${continueFrom}`, opening: '' }
}
