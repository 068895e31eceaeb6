import { describe, expect, it } from 'vitest'
import { isMaiError, kernelErrors, MaiError, toErrorFact } from '../../src/core/errors.ts'

describe('MaiError', () => {
  it('puts the cure after the problem', () => {
    const error = new MaiError('MAI_TEST', 'It broke.', { cure: 'Mend it.', cause: 'rust' })
    expect(error).toMatchObject({ message: 'It broke. Mend it.', problem: 'It broke.', cure: 'Mend it.', cause: 'rust', name: 'MaiError' })
  })

  it('is told from other errors with a code', () => {
    expect(isMaiError(new MaiError('MAI_TEST', 'It broke.'))).toBe(true)
    expect(isMaiError(Object.assign(new Error(), { code: 'ENOENT' }))).toBe(false)
    expect(isMaiError({ code: 'MAI_TEST', problem: 'no error at all' })).toBe(false)
  })

  it('every error of the kernel says what to do, in a sentence', () => {
    const errors = Object.values(kernelErrors) as ((...args: unknown[]) => MaiError)[]
    for (const make of errors) {
      const error = make(['one'], ['two'], 3)
      expect(error.code).toMatch(/^MAI_[A-Z_]+$/)
      expect(error.cure).toMatch(/^[A-Z].*\.$/)
    }
  })
})

describe('toErrorFact', () => {
  it.each([
    [new MaiError('MAI_TEST', 'It broke.', { cure: 'Mend it.' }), { code: 'MAI_TEST', message: 'It broke. Mend it.' }],
    [Object.assign(new Error('gone'), { code: 'ENOENT' }), { code: 'ENOENT', message: 'gone' }],
    [new TypeError('odd'), { code: 'TypeError', message: 'odd' }],
    ['a word', { code: 'UNKNOWN', message: 'a word' }],
    [undefined, { code: 'UNKNOWN', message: 'undefined' }],
    [Object.create(null), { code: 'UNKNOWN', message: 'something that cannot be shown as text' }],
  ])('reduces %o to plain data', (thrown, fact) => {
    expect(toErrorFact(thrown)).toEqual(fact)
  })
})
