/**
 * Texts of kinds that few machines have lying about, made from the real data of the packages here:
 * logs, tables, answers of models, encoded bytes.
 *
 * @module
 */
import type { Sample } from './corpus.ts'

/** What is known of a package. */
export interface PackageFacts {
  readonly name: string
  readonly version: string
  readonly description: string
  readonly license: string
  readonly dependencies: readonly string[]
  readonly bytes: number
}

/** A repeatable random number from 0 to 1, by Lehmer's generator. */
export function seeded(seed: number): () => number {
  let state = (seed * 2_654_435_761) % 2_147_483_647 || 1
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}

/** @param bytes any real binary data */
export function generated(packages: readonly PackageFacts[], bytes: Buffer): Sample[] {
  const random = seeded(17)
  const groups = Array.from({ length: Math.ceil(packages.length / 40) }, (_, n) => packages.slice(n * 40, n * 40 + 40)).filter(
    (group) => group.length > 10,
  )
  const samples: Sample[] = []
  const add = (kind: string, name: string, text: string): unknown => samples.push({ kind, name, text })
  groups.forEach((group, n) => {
    add('log', `install ${n}`, installLog(group, random))
    add('log', `server ${n}`, serverLog(group, random))
    add('log', `progress ${n}`, progressLog(group, random))
    add('table', `Markdown ${n}`, markdownTable(group))
    add(
      'table',
      `CSV ${n}`,
      group.map((one) => `${one.name},${one.version},${one.license},${one.bytes},${one.dependencies.length}`).join('\n'),
    )
    add('answer', `bullets ${n}`, bullets(group))
    add('answer', `steps ${n}`, steps(group, random))
    add(
      'answer',
      `JSON ${n}`,
      `Here is the list:\n\n\`\`\`json\n${JSON.stringify(
        group.map(({ dependencies: _, ...one }) => one),
        null,
        2,
      )}\n\`\`\`\n`,
    )
    add('answer', `code ${n}`, similarCode(group))
    add(
      'data',
      `SQL ${n}`,
      group
        .map((one, id) => `INSERT INTO packages VALUES (${id}, '${one.name}', '${one.version}', '${one.license}', ${one.bytes});`)
        .join('\n'),
    )
    add(
      'data',
      `INI ${n}`,
      group
        .map((one) => `[${one.name}]\nversion = ${one.version}\nenabled = true\nlicence = ${one.license}\nsize = ${one.bytes}\n`)
        .join('\n'),
    )
    const part = bytes.subarray((n * 6000) % Math.max(1, bytes.length - 6000)).subarray(0, 6000)
    add('data', `base64 ${n}`, part.toString('base64').replace(/.{76}/g, '$&\n'))
    add('data', `hex dump ${n}`, hexDump(part.subarray(0, 2000)))
    add('data', `path ${n}`, svgPath(random))
  })
  add('answer', 'times tables', timesTables())
  add('answer', 'long division', arithmetic())
  add('table', 'times table', timesGrid())
  add('answer', 'haiku', haiku(packages))
  return samples
}

function stamp(at: number): string {
  return new Date(1_700_000_000_000 + at).toISOString()
}

function installLog(group: readonly PackageFacts[], random: () => number): string {
  let at = 0
  return group
    .flatMap((one) => {
      at += Math.floor(random() * 900)
      const ms = Math.floor(random() * 400)
      return [
        `${stamp(at)} http fetch GET 200 https://registry.example/${one.name} ${ms}ms (cache ${random() < 0.5 ? 'hit' : 'miss'})`,
        ...one.dependencies
          .slice(0, 4)
          .map((name) => `${stamp(at + ms)} silly placeDep ROOT ${name}@${one.version} OK for: ${one.name}@${one.version}`),
        `${stamp(at + ms)} info extract ${one.name}@${one.version} (${one.bytes} bytes)`,
      ]
    })
    .join('\n')
}

function serverLog(group: readonly PackageFacts[], random: () => number): string {
  let at = 0
  return Array.from({ length: 160 }, () => {
    at += Math.floor(random() * 3000)
    const one = group[Math.floor(random() * group.length)]
    const status = random() < 0.9 ? 200 : random() < 0.5 ? 304 : 404
    return `10.0.${Math.floor(random() * 4)}.${Math.floor(random() * 255)} - - [${stamp(at)}] "GET /packages/${one?.name} HTTP/1.1" ${status} ${Math.floor(random() * 9000)} "-" "Mozilla/5.0 (X11; Linux x86_64)"`
  }).join('\n')
}

