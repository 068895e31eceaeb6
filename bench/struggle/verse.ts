/**
 * Verse with refrains, chants and genealogies: what repeats itself and is no loop.
 * All of it is old enough to be in the public domain everywhere.
 *
 * @module
 */

const NUMBERS = ['ten', 'nine', 'eight', 'seven', 'six', 'five', 'four', 'three', 'two', 'one', 'no']

/** By title. */
export const VERSE: Readonly<Record<string, string>> = {
  'The Bells (Poe, 1849)': `Hear the sledges with the bells, silver bells!
What a world of merriment their melody foretells!
How they tinkle, tinkle, tinkle, in the icy air of night!
While the stars that oversprinkle all the heavens, seem to twinkle
with a crystalline delight; keeping time, time, time,
in a sort of Runic rhyme, to the tintinnabulation that so musically wells
from the bells, bells, bells, bells, bells, bells, bells,
from the jingling and the tinkling of the bells.

To the swinging and the ringing of the bells, bells, bells,
of the bells, bells, bells, bells, bells, bells, bells,
to the rhyming and the chiming of the bells!

Keeping time, time, time, in a sort of Runic rhyme,
to the throbbing of the bells, of the bells, bells, bells,
to the sobbing of the bells; keeping time, time, time,
as he knells, knells, knells, in a happy Runic rhyme,
to the rolling of the bells, of the bells, bells, bells,
to the tolling of the bells, of the bells, bells, bells, bells, bells, bells, bells,
to the moaning and the groaning of the bells.
`,
  'The Charge of the Light Brigade (Tennyson, 1854)': `Half a league, half a league,
Half a league onward,
All in the valley of Death
Rode the six hundred.
"Forward, the Light Brigade!
Charge for the guns!" he said.
Into the valley of Death
Rode the six hundred.

Theirs not to make reply,
Theirs not to reason why,
Theirs but to do and die.
Into the valley of Death
Rode the six hundred.

Cannon to right of them,
Cannon to left of them,
Cannon in front of them
Volleyed and thundered;
Stormed at with shot and shell,
Boldly they rode and well,
Into the jaws of Death,
Into the mouth of hell
Rode the six hundred.

Cannon to right of them,
Cannon to left of them,
Cannon behind them
Volleyed and thundered;
Stormed at with shot and shell,
While horse and hero fell.
They that had fought so well
Came through the jaws of Death,
Back from the mouth of hell,
All that was left of them,
Left of six hundred.
`,
  'Jabberwocky (Carroll, 1871)': `'Twas brillig, and the slithy toves
Did gyre and gimble in the wabe:
All mimsy were the borogoves,
And the mome raths outgrabe.

"Beware the Jabberwock, my son!
The jaws that bite, the claws that catch!
Beware the Jubjub bird, and shun
The frumious Bandersnatch!"

One, two! One, two! And through and through
The vorpal blade went snicker-snack!
He left it dead, and with its head
He went galumphing back.

'Twas brillig, and the slithy toves
Did gyre and gimble in the wabe:
All mimsy were the borogoves,
And the mome raths outgrabe.
`,
  'Auld Lang Syne (Burns, 1788)': `Should auld acquaintance be forgot,
And never brought to mind?
Should auld acquaintance be forgot,
And auld lang syne!

For auld lang syne, my dear,
For auld lang syne,
We'll tak a cup o' kindness yet,
For auld lang syne.

We twa hae run about the braes,
And pou'd the gowans fine;
But we've wander'd mony a weary fit,
Sin' auld lang syne.

For auld lang syne, my dear,
For auld lang syne,
We'll tak a cup o' kindness yet,
For auld lang syne.

We twa hae paidl'd in the burn,
Frae morning sun till dine;
But seas between us braid hae roar'd
Sin' auld lang syne.

For auld lang syne, my dear,
For auld lang syne,
We'll tak a cup o' kindness yet,
For auld lang syne.
`,
  'London Bridge (traditional)': [
    'Build it up with wood and clay',
    'Wood and clay will wash away',
    'Build it up with bricks and mortar',
    'Bricks and mortar will not stay',
    'Build it up with iron and steel',
    'Iron and steel will bend and bow',
    'Build it up with silver and gold',
    'Silver and gold will be stolen away',
    'Set a man to watch all night',
  ]
    .map((line) => {
      const end = line.split(' ').slice(-3).join(' ').toLowerCase()
      return `${line},\n${end[0]?.toUpperCase()}${end.slice(1)}, ${end},\n${line},\nMy fair lady.\n`
    })
    .join('\n'),
  'The House That Jack Built (traditional)': cumulative([
    'the house that Jack built',
    'the malt that lay in',
    'the rat that ate',
    'the cat that killed',
    'the dog that worried',
    'the cow with the crumpled horn that tossed',
    'the maiden all forlorn that milked',
    'the man all tattered and torn that kissed',
    'the priest all shaven and shorn that married',
    'the cock that crowed in the morn that waked',
    'the farmer sowing his corn that kept',
  ]),
  'The Twelve Days of Christmas (traditional)': days(),
  'Ten Green Bottles (traditional)': countdown(),
  'This Old Man (traditional)': oldMan(),
  'Old MacDonald (traditional)': ['cow/moo', 'pig/oink', 'duck/quack', 'horse/neigh', 'lamb/baa', 'hen/cluck', 'dog/woof', 'goose/honk']
    .map((pair) => {
      const [animal = '', sound = ''] = pair.split('/')
      return `Old MacDonald had a farm, E-I-E-I-O.\nAnd on that farm he had a ${animal}, E-I-E-I-O.\nWith a ${sound}, ${sound} here and a ${sound}, ${sound} there,\nHere a ${sound}, there a ${sound}, everywhere a ${sound}, ${sound}.\nOld MacDonald had a farm, E-I-E-I-O.\n`
    })
    .join('\n'),
  'Drunken Sailor (traditional)': [
    'What shall we do with the drunken sailor',
    'Put him in the long boat till he is sober',
    'Pull out the plug and wet him all over',
    'Put him in the scuppers with a hose-pipe on him',
    'Heave him by the leg in a running bowline',
    'Tie him to the taffrail when she is yard-arm under',
  ]
    .map(
      (line) =>
        `${line},\n${line},\n${line},\nEarly in the morning?\n\nHooray, and up she rises,\nHooray, and up she rises,\nHooray, and up she rises,\nEarly in the morning.\n`,
    )
    .join('\n'),
  'Mulberry Bush (traditional)': [
    'wash our hands',
    'wash our clothes',
    'comb our hair',
    'brush our teeth',
    'sweep the floor',
    'mend our shoes',
    'go to school',
  ]
    .map(
      (act) =>
        `This is the way we ${act},\n${act[0]?.toUpperCase()}${act.slice(1)}, ${act},\nThis is the way we ${act},\nOn a cold and frosty morning.\n\nHere we go round the mulberry bush,\nThe mulberry bush, the mulberry bush,\nHere we go round the mulberry bush,\nOn a cold and frosty morning.\n`,
    )
    .join('\n'),
  'Row, Row, Row Your Boat (traditional, as a round)':
    'Row, row, row your boat,\nGently down the stream,\nMerrily, merrily, merrily, merrily,\nLife is but a dream.\n\n'.repeat(2),
  'Frère Jacques (traditionnel)':
    'Frère Jacques, Frère Jacques,\nDormez-vous ? Dormez-vous ?\nSonnez les matines ! Sonnez les matines !\nDing, ding, dong. Ding, ding, dong.\n\nBruder Jakob, Bruder Jakob,\nSchläfst du noch? Schläfst du noch?\nHörst du nicht die Glocken? Hörst du nicht die Glocken?\nDing, dang, dong. Ding, dang, dong.\n',
  'Heidenröslein (Goethe, 1789)': `Sah ein Knab ein Röslein stehn,
Röslein auf der Heiden,
War so jung und morgenschön,
Lief er schnell, es nah zu sehn,
Sah's mit vielen Freuden.
Röslein, Röslein, Röslein rot,
Röslein auf der Heiden.

Knabe sprach: Ich breche dich,
Röslein auf der Heiden!
Röslein sprach: Ich steche dich,
Dass du ewig denkst an mich,
Und ich will's nicht leiden.
Röslein, Röslein, Röslein rot,
Röslein auf der Heiden.

Und der wilde Knabe brach
's Röslein auf der Heiden;
Röslein wehrte sich und stach,
Half ihm doch kein Weh und Ach,
Musst es eben leiden.
Röslein, Röslein, Röslein rot,
Röslein auf der Heiden.
`,
  'Alouette (traditionnelle)': alouette(),
  'Genealogy (American Standard Version, 1901)': genealogy(),
}

