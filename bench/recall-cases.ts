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
  of('My train leaves from platform 409.', 'From which platform does my train leave?', /409/),
  of('My neighbour is called Gustav.', 'What is the name of my neighbour?', /gustav/i),
  of('Our hotel is called Grand Meridian.', 'What is the name of our hotel?', /meridian/i),
  of('My daughter studies chemistry.', 'What does my daughter study?', /chemistry/i),
  of('My favourite book is Dracula.', 'What is my favourite book?', /dracula/i),
  of('The password of the network is tulip77.', 'What is the password of the network?', /tulip ?77/i),
  of('My horse is called Thunder.', 'What is the name of my horse?', /thunder/i),
  of('My aunt lives in Montreal.', 'In which city does my aunt live?', /montreal/i),
  of('The meeting is in room 214.', 'In which room is the meeting?', /214/),
  of('My company is called Nordlicht.', 'What is the name of my company?', /nordlicht/i),
  of('My grandmother was born in 1931.', 'In which year was my grandmother born?', /1931/),
  of('My flight leaves at 7:45.', 'When does my flight leave?', /7[:.]45/),
  of('My parrot is called Captain.', 'What is the name of my parrot?', /captain/i),
  of('My bicycle is orange.', 'What colour is my bicycle?', /orange/i),
  of('My teacher is called Thornton.', 'What is the name of my teacher?', /thornton/i),
  of('I am learning Hungarian.', 'Which language am I learning?', /hungarian/i),
  of('My son plays hockey.', 'Which sport does my son play?', /hockey/i),
  of('By the way, my rabbit is called Nutmeg.', 'What is my rabbit called?', /nutmeg/i),
  of('Yesterday I bought a blue guitar.', 'What did I buy yesterday?', /guitar/i),
  of('My uncle works as a beekeeper.', 'What is the job of my uncle?', /bee ?keep/i),
  of('I grew up in Valparaiso.', 'Where did I grow up?', /valpara/i),
  of('My wife is called Henrietta.', 'What is the name of my wife?', /henrietta/i),
  of('My husband is called Leopold.', 'What is the name of my husband?', /leopold/i),
  of('We named our baby Rosalind.', 'What did we name our baby?', /rosalind/i),
  of('I drive a yellow Saab.', 'Which car do I drive?', /saab/i),
  of('My favourite painter is Vermeer.', 'Who is my favourite painter?', /vermeer/i),
  of('My favourite composer is Sibelius.', 'Who is my favourite composer?', /sibelius/i),
  of('My cousin lives in Reykjavik.', 'Where does my cousin live?', /reykjav/i),
  of('Our dinner is booked for Thursday.', 'For which day is our dinner booked?', /thursday/i),
  of('My birthday is on 17 August.', 'When is my birthday?', /17|august/i),
  of('My room is on floor 312.', 'On which floor is my room?', /312/),
  of('The spare key is under the flowerpot.', 'Where is the spare key?', /flower ?pot/i),
  of('My passport is in the green drawer.', 'Where is my passport?', /drawer/i),
  of('I want to travel to Madagascar.', 'Where do I want to travel?', /madagascar/i),
  of('My nephew collects stamps.', 'What does my nephew collect?', /stamp/i),
  of('My niece dances ballet.', 'What does my niece dance?', /ballet/i),
  of('My boss is called Ms Okafor.', 'What is the name of my boss?', /okafor/i),
  of('My dentist is called Dr Lindqvist.', 'What is the name of my dentist?', /lindqvist/i),
  of('I drink my coffee with cinnamon.', 'With what do I drink my coffee?', /cinnamon/i),
  of('My favourite flower is the magnolia.', 'What is my favourite flower?', /magnolia/i),
  of('My favourite season is autumn.', 'What is my favourite season?', /autumn/i),
  of('My tortoise is called Socrates.', 'What is the name of my tortoise?', /socrates/i),
  of('My father was a sailor.', 'What was my father?', /sailor/i),
  of('My mother comes from Portugal.', 'From which country does my mother come?', /portug/i),
  of('I have four tickets for the opera.', 'For what do I have tickets?', /opera/i),
  of('My laptop runs Debian.', 'What does my laptop run?', /debian/i),
  of('My jacket is made of corduroy.', 'What is my jacket made of?', /corduroy/i),
  of('I am reading a book about volcanoes.', 'What is the book about that I am reading?', /volcano/i),
  of('My project is called Bluebird.', 'What is the name of my project?', /bluebird/i),
  of('My street is called Juniper Lane.', 'What is the name of my street?', /juniper/i),
  of('Our wedding was in Verona.', 'Where was our wedding?', /verona/i),
  of('My friend Tomas is a pilot.', 'What is the job of my friend Tomas?', /pilot/i),
  of('My grandfather came from Estonia.', 'From which country did my grandfather come?', /estonia/i),
  of('I lost my umbrella at the airport.', 'Where did I lose my umbrella?', /airport/i),
  of('My bank is called Larchmont.', 'What is the name of my bank?', /larchmont/i),
  of('My team is called the Otters.', 'What is the name of my team?', /otter/i),
  of('The wifi password is marble88.', 'What is the wifi password?', /marble ?88/i),
  of('My hamster is called Pickle.', 'What is the name of my hamster?', /pickle/i),
  of('My room-mate is called Ingrid.', 'What is the name of my room-mate?', /ingrid/i),
  of('I studied astronomy.', 'What did I study?', /astronom/i),
  of('My sofa is purple.', 'What colour is my sofa?', /purple/i),
  of('My canary is called Verdi.', 'What is the name of my canary?', /verdi/i),
  of('My school was called Hawthorne.', 'What was the name of my school?', /hawthorne/i),
  of('I usually have porridge for breakfast.', 'What do I usually have for breakfast?', /porridge/i),
  of('My appointment is at 10:20.', 'At what time is my appointment?', /10[:.]20/),
  of('My locker has the number 588.', 'Which number has my locker?', /588/),
  of('My lawyer is called Castellano.', 'What is the name of my lawyer?', /castellano/i),
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
