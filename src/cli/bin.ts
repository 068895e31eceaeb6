#!/usr/bin/env node
/**
 * The program `mai`: finds the command, runs it, maps its end to an exit code.
 *
 * @module
 */
import { Cli, type Command, type CommandClass } from 'clipanion'
import { VERSION } from '../chat/version.ts'
import { AskCommand } from './commands/ask.ts'
import { ChatCommand } from './commands/chat.ts'
import { completionCommand } from './commands/completion.ts'
import { ConfigPathCommand, ConfigShowCommand, ConfigValidateCommand } from './commands/config.ts'
import { DoctorCommand } from './commands/doctor.ts'
import { ModelsEstimateCommand } from './commands/estimate.ts'
import { ExplainCommand } from './commands/explain.ts'
import { InitCommand } from './commands/init.ts'
import { ModelsCommand, ModelsLoadCommand, ModelsShowCommand, ModelsUnloadCommand } from './commands/models.ts'
import { PluginsCommand } from './commands/plugins.ts'
import { ModelsPullCommand, ModelsRecommendCommand, ModelsRmCommand } from './commands/pull.ts'
import {
  SessionsCommand,
  SessionsDeleteCommand,
  SessionsExportCommand,
  SessionsImportCommand,
  SessionsSearchCommand,
  SessionsShowCommand,
} from './commands/sessions.ts'
import { SimulateCommand } from './commands/simulate.ts'
import { StatusCommand } from './commands/status.ts'
import { SwitchCommand } from './commands/switch.ts'
import { jsonText } from './json-text.ts'
import { watchOutput } from './leaving.ts'
import { neutralise } from './neutralise.ts'
import { overview } from './overview.ts'

const COMMANDS: readonly CommandClass[] = [
  AskCommand,
  ChatCommand,
  StatusCommand,
  ModelsCommand,
  ModelsShowCommand,
  ModelsEstimateCommand,
  ModelsLoadCommand,
  ModelsUnloadCommand,
  ModelsPullCommand,
  ModelsRecommendCommand,
  ModelsRmCommand,
  SwitchCommand,
  ExplainCommand,
  SimulateCommand,
  SessionsCommand,
  SessionsShowCommand,
  SessionsSearchCommand,
  SessionsExportCommand,
  SessionsImportCommand,
  SessionsDeleteCommand,
  ConfigPathCommand,
  ConfigShowCommand,
  ConfigValidateCommand,
  PluginsCommand,
  InitCommand,
  DoctorCommand,
  completionCommand(() => COMMANDS),
]

watchOutput()
process.exitCode = await main(process.argv.slice(2))

/** @returns the exit code */
async function main(args: readonly string[]): Promise<number> {
  const [first = '--help'] = args
  if (/^(-h|--help|help)$/.test(first)) process.stdout.write(overview(COMMANDS, VERSION))
  else if (/^(-v|--version)$/.test(first)) process.stdout.write(`${VERSION}\n`)
  else {
    // The parser's work grows with the commands it knows: it is told of those that the first word names.
    const named = COMMANDS.filter((command) => command.paths?.some(([name]) => name === first))
    if (named.length > 0) return run(named, args)
    const names = COMMANDS.flatMap((command) => command.paths?.map(([name = '']) => name) ?? [])
    return first.startsWith('-') ? unknownCommand(first, names, args) : contributed(names, args)
  }
  return 0
}

/** A command of a plugin, if one has it. */
async function contributed(names: readonly string[], args: readonly string[]): Promise<number> {
  const { runContributed } = await import('./contributed.ts')
  const ended = await runContributed(args, Cli.defaultContext)
  return typeof ended === 'number' ? ended : unknownCommand(args[0] ?? '', [...names, ...ended], args)
}

async function run(commands: readonly CommandClass[], args: readonly string[]): Promise<number> {
  const cli = new Cli({
    binaryLabel: 'Mai',
    binaryName: 'mai',
    binaryVersion: VERSION,
    enableColors: process.stdout.isTTY === true && !process.env.NO_COLOR && !args.includes('--no-color'),
  })
  for (const command of commands) cli.register(command)
  let command: Command
  try {
    command = cli.process([...args])
  } catch (error) {
    const [first = '', second = ''] = args
    const seconds = commands.flatMap((known) => known.paths ?? []).flatMap(([, name]) => name ?? [])
    if (seconds.length > 0 && /^\w/.test(second) && !seconds.includes(second)) return unknownCommand(second, seconds, args, first)
    return usageError(error instanceof Error ? error.message : String(error), undefined, args)
  }
  return cli.run(command, { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr })
}

async function unknownCommand(name: string, names: readonly string[], args: readonly string[], group = ''): Promise<number> {
  const { nearest } = await import('../chat/nearest.ts')
  const near = nearest(name, [...new Set(names)]).map((found) => `${group} ${found}`.trim())
  const cure = near.length > 0 ? `Did you mean ${near.join(' or ')}?` : 'See mai --help.'
  const problem = name.startsWith('-') ? 'Options come after a command' : `There is no command${group && ` of ${group}`}`
  return usageError(`${problem}: "${name}".`, cure, args)
}

/** Says what is wrong with the command line; as JSON where that was asked for. @returns the exit code */
function usageError(message: string, cure: string | undefined, args: readonly string[]): number {
  if (args.includes('--json') || args.includes('--stream-json')) {
    process.stdout.write(jsonText({ error: { code: 'MAI_CLI_USAGE', message, cure } }))
  } else process.stderr.write(neutralise(`mai: ${message}\n${cure ? `     ${cure}\n` : ''}`))
  return 2
}
