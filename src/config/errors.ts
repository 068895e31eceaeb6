/**
 * Each way in which a configuration can be broken.
 *
 * @module
 */
import { MaiError, toErrorFact } from '../core/errors.ts'

export const configErrors = {
  missing: (file: string): MaiError =>
    new MaiError('MAI_CONFIG_MISSING', `There is no configuration file ${file}.`, {
      cure: 'Correct --config, or write one with `mai init`.',
    }),
  untrusted: (file: string, why: string): MaiError =>
    new MaiError('MAI_CONFIG_UNTRUSTED', `${file} ${why}, and a configuration is code that runs with your rights.`, {
      cure: 'Make it yours alone to write (chown, chmod go-w), or set MAI_NO_PROJECT_CONFIG=1.',
    }),
  broken: (file: string, cause: unknown): MaiError =>
    new MaiError('MAI_CONFIG_BROKEN', `${file} cannot be loaded: ${toErrorFact(cause).message}`, {
      cure: 'Mend the file; mai config validate checks it.',
      cause,
    }),
  invalid: (file: string, issues: readonly string[]): MaiError =>
    new MaiError('MAI_CONFIG_INVALID', `${file} is not a valid configuration: ${issues.join('; ')}.`, {
      cure: 'Correct these entries; `mai init` writes a commented example.',
      details: { file, issues },
    }),
  policyMissing: (file: string): MaiError =>
    new MaiError('MAI_CONFIG_MISSING', `There is no policy file ${file}.`, { cure: 'Correct --policy.' }),
  noPolicy: (file: string): MaiError =>
    new MaiError('MAI_CONFIG_INVALID', `${file} exports neither a switching policy nor a plugin that provides one.`, {
      cure: 'Export an object with name, version, initial, reduce, select and onStruggle; see docs/simulate.md.',
    }),
  noExport: (file: string): MaiError =>
    new MaiError('MAI_CONFIG_INVALID', `${file} exports no configuration.`, { cure: 'End it with `export default defineConfig({ … })`.' }),
  unknownDisable: (name: string, names: readonly string[]): MaiError =>
    new MaiError('MAI_CONFIG_INVALID', `disable names "${name}", which is no default plugin.`, {
      cure: `The default plugins are ${names.join(', ')}.`,
    }),
}
