/**
 * Facts, questions, and talk that has nothing to do with either: what a retention test of real models says.
 *
 * @module
 */

/** Something said once, and asked for much later. */
export interface RecallCase {
  readonly fact: string
  readonly question: string
  readonly right: RegExp
}

const of = (fact: string, question: string, right: RegExp): RecallCase => ({ fact, question, right })

/** Fixed, whatever model is asked. */
export const CASES: readonly RecallCase[] = [
  of('My dog is called Biscuit.', 'What is the name of my dog?', /biscuit/i),
  of('My sister is called Agnes.', 'What is the name of my sister?', /agnes/i),
  of('My cat is called Marmalade.', 'What is the name of my cat?', /marmalade/i),
  of('My brother lives in Oslo.', 'In which city does my brother live?', /oslo/i),
  of('My favourite colour is turquoise.', 'What is my favourite colour?', /turquoise/i),
  of('I was born in Lisbon.', 'Where was I born?', /lisbon/i),
  of('The code for the door is 4711.', 'What is the code for the door?', /4711/),
  of('My boat is called Albatross.', 'What is the name of my boat?', /albatross/i),
  of('My doctor is called Patel.', 'What is the name of my doctor?', /patel/i),
  of('I work as a carpenter.', 'What is my job?', /carpenter/i),
  of('I play the cello.', 'Which instrument do I play?', /cello/i),
  of('My favourite food is lasagne.', 'What is my favourite food?', /lasagn/i),
  of('I am allergic to peanuts.', 'What am I allergic to?', /peanut/i),
  of('My train leaves from platform 9.', 'From which platform does my train leave?', /\b(9|nine)\b/i),
  of('My neighbour is called Gustav.', 'What is the name of my neighbour?', /gustav/i),
  of('Our hotel is called Grand Meridian.', 'What is the name of our hotel?', /meridian/i),
  of('My daughter studies chemistry.', 'What does my daughter study?', /chemistry/i),
  of('My favourite book is Dracula.', 'What is my favourite book?', /dracula/i),
  of('The password of the network is tulip77.', 'What is the password of the network?', /tulip ?77/i),
  of('My horse is called Thunder.', 'What is the name of my horse?', /thunder/i),
  of('My aunt lives in Montreal.', 'In which city does my aunt live?', /montreal/i),
  of('The meeting is in room 214.', 'In which room is the meeting?', /214/),
  of('My company is called Nordlicht.', 'What is the name of my company?', /nordlicht/i),
  of('My grandmother is 93 years old.', 'How old is my grandmother?', /93/),
  of('My flight leaves at 7:45.', 'When does my flight leave?', /7[:.]45/),
  of('My parrot is called Captain.', 'What is the name of my parrot?', /captain/i),
  of('My bicycle is orange.', 'What colour is my bicycle?', /orange/i),
  of('My teacher is called Thornton.', 'What is the name of my teacher?', /thornton/i),
  of('I am learning Hungarian.', 'Which language am I learning?', /hungarian/i),
  of('My son plays hockey.', 'Which sport does my son play?', /hockey/i),
]

const THINGS = [
  'harbour',
  'market',
  'kitchen',
  'forest',
  'library',
  'mountain',
  'river',
  'orchard',
  'theatre',
  'workshop',
  'museum',
  'valley',
]
const SEEN = [
  'quiet in winter',
  'full of people in June',
  'older than it looks',
  'painted every spring',
  'known for its light',
  'closed on Mondays',
]
const DONE = [
  'they repair old clocks',
  'bread is baked before dawn',
  'snow stays until April',
  'children learn to swim',
  'somebody always sings',
  'the lamps are lit by hand',
  'maps are sold to travellers',
]
const ANSWERS = [
  'That sounds like a place worth a visit.',
  'Many towns have something like it.',
  'I see. It must be pleasant there.',
  'Yes, such things are often told.',
  'That is a lovely picture.',
]

/** A turn of small talk: what is said, and what is answered. Every one is different, and none says anything of the cases. */
export function smallTalk(turn: number): readonly [said: string, answered: string] {
  const pick = <T>(list: readonly T[], step: number): T => list[Math.floor(turn / step) % list.length] as T
  const thing = pick(THINGS, 1)
  const said = `The ${thing} number ${turn + 1} of the tour is ${pick(SEEN, 2)}, and ${pick(DONE, 3)} near the ${pick(THINGS, 5)}.`
  return [said, `${pick(ANSWERS, 1)} I shall think of the ${thing} when we get there.`]
}