function cumulative(parts: readonly string[]): string {
  return parts
    .map(
      (_, last) =>
        `This is ${parts
          .slice(0, last + 1)
          .reverse()
          .join('\n')}.\n`,
    )
    .join('\n')
}

function days(): string {
  const ordinals = ['first', 'second', 'third', 'fourth', 'fifth', 'sixth', 'seventh', 'eighth', 'ninth', 'tenth', 'eleventh', 'twelfth']
  const gifts = [
    'a partridge in a pear tree',
    'two turtle doves',
    'three French hens',
    'four calling birds',
    'five gold rings',
    'six geese a-laying',
    'seven swans a-swimming',
    'eight maids a-milking',
    'nine ladies dancing',
    'ten lords a-leaping',
    'eleven pipers piping',
    'twelve drummers drumming',
  ]
  return ordinals
    .map(
      (day, last) =>
        `On the ${day} day of Christmas my true love sent to me:\n${gifts
          .slice(0, last + 1)
          .reverse()
          .join(',\n')
          .replace(/,\na partridge/, ' and\na partridge')}.\n`,
    )
    .join('\n')
}

function countdown(): string {
  return NUMBERS.slice(0, 10)
    .map((number, n) => {
      const line = `${number[0]?.toUpperCase()}${number.slice(1)} green bottles hanging on the wall,\n`
      return `${line}${line}And if one green bottle should accidentally fall,\nThere'll be ${NUMBERS[n + 1]} green bottles hanging on the wall.\n`
    })
    .join('\n')
}