function progressLog(group: readonly PackageFacts[], random: () => number): string {
  return group
    .map((one, n) => {
      const percent = Math.floor((n * 100) / group.length)
      const result = random() < 0.95 ? 'ok' : 'FAILED'
      return `[${String(percent).padStart(3)}%] Building ${one.name}.o\ntest ${one.name.replace(/\W+/g, '::')}::round_trip ... ${result}\ntest ${one.name.replace(/\W+/g, '::')}::empty_input ... ${result}\nEpoch ${n + 1}/${group.length} - loss: ${(random() * 2).toFixed(4)} - accuracy: ${random().toFixed(4)}`
    })
    .join('\n')
}

function markdownTable(group: readonly PackageFacts[]): string {
  const rows = group.map((one) => `| ${one.name} | ${one.version} | ${one.license} | ${one.dependencies.length > 0 ? 'yes' : 'no'} | – |`)
  return `| Package | Version | Licence | Dependencies | Notes |\n| --- | --- | --- | --- | --- |\n${rows.join('\n')}\n`
}

function bullets(group: readonly PackageFacts[]): string {
  const lines = group.map(
    (one, n) =>
      `${n % 2 ? '-' : `${n + 1}.`} **${one.name}**: This package provides ${one.description.toLowerCase()} It is released under the ${one.license} licence.`,
  )
  return `Here are the packages that you asked for:\n\n${lines.join('\n')}\n\nLet me know if you need more detail.\n`
}

function steps(group: readonly PackageFacts[], random: () => number): string {
  let total = 0
  const lines = group.slice(0, 24).map((one, n) => {
    const more = Math.floor(random() * 90) + 10
    const before = total
    total += more
    return `**Step ${n + 1}:** Add the ${more} files of ${one.name} to the total. ${before} + ${more} = ${total}. So we now have ${total} files.\n`
  })
  return `Let us count them one by one.\n\n${lines.join('\n')}\nThe answer is ${total}.\n`
}

function similarCode(group: readonly PackageFacts[]): string {
  const id = (name: string): string => name.replace(/\W+/g, '_')
  const imports = group.map((one) => `import ${id(one.name)} from '${one.name}'`)
  const checks = group.map((one) => `  if (name === '${one.name}') {\n    return ${id(one.name)}.version\n  }`)
  return `You can write it like this:\n\n\`\`\`js\n${imports.join('\n')}\n\nexport function versionOf(name) {\n${checks.join('\n')}\n  throw new Error(\`unknown package \${name}\`)\n}\n\`\`\`\n\nEach package is asked by name.\n`
}

function hexDump(part: Buffer): string {
  return Array.from({ length: Math.ceil(part.length / 16) }, (_, n) => {
    const row = part.subarray(n * 16, n * 16 + 16)
    const hex = [...row].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    return `${(n * 16).toString(16).padStart(8, '0')}  ${hex}  |${row.toString('latin1').replace(/[^ -~]/g, '.')}|`
  }).join('\n')
}

function svgPath(random: () => number): string {
  const number = (): string => (random() * 40 - 20).toFixed(2)
  const curves = Array.from({ length: 200 }, () =>
    random() < 0.5 ? `c${number()},${number()} ${number()},${number()} ${number()},${number()}` : `l${number()} ${number()}`,
  )
  return `<svg viewBox="0 0 100 100"><path d="M0 0${curves.join(' ')}z"/></svg>`
}

function timesTables(): string {
  return Array.from(
    { length: 10 },
    (_, a) =>
      `The table of ${a + 1}:\n\n${Array.from({ length: 10 }, (_, b) => `${b + 1} × ${a + 1} = ${(a + 1) * (b + 1)}`).join('\n')}\n`,
  ).join('\n')
}

function timesGrid(): string {
  const row = (a: number): string => `| **${a}** | ${Array.from({ length: 12 }, (_, b) => a * (b + 1)).join(' | ')} |`
  return `| × | ${Array.from({ length: 12 }, (_, b) => b + 1).join(' | ')} |\n|${'---|'.repeat(13)}\n${Array.from({ length: 12 }, (_, a) => row(a + 1)).join('\n')}\n`
}

function arithmetic(): string {
  return Array.from({ length: 12 }, (_, n) => {
    const number = 1234 + n * 777
    return `First, 7 goes into ${number} about ${Math.floor(number / 7)} times, because 7 × ${Math.floor(number / 7)} = ${Math.floor(number / 7) * 7}. The remainder is ${number % 7}.`
  }).join('\n')
}

function haiku(packages: readonly PackageFacts[]): string {
  return packages
    .slice(0, 30)
    .map(
      (one, n) =>
        `**${n + 1}.**\nOld ${one.name} sleeps;\na ${one.license} leaf drifts down\non ${one.dependencies[0] ?? 'still water'}.\n`,
    )
    .join('\n')
}
