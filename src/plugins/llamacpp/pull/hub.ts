/**
 * The Hugging Face hub: which files a repository has, and where they are.
 *
 * @module
 */
import { z } from 'zod'
import { pullErrors } from './errors.ts'
import { isSafeAddress, type ModelReference, referenceText } from './reference.ts'
import type { Web } from './web.ts'

/** A file to fetch. */
export interface RemoteFile {
  readonly name: string
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly sizeBytes: number | undefined
  readonly sha256: string | undefined
}

type HubReference = Extract<ModelReference, { readonly kind: 'hf' }>

const DEFAULT_ENDPOINT = 'https://huggingface.co'
/** Most bytes of a listing. */
const LISTING_LIMIT = 8 * 1024 * 1024
/** What most people want first: quality falls off below four bits, and size grows above. */
const PREFERRED = ['Q4_K_M', 'Q4_K_S', 'Q4_1', 'Q4_0', 'IQ4_XS', 'IQ4_NL', 'Q5_K_M', 'Q5_K_S', 'Q6_K', 'Q8_0', 'Q3_K_M', 'F16', 'BF16']

/** A file as the hub lists it. */
export interface Listed {
  readonly type: string
  readonly path: string
  readonly size?: number | undefined
  readonly lfs?: { readonly oid?: string | undefined; readonly size?: number | undefined } | undefined
}

const listing: z.ZodType<Listed[]> = z.array(
  z.object({
    type: z.string(),
    path: z.string(),
    size: z.number().optional(),
    lfs: z.object({ oid: z.string().optional(), size: z.number().optional() }).optional(),
  }),
)

/**
 * The files of one model: one, or all parts of a split one, in order.
 * @throws MaiError `MAI_PULL_NETWORK`, `MAI_PULL_REFUSED`, `MAI_PULL_NO_FILE`
 */
export async function hubFiles(
  web: Web,
  reference: HubReference,
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<readonly RemoteFile[]> {
  const endpoint = new URL(env.HF_ENDPOINT ?? DEFAULT_ENDPOINT)
  if (!isSafeAddress(endpoint)) throw pullErrors.network(endpoint.host, new Error('HF_ENDPOINT is not encrypted'))
  const headers: Readonly<Record<string, string>> = env.HF_TOKEN ? { authorization: `Bearer ${env.HF_TOKEN}` } : {}
  const { owner, repo } = reference
  const response = await web.get(new URL(`/api/models/${owner}/${repo}/tree/main?recursive=true`, endpoint), headers, signal)
  if (response.status !== 200) {
    await response.body?.cancel()
    throw pullErrors.answer(`${endpoint.host}/${owner}/${repo}`, response.status)
  }
  const listed = listing.safeParse(await limitedJson(response.body))
  if (!listed.success) throw pullErrors.network(endpoint.host, new Error('its answer is no listing of files'))
  return chosen(listed.data, reference).map(({ path, size, lfs }) => ({
    name: path.split('/').at(-1) ?? path,
    url: new URL(`/${owner}/${repo}/resolve/main/${path.split('/').map(encodeURIComponent).join('/')}`, endpoint),
    headers,
    sizeBytes: lfs?.size ?? size,
    sha256: lfs?.oid && /^[0-9a-f]{64}$/.test(lfs.oid) ? lfs.oid : undefined,
  }))
}

/** The files that a reference means. @throws MaiError `MAI_PULL_NO_FILE` */
function chosen(listed: readonly Listed[], reference: HubReference): readonly Listed[] {
  const models = listed.filter(({ type, path }) => type === 'file' && /\.gguf$/i.test(path) && !/mmproj|imatrix/i.test(path))
  const quantisation = (path: string): number => {
    const found = PREFERRED.findIndex((name) => new RegExp(`(^|[^A-Za-z0-9])${name}([^A-Za-z0-9]|$)`, 'i').test(path))
    return found < 0 ? PREFERRED.length : found
  }
  const wanted = reference.file?.toLowerCase()
  const matching =
    wanted === undefined
      ? [...models].sort((a, b) => quantisation(a.path) - quantisation(b.path))
      : models.filter(({ path }) => path.toLowerCase() === wanted || (!wanted.endsWith('.gguf') && path.toLowerCase().includes(wanted)))
  const [first] = matching
  if (!first) {
    throw pullErrors.noSuchFile(
      referenceText(reference),
      models.map(({ path }) => path),
    )
  }
  const [, stem, count] = /^(.*)-\d{5}-of-(\d{5})\.gguf$/i.exec(first.path) ?? []
  if (stem === undefined) return [first]
  const parts = models.filter(({ path }) => path.startsWith(`${stem}-`) && path.endsWith(`-of-${count}.gguf`))
  return parts.sort((a, b) => (a.path < b.path ? -1 : 1))
}

async function limitedJson(body: AsyncIterable<Uint8Array> | null): Promise<unknown> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body ?? []) {
    size += chunk.length
    if (size > LISTING_LIMIT) return undefined
    chunks.push(chunk)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch {
    return undefined
  }
}
