/**
 * Counts o200k tokens in bounded time.
 *
 * The tokenizer takes time with the square of a run without breaks (64,000 characters: 1.6 s), and a message may have
 * megabytes of them.
 *
 * @module
 */

/** Tokens of a text. */
export type Count = (text: string) => number

/** Longest run that is counted in one go, in characters; each cut adds at most one token. */
const RUN = 256
const LONG_RUN = new RegExp(`\\S{${RUN + 1},}|\\s{${RUN + 1},}`, 'g')
/** Longer texts are judged by samples, in characters. */
const WHOLE = 128 * 1024
const SAMPLES = 32
const SAMPLE = 4096
/** Samples may miss the densest part. */
const SAMPLE_MARGIN = 1.1

/** Counts with `count`, exactly for ordinary texts, and on the safe side for long runs and for very long texts. */
export function boundedCount(count: Count): Count {
  const exact = (text: string): number => {
    let tokens = 0
    let at = 0
    for (const { 0: run, index } of text.matchAll(LONG_RUN)) {
      if (index > at) tokens += count(text.slice(at, index))
      for (let from = 0; from < run.length; from += RUN) tokens += count(run.slice(from, from + RUN))
      at = index + run.length
    }
    return at === 0 ? count(text) : tokens + (at < text.length ? count(text.slice(at)) : 0)
  }
  return (text) => {
    if (text.length <= WHOLE) return exact(text)
    const step = (text.length - SAMPLE) / (SAMPLES - 1)
    let tokens = 0
    for (let index = 0; index < SAMPLES; index++) tokens += exact(text.slice(Math.floor(index * step), Math.floor(index * step) + SAMPLE))
    return Math.ceil((tokens / (SAMPLES * SAMPLE)) * text.length * SAMPLE_MARGIN)
  }
}
