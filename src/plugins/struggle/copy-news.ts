/**
 * What is new from copy to copy, and whether it is the news of a list or the slips of a model.
 *
 * Rows of a table have something new at the same place, mostly in some order. A model that loops slips now here, now there, and
 * goes back to what it said before; or it draws another word for one place, in no order at all.
 *
 * @module
 */
import { WORD } from './lexer.ts'
import { MEMORY, type RecentUnits } from './recent-units.ts'

const MASK = MEMORY - 1
/** Copies in a row in which a place has changed are told apart up to so many. */
const MOST_TIMES = 3
/** Marks of a word that came for a word: it is somewhere in the last units, or nowhere; and what each counts as a slip. */
const SEEN = 4
const FRESH = 8
const SEEN_SLIP = 0.25
/** A copy that is not plain takes back so many turns. */
const TURNS_LOST = 2
/** Units from which a copy is plain although a number counts as well: shorter ones are logs and numbered rows. */
const COUNTED_COPY = 40
/** Words that show an order, and the share of them that may break it: where a list has sections, it begins again. */
const FEWEST_STEPS = 8
const SORTED_SHARE = 0.25

/** The news of one track of near copies; positions are units. */
export class CopyNews {
  /** Places of all copies at which something new stands: neither what the copy before has there nor the one before that. */
  changes = 0
  /**
   * How far copies without news outnumber those with news, since that balance was 0 last. A copy has news where something new
   * stands at a place that changed in the copy before as well, or where two numbers go on counting; for the second figure, only
   * where something new stands at a place that changed in the two copies before.
   */
  readonly quiet: [number, number] = [0, 0]
  /**
   * Words that were said once, in place of another that the copies before and after have, less the places that go on changing,
   * since that balance was 0 last; a word that is used elsewhere is a quarter of one. Next to no list has a row that differs by a word of its own and returns to what was there.
   */
  slips = 0
  /**
   * Turns in the order of plain copies, those which differ by one word for one word at most: how often the alphabet went up after
   * it had gone down, or the other way. Words drawn at random turn in two copies of three; lists are sorted, or their items differ
   * in more than a word.
   */
  turns = 0
  /**
   * Copies in which several numbers go on counting in equal steps and nothing else is new, less those with something new, since that
   * balance was 0 last. Tables that do so end soon.
   */
  marches = 0
  /** Copies whose first new word follows that of the copy before in the alphabet or goes before it, and those that turn. */
  #steps = 0
  #stepTurns = 0
  readonly #recent: RecentUnits
  /** By unit: in how many copies in a row something new has stood at its place, and what kind of word it is. */
  readonly #changed = new Uint8Array(MEMORY)
  /** Of the copy that is being written: places that are new, the steadiest of them, numbers that count, turns, and whether it is plain. */
  #places = 0
  #steadiest = 0
  #counters = 0
  #turned = 0
  #hasWord = false
  #isPlain = true
  /** Which way the last word for a word went: 1 up, −1 down. */
  #direction = 0

  constructor(recent: RecentUnits) {
    this.#recent = recent
  }

  /** Whether the copies are sorted by the first word that is new in each. */
  get isSorted(): boolean {
    return this.#steps >= FEWEST_STEPS && this.#stepTurns <= SORTED_SHARE * this.#steps
  }

  /** A track begins. */
  begin(): void {
    this.#steps = this.#stepTurns = 0
    this.changes = this.slips = this.turns = this.marches = this.#direction = 0
    this.quiet.fill(0)
    this.#beginCopy()
  }

  /** A unit equals that of the copy before. */
  same(at: number): void {
    this.#changed[at & MASK] = 0
  }

  /** A number goes on counting. */
  count(at: number): void {
    this.#changed[at & MASK] = 0
    this.#counters++
  }

  /** The copy is longer or shorter than the one before. */
  shift(): void {
    this.#isPlain = false
  }

  /**
   * A unit differs from that of the copy before.
   *
   * @param before that of the copy before that
   * @param isFirst whether it is the first of those in a row that differ: several new words in a row are one change
   */
  differ(at: number, expected: number, before: number, isFirst: boolean): void {
    const recent = this.#recent
    const was = this.#changed[expected & MASK] ?? 0
    this.#changed[at & MASK] = 0
    if (at - before < MEMORY && recent.hashAt(before) === recent.hashAt(at)) {
      if (isFirst && was > SEEN) this.slips += was > FRESH ? 1 : SEEN_SLIP
      return
    }
    const times = Math.min(MOST_TIMES, (was % SEEN) + 1)
    const isWord = recent.kindAt(at) === WORD && recent.kindAt(expected) === WORD
    this.#changed[at & MASK] = times + (isFirst && isWord && times === 1 ? (recent.run === 0 ? FRESH : SEEN) : 0)
    if (!isFirst || !isWord) this.#isPlain = false
    if (!isFirst) return
    this.changes++
    this.#places++
    this.#steadiest = Math.max(this.#steadiest, times)
    if (times > 1) this.slips = Math.max(0, this.slips - 1)
    if (isWord && !this.#hasWord) this.#step(Math.sign(recent.valueAt(at) - recent.valueAt(expected)))
  }

  /** The copy is whole. @param units its length @param asLong whether it is as long as the one before */
  endCopy(units: number, asLong: boolean): void {
    const [once, twice] = this.quiet
    this.quiet[0] = Math.max(0, once + (this.#steadiest > 1 || this.#counters > 1 ? -1 : 1))
    this.quiet[1] = Math.max(0, twice + (this.#steadiest > 2 ? -1 : 1))
    if (this.#places > 0) this.marches = Math.max(0, this.marches - 1)
    else if (this.#counters > 1) this.marches++
    this.#stepTurns += this.#turned
    this.turns = Math.max(
      0,
      this.turns +
        (this.#isPlain && asLong && this.#places <= 1 && (this.#counters === 0 || units >= COUNTED_COPY) ? this.#turned : -TURNS_LOST),
    )
    this.#beginCopy()
  }

  #beginCopy(): void {
    this.#places = this.#steadiest = this.#counters = this.#turned = 0
    this.#isPlain = true
    this.#hasWord = false
  }

  #step(direction: number): void {
    this.#hasWord = true
    if (direction === 0) return
    this.#steps++
    if (direction === -this.#direction) this.#turned++
    this.#direction = direction
  }
}
