import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { maiHome } from '../../src/chat/home.ts'

describe('the home of Mai', () => {
  it('is all in one folder where MAI_HOME says so', () => {
    const home = path.resolve('somewhere')
    expect(maiHome({ MAI_HOME: 'somewhere' })).toEqual({
      data: home,
      config: home,
      log: path.join(home, 'log'),
      cache: path.join(home, 'cache'),
    })
  })

  it.each([{}, { MAI_HOME: '' }])('is in the folders of the platform otherwise: %j', (env) => {
    const home = maiHome(env)
    for (const folder of Object.values(home)) {
      expect(path.isAbsolute(folder)).toBe(true)
      expect(folder).toMatch(/\bmai\b/)
    }
    expect(new Set([home.data, home.cache, home.log]).size).toBe(3)
  })
})
