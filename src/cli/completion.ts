/**
 * Scripts that complete commands and options in a shell, made from the commands themselves.
 *
 * @module
 */
import type { CommandClass } from 'clipanion'

/** Shells that can be completed in. */
export const SHELLS = ['bash', 'zsh', 'fish', 'powershell'] as const
export type Shell = (typeof SHELLS)[number]

/** A word of the command line and what it does. */
export interface Completion {
  /** Words before it: nothing, or the name of a command. */
  readonly after: string
  readonly word: string
  readonly description: string
}

/** Commands, and their second words. */
export function completionsOf(commands: readonly CommandClass[]): Completion[] {
  const found = commands.flatMap((command) =>
    (command.paths ?? []).map(([first = '', second]) => ({
      after: second === undefined ? '' : first,
      word: second ?? first,
      description: command.usage?.description ?? '',
    })),
  )
  const seen = new Set<string>()
  const groups = found.filter(({ after }) => after !== '').map(({ after }) => ({ after: '', word: after, description: '' }))
  return [...found, ...groups].filter(({ after, word }) => !seen.has(`${after} ${word}`) && seen.add(`${after} ${word}`))
}

/** Options that every command takes. */
const OPTIONS = ['--config', '--verbose', '--quiet', '--no-color', '--json', '--help']

/** The script of a shell. */
export function completionScript(shell: Shell, completions: readonly Completion[]): string {
  const groups = new Map<string, Completion[]>()
  for (const completion of completions) groups.set(completion.after, [...(groups.get(completion.after) ?? []), completion])
  return { bash, zsh, fish, powershell }[shell](groups)
}

type Groups = ReadonlyMap<string, readonly Completion[]>

const words = (completions: readonly Completion[] | undefined): string => (completions ?? []).map(({ word }) => word).join(' ')
/** Inside single quotes of a POSIX shell. */
const quoted = (text: string): string => text.replace(/'/g, "'\\''")

function bash(groups: Groups): string {
  const cases = [...groups].filter(([after]) => after !== '').map(([after, inner]) => `    ${after}) words='${words(inner)}' ;;`)
  return `_mai() {
  local words=''
  COMPREPLY=()
  case "\${COMP_CWORD}:\${COMP_WORDS[1]}" in
    1:*) words='${words(groups.get(''))}' ;;
    2:*) case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
    esac ;;
  esac
  case "\${COMP_WORDS[COMP_CWORD]}" in -*) words='${OPTIONS.join(' ')}' ;; esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _mai mai
`
}

function zsh(groups: Groups): string {
  const described = (inner: readonly Completion[] | undefined): string =>
    (inner ?? []).map(({ word, description }) => `'${quoted(word)}:${quoted(description)}'`).join(' ')
  const cases = [...groups].filter(([after]) => after !== '').map(([after, inner]) => `      ${after}) inner=(${described(inner)}) ;;`)
  return `#compdef mai
_mai() {
  local -a commands inner
  if [[ "$PREFIX" == -* ]]; then
    compadd -- ${OPTIONS.join(' ')}
  elif (( CURRENT == 2 )); then
    commands=(${described(groups.get(''))})
    _describe command commands
  elif (( CURRENT == 3 )); then
    case "$words[2]" in
${cases.join('\n')}
    esac
    (( $#inner )) && _describe command inner || _files
  else
    _files
  fi
}
compdef _mai mai
`
}

function fish(groups: Groups): string {
  const line = (condition: string, { word, description }: Completion): string =>
    `complete -c mai -f -n '${condition}' -a '${quoted(word)}' -d '${quoted(description)}'`
  return `${[...groups]
    .flatMap(([after, inner]) => {
      const names = words(inner)
      const condition =
        after === '' ? '__fish_use_subcommand' : `__fish_seen_subcommand_from ${after}; and not __fish_seen_subcommand_from ${names}`
      return inner.map((completion) => line(condition, completion))
    })
    .concat(OPTIONS.map((option) => `complete -c mai -l ${option.slice(2)}`))
    .join('\n')}
`
}

function powershell(groups: Groups): string {
  const list = (inner: readonly Completion[] | undefined): string => (inner ?? []).map(({ word }) => `'${word}'`).join(', ')
  const cases = [...groups].filter(([after]) => after !== '').map(([after, inner]) => `    '${after}' { $words = @(${list(inner)}) }`)
  return `Register-ArgumentCompleter -Native -CommandName mai -ScriptBlock {
  param($word, $ast, $position)
  $typed = @($ast.CommandElements | ForEach-Object { $_.ToString() })
  $words = @(${list(groups.get(''))})
  if ($typed.Count -gt 2 -or ($typed.Count -eq 2 -and $word -eq '')) {
    $words = @()
    switch ($typed[1]) {
${cases.join('\n')}
    }
  }
  if ($word -like '-*') { $words = @(${OPTIONS.map((option) => `'${option}'`).join(', ')}) }
  $words | Where-Object { $_ -like "$word*" } | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
  }
}
`
}
