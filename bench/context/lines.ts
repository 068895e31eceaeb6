/**
 * What is said in sessions of the windows benchmark.
 *
 * @module
 */
import type { Line } from './fill.ts'
import { generateConversation, seeded } from './generate.ts'

/** Makes so many lines, the same for the same seed. */
export type MakeLines = (count: number, seed: number) => Iterable<Line>

const CODE = [
  'const total = items.reduce((sum, { price, count }) => sum + price * count, 0)',
  "SELECT id, name FROM users WHERE created_at > now() - interval '7 days' ORDER BY name;",
  'for (let i = 0; i < 0x1f; i++) { buffer[i] ^= key[i % key.length] }',
  '{"error":{"code":"E_4711","message":"upstream closed"},"retry":true,"after":1250}',
]
const CHINESE = '今天天气很好我们去公园散步然后在湖边的餐厅吃饭他说评分是四点七分电话是零一零门票五十元开放时间早上九点到下午五点'

/** Talk, code, Chinese, numbers and links, some of it long. */
export function* mixedLines(count: number, seed: number): Generator<Line> {
  const next = seeded(seed)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T
  const { turns } = generateConversation(seed, 4)
  for (let at = 0; at < count; at++) {
    const kind = next()
    const length = 1 + Math.floor(next() ** 3 * 24)
    const piece = (): string => {
      if (kind < 0.55) return pick(turns).text
      if (kind < 0.7) return pick(CODE)
      if (kind < 0.85) return `${CHINESE.slice(Math.floor(next() * 30), 30 + Math.floor(next() * 26))}。`
      return `https://example.org/${Math.floor(next() * 1e9).toString(36)}?q=${Math.floor(next() * 1e6)} ${Math.floor(next() * 1e12)}`
    }
    yield { role: at % 2 === 0 ? 'user' : 'assistant', text: Array.from({ length }, piece).join(kind < 0.7 ? '\n' : ' ') }
  }
}

const SENTENCES: readonly (readonly string[])[] = [
  [
    'Вчера мы поехали за город и долго гуляли вдоль реки.',
    'Она сказала, что поезд опаздывает на сорок минут, и купила нам кофе.',
    'Сколько стоит ремонт велосипеда, если нужно заменить цепь и тормоза?',
  ],
  [
    'ذهبنا أمس إلى السوق واشترينا الخبز والزيتون والتمر.',
    'هل يمكنك أن تشرح لي كيف يعمل هذا البرنامج؟',
    'كان الجو باردا في الجبال لكن المنظر كان جميلا.',
  ],
  [
    '昨日は友達と京都へ行って、川のそばで昼ごはんを食べました。',
    'このプログラムがなぜ止まるのか、もう少し詳しく教えてください。',
    'カメラのレンズを交換したら、写真がとてもきれいになった。',
  ],
  [
    '어제 친구와 함께 바다에 가서 하루 종일 걸었어요.',
    '이 오류 메시지가 무슨 뜻인지 설명해 주세요.',
    '내일 아침 여덟 시에 회의가 있습니다.',
  ],
  ['कल हम नदी के किनारे बहुत देर तक घूमते रहे।', 'क्या आप मुझे बता सकते हैं कि यह कैसे काम करता है?'],
  ['เมื่อวานเราไปตลาดและซื้อผลไม้มากมาย', 'ช่วยอธิบายข้อผิดพลาดนี้ให้หน่อยได้ไหม'],
  [
    'Gestern sind wir über die Brücke gegangen und haben uns ausführlich unterhalten.',
    'Die Wohnungsbesichtigung wurde wegen eines Wasserrohrbruchs verschoben.',
    'Kemarin kami berjalan-jalan di sepanjang sungai dan membeli makanan di pasar.',
    'Hôtel réservé, café près de la gare : il n’y a plus qu’à partir !',
  ],
]
const EMOJI = ['😀', '🎉', '👍🏽', '❤️', '👩‍💻', '🌍', '🔥', '🥐', '🚲', '🇫🇮']
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

/** Seven ways to write words, emoji, base64, tables of figures and indented code, each a line alone: nothing of it is in {@link mixedLines} but figures. */
export function* manyScripts(count: number, seed: number): Generator<Line> {
  const next = seeded(seed)
  const below = (limit: number): number => Math.floor(next() * limit)
  const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T
  const number = (): string => (next() * 10 ** below(6)).toFixed(below(4))
  const pieces: readonly (() => string)[] = [
    ...SENTENCES.map((sentences) => () => pick(sentences)),
    () => Array.from({ length: 6 }, () => pick(EMOJI)).join(''),
    () => Array.from({ length: 60 }, () => pick([...ALPHABET])).join(''),
    () => `${[2000 + below(30), 10 + below(3), 10 + below(18)].join('-')}\t${number()}\t${number()}\t${number()}`,
    () => `${' '.repeat(4 * below(6))}if (values[${below(90)}] === undefined) {\n${' '.repeat(4 * below(6))}continue\n}`,
  ]
  for (let at = 0; at < count; at++) {
    const piece = pick(pieces)
    const length = 1 + Math.floor(next() ** 3 * 24)
    yield { role: at % 2 === 0 ? 'user' : 'assistant', text: Array.from({ length }, piece).join('\n') }
  }
}
