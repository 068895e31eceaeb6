/**
 * Conversations that a benchmark can make by itself: personal chats over many days, with facts that are asked for later.
 *
 * @module
 */
import type { QuestionedConversation } from './retention.ts'

/** Uniform from 0 to 1, the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const PEOPLE = ['Nora', 'Tomas', 'Ines', 'Kofi', 'Yuki', 'Pablo', 'Greta', 'Amara', 'Lev', 'Mina']
const PLACES = ['Lisbon', 'Turku', 'Oaxaca', 'Leeds', 'Nagoya', 'Tartu', 'Accra', 'Ghent', 'Trieste', 'Cork']
const THINGS = ['cello', 'canoe', 'bakery', 'greenhouse', 'telescope', 'motorbike', 'pottery wheel', 'beehive', 'loom', 'kiln']
const FEELINGS = ['happy', 'tired', 'curious', 'proud', 'worried', 'calm', 'excited', 'unsure']
const TOPICS = ['work', 'the weather', 'dinner', 'a film', 'the garden', 'the news', 'sleep', 'a book', 'the weekend', 'running']

interface Fact {
  readonly said: string
  readonly asked: string
}

function fact(pick: <T>(list: readonly T[]) => T, next: () => number): Fact {
  const [who, where, what] = [pick(PEOPLE), pick(PLACES), pick(THINGS)]
  const price = 20 + Math.floor(next() * 900)
  return pick([
    { said: `My friend ${who} moved to ${where} because of the ${what}.`, asked: `Where did ${who} go with the ${what}?` },
    { said: `The ${what} in ${where} cost me ${price} euros in the end.`, asked: `What did I pay for the ${what} in ${where}?` },
    {
      said: `${who} will bring the ${what} to ${where} on the ${1 + (price % 28)}th.`,
      asked: `When does ${who} bring the ${what} to ${where}?`,
    },
    {
      said: `I am allergic to what ${who} cooked in ${where}, the doctor says it is the saffron.`,
      asked: `What am I allergic to after ${who}'s cooking in ${where}?`,
    },
  ])
}

/** @param sittings days on which was talked, each with about twenty turns */
export function generateConversation(seed: number, sittings = 25): QuestionedConversation {
  const next = seeded(seed)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T
  const sessions: { header: string }[] = []
  const turns: { session: number; speaker: string; text: string }[] = []
  const questions: { text: string; evidence: number[] }[] = []
  const asked = new Set<string>()
  for (let session = 0; session < sittings; session++) {
    const day = new Date(Date.UTC(2024, 0, 3 + session * 9))
    sessions.push({ header: `[${day.toLocaleDateString('en-GB', { dateStyle: 'full', timeZone: 'UTC' })}]\n` })
    const length = 12 + Math.floor(next() * 16)
    for (let turn = 0; turn < length; turn++) {
      const speaker = turn % 2 === 0 ? 'User' : 'Assistant'
      const talk = `I was ${pick(FEELINGS)} about ${pick(TOPICS)} and ${pick(TOPICS)} ${pick(['today', 'again', 'at last', 'as ever'])}`
      const told = speaker === 'User' && next() < 0.25 ? fact(pick, next) : undefined
      if (told && !asked.has(told.asked)) {
        asked.add(told.asked)
        questions.push({ text: told.asked, evidence: [turns.length] })
      }
      const reply = `That sounds like ${pick(TOPICS)} to me. How do you feel about ${pick(TOPICS)}, more ${pick(FEELINGS)} or ${pick(FEELINGS)}?`
      turns.push({ session, speaker, text: speaker === 'User' ? `${talk}. ${told?.said ?? `Maybe ${pick(TOPICS)} helps.`}` : reply })
    }
  }
  return { name: `generated-${seed}`, weighted: false, sessions, turns, questions }
}
