/**
 * What `mai --help` shows: each command in one line, from the command's own words.
 *
 * @module
 */
import type { CommandClass } from 'clipanion'

/** All commands with their descriptions, and how to go on. */
export function overview(commands: readonly CommandClass[], version: string): string {
  const rows = commands.flatMap((command) =>
    (command.paths ?? []).map((path) => [path.join(' '), command.usage?.description ?? ''] as const),
  )
  const width = Math.max(...rows.map(([name]) => name.length))
  return `mai ${version}: keeps a conversation going on the models of this machine

Usage: mai <command> [options]

${rows.map(([name, description]) => `  ${name.padEnd(width)}  ${description}`).join('\n')}

All commands take --config <file>, --verbose, --quiet, --no-color and --help; most take --json.

  mai chat                    talk
  mai ask "Why is it dark?"   one answer
  mai status                  which model answers, and why
`
}
