/** `mai completion <shell>`: what a shell needs to complete commands. */
import { Command, type CommandClass, Option } from 'clipanion'
import { MaiError } from '../../core/errors.ts'
import { MaiCommand } from '../base.ts'

/** @param commands all that are to be completed, asked when the script is made */
export function completionCommand(commands: () => readonly CommandClass[]): CommandClass {
  return class CompletionCommand extends MaiCommand {
    static override paths = [['completion']]
    static override usage = Command.Usage({
      description: 'A script that completes commands in bash, zsh, fish or PowerShell',
      examples: [
        ['In bash, for this shell', 'source <(mai completion bash)'],
        ['In zsh', 'mai completion zsh > ~/.zfunc/_mai'],
        ['In fish', 'mai completion fish > ~/.config/fish/completions/mai.fish'],
        ['In PowerShell', 'mai completion powershell | Out-String | Invoke-Expression'],
      ],
    })
    shell: string = Option.String()

    async run(): Promise<number> {
      const { completionScript, completionsOf, SHELLS } = await import('../completion.ts')
      const shell = SHELLS.find((name) => name === this.shell.toLowerCase())
      if (!shell)
        throw new MaiError('MAI_USAGE', `There is no completion for "${this.shell}".`, { cure: `Shells are ${SHELLS.join(', ')}.` })
      this.context.stdout.write(completionScript(shell, completionsOf(commands())))
      return 0
    }
  }
}
