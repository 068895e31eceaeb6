/**
 * Where a conversation's lines come from: the line editor of a terminal, or plain lines.
 *
 * @module
 */

/** What happened at the prompt. */
export type Line =
  | { readonly kind: 'line'; readonly text: string }
  /** Ctrl-C; `typed` when it took back something that had been typed. */
  | { readonly kind: 'interrupt'; readonly typed: boolean }
  | { readonly kind: 'end' }

/** A source of lines, read one at a time. */
export interface ChatInput {
  /** A person sits there, and sees a prompt. */
  readonly interactive: boolean
  /** Called for Ctrl-C while nobody reads: an answer is under way. */
  onInterrupt: (() => void) | undefined
  read(prompt: string): Promise<Line>
  /** A SIGINT that another process sent, or that the terminal made of Ctrl-C. */
  interrupt(): void
  /** Keeps a whole entry for ↑. */
  remember(entry: string): void
  close(): void
}
