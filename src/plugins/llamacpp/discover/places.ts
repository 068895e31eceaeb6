/**
 * Where models lie on a machine, in the order in which a file that lies in several of them is named.
 *
 * @module
 */
import { homedir } from 'node:os'
import path from 'node:path'
import { maiHome } from '../../../chat/home.ts'

/** Whose folder it is. */
export type ModelOrigin = 'configuration' | 'mai' | 'lm-studio' | 'ollama' | 'hugging-face' | 'llama.cpp'

/** A place to look in. `ollama`: manifests name the files; otherwise files are found by their ending. */
export interface ModelPlace {
  readonly origin: ModelOrigin
  /** A folder; of the configuration also a file. */
  readonly path: string
}

type Environment = Readonly<Record<string, string | undefined>>

/** Mai's own folder of models. */
export function modelsFolder(env: Environment = process.env): string {
  return path.join(maiHome(env).data, 'models')
}

/** @param configured paths of the configuration, `~` allowed */
export function modelPlaces(configured: readonly string[], env: Environment = process.env, home: string = homedir()): ModelPlace[] {
  const own = (name: string | undefined, ...otherwise: string[]): string => (name ? path.resolve(name) : path.join(home, ...otherwise))
  const cache = own(env.XDG_CACHE_HOME, '.cache')
  const llamaCache = process.platform === 'darwin' ? path.join(home, 'Library', 'Caches', 'llama.cpp') : path.join(cache, 'llama.cpp')
  const hub = env.HF_HUB_CACHE ?? (env.HF_HOME ? path.join(env.HF_HOME, 'hub') : path.join(cache, 'huggingface', 'hub'))
  return [
    ...configured.map((each): ModelPlace => ({ origin: 'configuration', path: path.resolve(each.replace(/^~(?=$|[\\/])/, () => home)) })),
    { origin: 'mai', path: modelsFolder(env) },
    { origin: 'lm-studio', path: path.join(home, '.lmstudio', 'models') },
    { origin: 'lm-studio', path: path.join(home, '.cache', 'lm-studio', 'models') },
    { origin: 'ollama', path: own(env.OLLAMA_MODELS, '.ollama', 'models') },
    { origin: 'hugging-face', path: hub },
    { origin: 'llama.cpp', path: env.LLAMA_CACHE ?? llamaCache },
  ]
}
