import fs from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { scriptedEngine } from '../../src/testing/scripted-engine.ts'
import { type Desk, openDesk } from './support.ts'

let desk: Desk
beforeAll(async () => {
  desk = await openDesk([
    scriptedEngine({ key: 'big', answer: () => 'Yes.', sizeBytes: 2e9, paramsString: '4B' }),
    scriptedEngine({ key: 'small', answer: () => 'Yes.', sizeBytes: 1e8, paramsString: '1B' }),
  ])
})
afterAll(() => desk.close())

const firstLine = (text: string): string => text.split('\n')[0] ?? ''

describe('mai explain', () => {
  it('says that nothing was answered yet, then why the last turn went as it went, and which turn it does not know', async () => {
    expect(await desk.again(['explain'])).toMatchObject({ code: 0, out: 'Nothing has been answered yet.\n' })
    const { turnId } = JSON.parse((await desk.again(['ask', '--json', 'Is it so?'])).out) as { turnId: string }
    const [last, json, text, unknown] = await desk.many([
      ['explain'],
      ['explain', '--json', turnId.slice(0, 8)],
      ['explain', '--json'],
      ['explain', 'nothing-like-it'],
    ])
    const out = last?.out ?? ''
    expect(last?.code).toBe(0)
    expect(out).toContain(`Turn ${turnId}`)
    expect(out).toMatch(/Mai used lmstudio\/\w+ because it is the best model that fits: it needs \d+\.\d GB and \d+(\.\d)? GB were free\./)
    expect(out).toContain('decides the same, bit for bit.')
    const told = JSON.parse(json?.out ?? '') as {
      turnId: string
      same: boolean
      exact: boolean
    }
    expect(told).toMatchObject({ turnId, same: true, exact: true })
    expect(JSON.parse(text?.out ?? '')).toMatchObject({ turnId })
    expect(text?.out, 'message text is in no log').not.toContain('Is it so')
    // A turn that is not there.
    expect(unknown).toMatchObject({ code: 2, err: expect.stringMatching(/no one turn "nothing-like-it"/) })
  })
})

describe('mai simulate', () => {
  it('plays what this machine recorded', async () => {
    await desk.again(['ask', 'Is it so?'])
    const { out } = await desk.again(['simulate'])
    expect(firstLine(out)).toMatch(/^recorded: .+ messages, 2 models/)
    for (const policy of ['switching', 'largest-that-fits', 'always-smallest']) expect(out).toContain(policy)
  })

  it('plays a made day with a policy from a file, draws it, keeps it, and plays it again to the same end', async () => {
    const plain = `import type { SwitchingPolicy } from 'mai'
const mine: SwitchingPolicy<null> = {
  name: 'mine', version: 1,
  initial: () => null,
  reduce: () => null,
  select: (_, { candidates }) => ({ model: candidates[0]?.model, contextLength: 2048, reason: 'first', fallbacks: [], candidates: [] }),
  onStruggle: () => ({ action: 'fail', reason: 'mine', delayMs: 0 }),
}
export default mine
`
    await fs.writeFile(path.join(desk.folder, 'mine.ts'), plain)
    const loyal = path.resolve('examples/loyal-policy.ts')
    const made = ['--generator', 'bursty', '--seed', '7', '--policy', 'mine.ts', '--policy', loyal]
    const first = await desk.mai(['simulate', ...made, '--json', '--svg', 'day.svg', '--save', 'day.jsonl'])
    expect(first.err).toBe('')
    const { results } = JSON.parse(first.out) as { results: { policy: string; regret: number }[] }
    expect(results.map(({ policy }) => policy)).toEqual(['mine', 'loyal', 'largest-that-fits', 'always-smallest'])
    for (const { regret } of results) expect(regret).toBeGreaterThanOrEqual(0)
    const svg = await fs.readFile(path.join(desk.folder, 'day.svg'), 'utf8')
    expect(svg).toMatch(/^<svg xmlns.+<\/svg>\n$/s)
    for (const { policy } of results) expect(svg).toContain(`>${policy}</text>`)
    const again = await desk.again(['simulate', '--trace', 'day.jsonl', '--policy', 'mine.ts', '--policy', loyal, '--json'])
    expect(JSON.parse(again.out)).toEqual(JSON.parse(first.out))
  })

  it('ends with 2 and a cure for what it cannot play, and with 78 for a file without a policy', async () => {
    await fs.writeFile(path.join(desk.folder, 'empty.ts'), 'export const nothing = 1\n')
    const throwing = "select: () => { throw new Error('oh no') }, onStruggle: () => ({ action: 'fail', reason: 'x', delayMs: 0 })"
    const body = `export default { name: 'broken', version: 1, initial: () => null, reduce: () => null, ${throwing} }\n`
    await fs.writeFile(path.join(desk.folder, 'broken.ts'), body)
    const refused: readonly [args: readonly string[], code: number, said: RegExp][] = [
      [['--generator', 'stedy'], 2, /There are steady/],
      [['--generator', 'steady', '--trace', 'x'], 2, /Give one of the two/],
      [['--trace', 'nowhere.jsonl'], 2, /cannot be read/],
      [['--generator', 'steady', '--seed', 'x'], 2, /--seed wants a number/],
      [['--generator', 'steady', '--svg', 'no/such/folder.svg'], 2, /cannot be written/],
      [['--generator', 'steady', '--policy', 'empty.ts'], 78, /empty\.ts exports neither/],
      [['--generator', 'steady', '--policy', 'broken.ts'], 1, /The policy "broken" failed: oh no/],
      [['--generator', 'steady', '--policy', 'absent.ts'], 78, /no policy file .*absent\.ts.*--policy/s],
    ]
    const ran = await desk.many(refused.map(([args]) => ['simulate', ...args]))
    expect(ran.map(({ code, err }) => [code, err])).toEqual(refused.map(([, code, said]) => [code, expect.stringMatching(said)]))
  })
})
