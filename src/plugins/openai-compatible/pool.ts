/**
 * Which endpoint answers: by weight among those that are well, the one that has rested longest where none is.
 *
 * @module
 */

/** What the choice looks at. */
export interface Route {
  readonly weight: number
  readonly resting: boolean
  /** Epoch ms. */
  readonly restsUntil: number
}

/** A pure function. @param random 0 to 1 */
export function pickRoute<T extends Route>(routes: readonly T[], random: number): T | undefined {
  const well = routes.filter((route) => !route.resting)
  if (well.length === 0) return [...routes].sort((a, b) => a.restsUntil - b.restsUntil)[0]
  let at = random * well.reduce((sum, { weight }) => sum + weight, 0)
  return well.find(({ weight }) => (at -= weight) < 0) ?? well.at(-1)
}