function oldMan(): string {
  const rhymes = ['thumb', 'shoe', 'knee', 'door', 'hive', 'sticks', 'up in heaven', 'gate', 'spine', 'once again']
  return [...NUMBERS]
    .reverse()
    .slice(1)
    .map(
      (number, n) =>
        `This old man, he played ${number},\nHe played knick-knack on my ${rhymes[n]};\nWith a knick-knack, paddy whack, give a dog a bone,\nThis old man came rolling home.\n`,
    )
    .join('\n')
}

function alouette(): string {
  const parts = ['la tête', 'le bec', 'les yeux', 'le cou', 'les ailes', 'les pattes', 'la queue', 'le dos']
  return parts
    .map((part, n) => {
      const list = parts
        .slice(0, n + 1)
        .reverse()
        .map((one) => `Et ${one} ! Et ${one} !\n`)
        .join('')
      return `Alouette, gentille alouette,\nAlouette, je te plumerai.\nJe te plumerai ${part}. Je te plumerai ${part}.\n${list}Alouette ! Alouette !\nA-a-a-ah\n`
    })
    .join('\n')
}

function genealogy(): string {
  const line =
    'Seth 105 Enosh 807 912,Enosh 90 Kenan 815 905,Kenan 70 Mahalalel 840 910,Mahalalel 65 Jared 830 895,Jared 162 Enoch 800 962,Methuselah 187 Lamech 782 969'
  return line
    .split(',')
    .map((entry) => {
      const [father = '', age, son, after, all] = entry.split(' ')
      return `And ${father} lived ${age} years, and begat ${son}: and ${father} lived after he begat ${son} ${after} years, and begat sons and daughters: and all the days of ${father} were ${all} years: and he died.\n`
    })
    .join('')
}
