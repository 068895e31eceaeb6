#!/usr/bin/env node
/**
 * The program `mai`: finds the command, runs it, maps its end to an exit code.
 *
 * @module
 */
import { Builtins, Cli } from 'clipanion'
import { nearest } from '../chat/catalogue.ts'
import { VERSION } from '../chat/version.ts'
import { AskCommand } from './commands/ask.ts'
import { ChatCommand } from './commands/chat.ts'
import { ConfigPathCommand, PluginsCommand } from './commands/config.ts'
import { InitCommand } from './commands/init.ts'
import { ModelsCommand, ModelsLoadCommand, ModelsShowCommand, ModelsUnloadCommand } from './commands/models.ts'
import { SessionsCommand, SessionsDeleteCommand, SessionsShowCommand } from './commands/sessions.ts'
import { StatusCommand } from './commands/status.ts'
import { SwitchCommand } from './commands/switch.ts'

const COMMANDS = [
  AskCommand,
  ChatCommand,
  StatusCommand,
  ModelsCommand,
  ModelsShowCommand,
  ModelsLoadCommand,
  ModelsUnloadCommand,
  SwitchCommand,
  SessionsCommand,
  SessionsShowCommand,
  SessionsDeleteCommand,
  ConfigPathCommand,
  PluginsCommand,
  InitCommand,
  Builtins.HelpCommand,
  Builtins.VersionCommand,
]

// A reader that leaves early is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))

const cli = new Cli({
  binaryLabel: 'Mai',
  binaryName: 'mai',
  binaryVersion: VERSION,
  enableColors: process.stdout.isTTY === true && !process.env.NO_COLOR,
})
for (const command of COMMANDS) cli.register(command)

const args = process.argv.slice(2)
const names = COMMANDS.flatMap((command) => command.paths ?? []).map(([name = '']) => name)
const [first = ''] = args
if (first !== '' && !first.startsWith('-') && !names.includes(first)) {
  const near = nearest(first, [...new Set(names.filter((name) => !name.startsWith('-')))])
  process.stderr.write(
    `mai: There is no command "${first}".\n     ${near.length > 0 ? `Did you mean ${near.join(' or ')}?` : 'See mai --help.'}\n`,
  )
  process.exitCode = 2
} else {
  try {
    const command = cli.process(args.length === 0 ? ['--help'] : args)
    process.exitCode = await cli.run(command, { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr })
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 2
  }
}
