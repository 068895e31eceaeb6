/**
 * Garbled: characters that no text has, or letters of many scripts inside words.
 *
 * @module
 */
import type { AnswerStart, AnswerWatch, Verdict, Watcher } from '../../chat/watcher.ts'
import type { GarbledSettings } from './options.ts'
import { RecentMarks } from './recent-marks.ts'
import { clash, LATIN, NO_SCRIPT, SCRIPTS, scriptOf } from './scripts.ts'

const CLEAR: Verdict = { state: 'clear' }

/** Watches the characters of the last few words. */
export function garbledWatcher(settings: GarbledSettings): Watcher {
  return { name: 'struggle: garbled', start: (answer) => new GarbledWatch(answer, settings) }
}

/** Backspace and escape are in manual pages and coloured logs; the other controls are in no text. */
function isInvalid(point: number): boolean {
  if (point < 0x20) return point < 8 || (point > 13 && point !== 27)
  if (point < 0xd800) return point >= 0x7f && point < 0xa0 && point !== 0x85
  return point <= 0xdfff || (point >= 0xfdd0 && point <= 0xfdef) || point === 0xfffd || (point & 0xfffe) === 0xfffe
}

class GarbledWatch implements AnswerWatch {
  readonly #settings: GarbledSettings
  readonly #invalid: RecentMarks
  readonly #clashes: RecentMarks
  /** By script: the character that had it last. */
  readonly #seen = new Float64Array(SCRIPTS).fill(-Infinity)
  #characters = 0
  /** Up to this character the marks must be looked at. */
  #alertUntil = 0
  #script = NO_SCRIPT
  #high = 0
  /** UTF-16 units taken, those of other models included. */
  #at: number
  #verdict: Verdict = CLEAR

  constructor({ already }: AnswerStart, settings: GarbledSettings) {
    this.#settings = settings
    this.#invalid = new RecentMarks(settings.maxInvalid)
    this.#clashes = new RecentMarks(settings.minChanges)
    this.#at = already.length
  }

  push(text: string): Verdict {
    for (let n = 0; n < text.length && this.#verdict.state !== 'struggle'; n++) this.#unit(text.charCodeAt(n))
    return this.#verdict
  }

  tick(): Verdict {
    return this.#verdict
  }

  end(): Verdict {
    return this.#verdict
  }

  #unit(unit: number): void {
    const at = this.#at++
    if (unit < 0x7f && unit >= 0x20 && this.#high === 0 && this.#script <= LATIN) {
      // Most text: nothing here can be odd.
      const script = scriptOf(unit)
      if (script !== NO_SCRIPT) this.#seen[LATIN] = this.#characters
      this.#script = script
      if (++this.#characters <= this.#alertUntil) this.#judge()
      return
    }
    const high = this.#high
    this.#high = 0
    if (high !== 0) {
      if (unit >= 0xdc00 && unit <= 0xdfff) return this.#character(((high - 0xd800) << 10) + (unit - 0xdc00) + 0x10000, at - 1)
      this.#character(high, at - 1)
    }
    if (unit >= 0xd800 && unit <= 0xdbff) this.#high = unit
    else this.#character(unit, at)
  }

  #character(point: number, at: number): void {
    const script = scriptOf(point)
    const invalid = isInvalid(point)
    if (invalid) this.#invalid.add(this.#characters, at)
    const odd = invalid || clash(this.#script, script)
    if (odd && !invalid) this.#clashes.add(this.#characters, at)
    if (odd) this.#alertUntil = this.#characters + this.#settings.window + 1
    if (script !== NO_SCRIPT) this.#seen[script] = this.#characters
    this.#script = script
    if (++this.#characters <= this.#alertUntil) this.#judge()
  }

  #judge(): void {
    const { window, maxInvalid, minScripts, minChanges } = this.#settings
    const first = this.#characters - window
    const invalid = this.#invalid.since(first)
    if (invalid * 2 >= maxInvalid) {
      const evidence = `${invalid} invalid characters among the last ${window}`
      return this.#conclude(invalid >= maxInvalid, this.#invalid.firstSince(first), evidence)
    }
    const changes = this.#clashes.since(first)
    if (changes * 2 >= minChanges) {
      const scripts = this.#seen.reduce((different, seen) => (seen >= first ? different + 1 : different), 0)
      if (scripts >= minScripts) {
        const evidence = `letters of ${scripts} scripts, ${changes} changes inside words`
        return this.#conclude(changes >= minChanges, this.#clashes.firstSince(first), evidence)
      }
    }
    if (this.#verdict !== CLEAR) this.#verdict = CLEAR
  }

  #conclude(certain: boolean, from: number, evidence: string): void {
    this.#verdict = certain ? { state: 'struggle', kind: 'garbled', evidence, cutAt: from } : { state: 'suspect', from }
  }
}
