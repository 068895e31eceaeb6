import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

const read = (file: string): string => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
}

interface Locked {
  readonly version: string
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

const manifest = JSON.parse(read('package.json')) as Manifest
const locked = (JSON.parse(read('package-lock.json')) as { packages: Record<string, Locked> }).packages

/** Package names in the first column of the tables below a heading. */
function explained(heading: string): string[] {
  const [, section = ''] = read('docs/dependencies.md').split(`## ${heading}\n`)
  const rows = (section.split('\n## ')[0] ?? '').split('\n').filter((line) => line.startsWith('| `'))
  return rows.flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? '')).sort()
}

/** Whether a package that lies at `from` finds `name`, as Node looks for it. */
function finds(from: string, name: string): boolean {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
    if (locked[folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`] !== undefined) return true
    if (!folder.includes('/node_modules/')) return locked[`node_modules/${name}`] !== undefined
  }
}

describe('dependencies', () => {
  it('says of each runtime dependency why it is there', () => {
    expect(explained('Runtime')).toEqual(Object.keys(manifest.dependencies).sort())
  })

  it('says of each development dependency why it is there', () => {
    // An optional peer is also installed here, for its types and tests; the page names it apart.
    const development = Object.keys(manifest.devDependencies).filter((name) => manifest.peerDependencies[name] === undefined)
    expect(explained('Development')).toEqual(development.sort())
  })

  it("locks every platform's packages, so that npm ci installs from the lockfile everywhere", () => {
    const missing = Object.entries(locked).flatMap(([from, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter((name) => !finds(from, name)),
    )
    expect(missing).toEqual([])
  })
})
