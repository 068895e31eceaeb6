/** `mai init`: write a commented configuration. */
import { Command } from 'clipanion'
import { MaiError } from '../../core/errors.ts'
import { MaiCommand } from '../base.ts'

const EXAMPLE = `import { defineConfig } from 'mai'
// import { lmstudio } from 'mai/plugins/lmstudio'
// import { llamacpp } from 'mai/plugins/llamacpp'
// import { struggle } from 'mai/plugins/struggle'
// import { switching } from 'mai/plugins/switching'

// The default set runs underneath; a plugin here replaces the default one of its name or slot.
export default defineConfig({
  plugins: [
    // lmstudio({ baseUrl: 'ws://127.0.0.1:1234' }),
    // llamacpp({ paths: ['~/models'] }),
    // switching({ dwellMs: 30_000 }),
    // struggle({ stall: { gapMs: 60_000 } }),
  ],
  // By model key, by id, or '*' for all.
  models: { '*': {} },
})
`

export class InitCommand extends MaiCommand {
  static override paths = [['init']]
  static override usage = Command.Usage({ description: 'Write a commented mai.config.ts', examples: [['Write', 'mai init']] })

  async run(): Promise<number> {
    const { writeFile } = await import('node:fs/promises')
    const file = 'mai.config.ts'
    await writeFile(file, EXAMPLE, { flag: 'wx' }).catch((cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EEXIST' ? `${file} exists already.` : `${file} cannot be written: ${cause.message}`
      throw new MaiError('MAI_USAGE', why, { cure: 'Edit it, or move it away first.', cause })
    })
    this.context.stdout.write(`wrote ${file}\n`)
    return 0
  }
}
