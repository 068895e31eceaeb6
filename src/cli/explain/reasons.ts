/**
 * The reason of a decision in few words, for the status. Pure.
 *
 * @module
 */

const REASONS: Readonly<Record<string, string>> = {
  requested: 'asked for with the message',
  pinned: 'pinned',
  'most-efficient': 'the best that fits',
  'still-best': 'still the best that fits',
  'close-enough': 'another would hardly be better',
  dwell: 'the last switch was only a moment ago',
  'not-calm-yet': 'memory has not been calm for long enough to move up',
  upgrade: 'better, and memory has been calm',
  downgrade: 'memory ran short',
  rescue: 'another had failed',
  circuit: 'another failed several times and rests',
  needs: 'another cannot serve the message',
  gone: 'another is no longer there',
  remote: 'another runs on another machine',
  'last-resort': 'nothing better fits',
  widest: 'its window is the widest',
  tight: 'memory is short: the best that fits into a part of what is left',
  smallest: 'nothing fits: the smallest',
  minimal: 'minimal mode: memory is short',
  none: 'no model can answer',
}

/** `the best that fits`; the code itself where it is a policy's own. */
export function reasonText(reason: string): string {
  return REASONS[reason] ?? reason
}
