/**
 * Garbled: characters that no text has, or letters of many scripts inside words.
 *
 * @module
 */
import type { AnswerStart, AnswerWatch, Verdict, Watcher } from '../../chat/watcher.ts'
import type { GarbledSettings } from './options.ts'
import { clash, NO_SCRIPT, SCRIPTS, scriptOf } from './scripts.ts'

const CLEAR: Verdict = { state: 'clear' }
const INVALID = 1
const CLASH = 2

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
  /** The last characters: marks, scripts, offsets. */
  readonly #marks: Uint8Array
  readonly #scripts: Uint8Array
  readonly #offsets: Float64Array
  readonly #letters = new Uint16Array(SCRIPTS)
  #characters = 0
  #invalid = 0
  #clashes = 0
  #different = 0
  #last = NO_SCRIPT
  #high = 0
  /** UTF-16 units taken, those of other models included. */
  #at: number
  #verdict: Verdict = CLEAR

  constructor({ already }: AnswerStart, settings: GarbledSettings) {
    this.#settings = settings
    this.#marks = new Uint8Array(settings.window)
    this.#scripts = new Uint8Array(settings.window)
    this.#offsets = new Float64Array(settings.window)
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
    const { window, maxInvalid, minScripts, minChanges } = this.#settings
    const slot = this.#characters % window
    if (this.#characters >= window) this.#forget(slot)
    this.#characters++
    const script = scriptOf(point)
    const mark = isInvalid(point) ? INVALID : clash(this.#last, script) ? CLASH : 0
    this.#last = script
    this.#marks[slot] = mark
    this.#scripts[slot] = script
    this.#offsets[slot] = at
    if (mark === INVALID) this.#invalid++
    if (mark === CLASH) this.#clashes++
    if (script !== NO_SCRIPT && this.#count(script, 1) === 1) this.#different++
    if (this.#invalid * 2 >= maxInvalid) {
      const evidence = `${this.#invalid} invalid characters among the last ${window}`
      this.#verdict = this.#judge(this.#invalid >= maxInvalid, INVALID, evidence)
    } else if (this.#different >= minScripts && this.#clashes * 2 >= minChanges) {
      const evidence = `letters of ${this.#different} scripts, ${this.#clashes} changes inside words`
      this.#verdict = this.#judge(this.#clashes >= minChanges, CLASH, evidence)
    } else if (this.#verdict !== CLEAR) this.#verdict = CLEAR
  }

  #judge(certain: boolean, mark: number, evidence: string): Verdict {
    const from = this.#firstOf(mark)
    return certain ? { state: 'struggle', kind: 'garbled', evidence, cutAt: from } : { state: 'suspect', from }
  }

  #forget(slot: number): void {
    if (this.#marks[slot] === INVALID) this.#invalid--
    if (this.#marks[slot] === CLASH) this.#clashes--
    const script = this.#scripts[slot] ?? NO_SCRIPT
    if (script !== NO_SCRIPT && this.#count(script, -1) === 0) this.#different--
  }

  #count(script: number, by: number): number {
    const letters = (this.#letters[script] ?? 0) + by
    this.#letters[script] = letters
    return letters
  }

  /** Offset of the oldest character of the window that has the mark. */
  #firstOf(mark: number): number {
    const { window } = this.#settings
    for (let n = Math.max(0, this.#characters - window); n < this.#characters; n++) {
      if (this.#marks[n % window] === mark) return this.#offsets[n % window] ?? this.#at
    }
    return this.#at
  }
}
