/**
 * References to models that can be fetched: `hf:owner/repo[/file]` (or `hf:owner/repo:Q4_K_M`), `https://…`, `file:…`, `pip:package[==version]`.
 *
 * @module
 */
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { pullErrors } from './errors.ts'

/** Where a model comes from. */
export type ModelReference =
  /** A repository of the Hugging Face hub. `file`: a path in it, or a quantisation; without it the best of its GGUF files is chosen. */
  | { readonly kind: 'hf'; readonly owner: string; readonly repo: string; readonly file: string | undefined }
  /** A GGUF file on a web server. Plain http only from this machine itself. */
  | { readonly kind: 'https'; readonly url: URL }
  /** A file of this machine, absolute. */
  | { readonly kind: 'file'; readonly path: string }
  /** A package of the Python package index that ships a GGUF file. */
  | { readonly kind: 'pip'; readonly name: string; readonly version: string | undefined }

/** Names as the hub allows them. */
const HUB_NAME = /^[A-Za-z0-9][\w.-]{0,95}$/
/** Names and versions as PEP 508 and PEP 440 allow them, without anything that pip would take for an option or a URL. */
const PACKAGE = /^([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)(?:==([A-Za-z0-9][\w.!+-]*))?$/
const LOOPBACK = new Set(['127.0.0.1', '[::1]', 'localhost'])

/** @throws MaiError `MAI_MODEL_REFERENCE` */
export function parseReference(text: string): ModelReference {
  const [, scheme, rest = ''] = /^(hf|https?|file|pip):(.*)$/is.exec(text) ?? []
  switch (scheme?.toLowerCase()) {
    case 'hf':
      return hub(text, rest)
    case 'http':
    case 'https':
      return web(text)
    case 'file':
      return { kind: 'file', path: localPath(text, rest) }
    case 'pip':
      return pip(text, rest)
    default:
      if (/^([./~]|[A-Za-z]:\\)/.test(text) && /\.gguf$/i.test(text)) return { kind: 'file', path: localPath(text, text) }
      throw pullErrors.reference(text, /^[\w.-]+\/[\w.-]+/.test(text) ? `Did you mean hf:${text}?` : undefined)
  }
}

/** The reference as text again. */
export function referenceText(reference: ModelReference): string {
  switch (reference.kind) {
    case 'hf':
      return `hf:${reference.owner}/${reference.repo}${reference.file === undefined ? '' : `/${reference.file}`}`
    case 'https':
      return reference.url.href
    case 'file':
      return `file:${reference.path}`
    case 'pip':
      return `pip:${reference.name}${reference.version === undefined ? '' : `==${reference.version}`}`
  }
}

/** Whether an address may be fetched from: encrypted, or on this machine. */
export function isSafeAddress({ protocol, hostname }: URL): boolean {
  return protocol === 'https:' || (protocol === 'http:' && LOOPBACK.has(hostname))
}

function hub(text: string, rest: string): ModelReference {
  // Both `owner/repo/file.gguf` and `owner/repo:Q4_K_M`, as other tools write it.
  const [owner = '', repo = '', ...parts] = rest.replace(/^\/\//, '').replace(':', '/').split('/')
  if (![owner, repo, ...parts].every((name) => HUB_NAME.test(name))) throw pullErrors.reference(text)
  return { kind: 'hf', owner, repo, file: parts.length > 0 ? parts.join('/') : undefined }
}

function web(text: string): ModelReference {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || !isSafeAddress(url)) throw pullErrors.reference(text, 'Use https; plain http is taken from this machine only.')
  if (url.username || url.password) throw pullErrors.reference(url.host, 'Leave name and password out of the address.')
  if (!/\.gguf$/i.test(url.pathname)) throw pullErrors.reference(text, 'Give the address of one .gguf file.')
  return { kind: 'https', url }
}

function localPath(text: string, rest: string): string {
  if (rest === '' || rest.includes('\0')) throw pullErrors.reference(text)
  if (rest.startsWith('//')) return fileUrl(text)
  return path.resolve(rest.replace(/^~(?=$|[\\/])/, () => os.homedir()))
}

function fileUrl(text: string): string {
  try {
    return fileURLToPath(text)
  } catch {
    throw pullErrors.reference(text)
  }
}

function pip(text: string, rest: string): ModelReference {
  const [, name, version] = PACKAGE.exec(rest) ?? []
  if (name === undefined) throw pullErrors.reference(text)
  return { kind: 'pip', name, version }
}
