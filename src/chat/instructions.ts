/**
 * Standing instructions: what the user typed to hold from now on. Recognised by rules, without a model.
 *
 * Only typed text counts. Material, tool output and what models write may hold the same words, and must never govern
 * later answers.
 *
 * @module
 */
import type { Message, Part } from './message.ts'

/** One standing instruction, word for word. */
export interface Instruction {
  readonly messageId: string
  readonly text: string
}

/** Longer sentences are seldom rules, in characters; longer messages are seldom about rules. */
const LONGEST_SENTENCE = 300
const LONGEST_TEXT = 8000

const SENTENCE = /(?<=[.!?。！？])\s*|\n+/u
const QUESTION = /[?？]\s*$/u
/** Words that may come before an imperative. */
const LEAD =
  /^(?:(?:please|and|but|also|ok(?:ay)?|so|then|hey|hi|bitte|und|also|s'il (?:te|vous) pla[iî]t|et|por favor|y)\b[\s,:]*|(?:请|那么|好的|另外)[，,\s]*)+/iu

/** What begins a sentence that is meant to last. */
const BEGINS: readonly RegExp[] = [
  /^(?:always|never)\b(?!\s+mind\b)/i,
  /^(?:do not|don't|you must not|you mustn't) ever\b/i,
  /^you (?:must|should|shall|have to|need to) (?:always|never)\b/i,
  /^(?:i want you to|i need you to|i'd like you to|make sure (?:that )?you|be sure to|try to) (?:always|never|only|answer|reply|respond|call|use|write|speak)\b/i,
  /^(?:from now on|from here on|henceforth|going forward|in (?:the )?future)\b/i,
  /^(?:answer|reply|respond|write|speak|talk)(?: to me| me)? (?:always |only |just )?(?:in|with|as|like|only|briefly|concisely)\b/i,
  /^(?:keep your answers|keep answers|keep it) (?:short|brief|simple|concise|under)\b/i,
  /^(?:you can |you may )?call me\b/i,
  /^(?:remember|keep in mind|bear in mind|don't forget|do not forget)(?: that| to| my| i| we|:|,)/i,
  /^(?:antworte|schreib|schreibe|sprich|rede)(?: mir| mit mir)? (?:bitte )?(?:immer|nur|auf|in|kurz|stets|ab|von)\b/i,
  /^(?:immer|niemals|nie|ab (?:jetzt|sofort|nun)|von (?:nun|jetzt) an|künftig|zukünftig|in zukunft)(?![\p{L}])/iu,
  /^(?:nenn|nenne) mich\b/i,
  /^(?:merk|merke) dir\b|^(?:denk|denke) (?:daran|immer)\b|^vergiss nicht\b/i,
  /^(?:toujours|jamais|désormais|dorénavant|à partir de maintenant|à l'avenir)(?![\p{L}])/iu,
  /^(?:réponds|répondez|écris|écrivez|parle|parlez)(?:[- ]moi)? (?:toujours|en|seulement|uniquement|brièvement|de façon)(?![\p{L}])/iu,
  /^ne .{1,40} jamais(?![\p{L}])/iu,
  /^(?:appelle|appelez)[- ]moi\b/i,
  /^(?:souviens[- ]toi|souvenez[- ]vous|rappelle[- ]toi|retiens|n'oublie pas|n'oubliez pas)(?![\p{L}])/iu,
  /^(?:siempre|nunca|a partir de ahora|de ahora en adelante|en adelante)\b/i,
  /^(?:responde|respóndeme|contesta|contéstame|escribe|escríbeme|habla|háblame)(?: siempre| solo| sólo)? (?:siempre|en|con|solo|sólo|brevemente)(?![\p{L}])/iu,
  /^ll[aá]mame(?![\p{L}])/iu,
  /^(?:recuerda|recuérdalo|no olvides|ten en cuenta)(?: que|:|,| mi)/iu,
  /^(?:以后|今后|从现在(?:开始|起)|从今以后)/u,
  /^(?:总是|永远|始终|一直|绝对不要|千万不要|不要再)/u,
  /^(?:用|使用|只用).{1,8}(?:回答|回复|交流|写)/u,
  /^(?:叫我|称呼我|你可以叫我)/u,
  /^(?:记住|记得|别忘了|不要忘记)/u,
]
/** Holds wherever it stands in a sentence that addresses the model. */
const ANYWHERE =
  /\b(?:from now on|in all your answers|in every answer|ab sofort|von nun an|à partir de maintenant|de ahora en adelante)(?![\p{L}])|从现在(?:开始|起)/iu

/** Takes back the newest instruction. */
const FORGET =
  /^(?:never ?mind(?: that| about that)?|(?:forget|ignore|disregard|drop|scrap) (?:that|this|it|what i (?:just )?(?:said|asked|told you)|(?:the|my) (?:last|previous) (?:instruction|rule|request))|vergiss (?:das|es)(?: wieder)?|ignoriere das|oublie (?:ça|cela)|oubliez (?:ça|cela)|olvida (?:eso|esto)|olvídalo|(?:忘了|忘掉|别管|不用管)(?:这|那|它)(?:个|条|些)?|算了)(?:[\s,]+(?:again|now|please|bitte))?[^\p{L}\p{N}]*$/iu
/** Takes back all of them. */
const FORGET_ALL =
  /^(?:(?:forget|ignore|disregard|drop) (?:all|every|everything)(?: (?:of )?(?:(?:the|my|your|those|these) )?(?:(?:previous|earlier|standing) )?(?:instructions?|rules?|requests?))?(?: (?:that )?i (?:have )?(?:said|asked|told you))?(?: so far| before)?|vergiss (?:alles|alle regeln)|oublie tout|olvida todo|忘(?:了|掉)(?:一切|所有)(?:规则|要求|指示)?)[^\p{L}\p{N}]*$/iu

/** Instructions about the same thing: the newest wins. */
const SUBJECTS: readonly (readonly [subject: string, pattern: RegExp])[] = [
  ['name', /\bcall me\b|\bnenne? mich\b|\bappell?e[zr]?[- ]moi\b|ll[aá]mame|叫我|称呼我/iu],
  [
    'language',
    // Languages have capitals in English and German, so case counts here.
    /\b(?:[Aa]nswer|[Rr]eply|[Rr]espond|[Ww]rite|[Ss]peak|[Tt]alk)\b.*\bin (?:[A-Z]\p{L}+|my language)|\b(?:[Aa]ntworte|[Ss]chreibe?|[Ss]prich|[Rr]ede)\b.*\b(?:auf|in) [A-Z]\p{L}+|(?:[Rr]éponds|[Rr]épondez|[ÉéEe]cris|[ÉéEe]crivez|[Pp]arlez?)(?!\p{L}).*\ben \p{L}+|(?:[Rr]esponde|[Rr]espóndeme|[Cc]ontesta|[Ee]scribe|[Hh]abla)\b.*\ben \p{L}+|用.{1,8}(?:语|文|话)/u,
  ],
  [
    'length',
    /\b(?:short|brief|briefly|concise|concisely|long|detailed|at length|kurz|ausführlich|bref|brièvement|court|breve|brevemente)\b|简短|详细|简洁/iu,
  ],
]

/** The text of a message that the user typed. */
function typedText(parts: readonly Part[]): string {
  return parts.flatMap((part) => (part.type === 'text' && part.origin !== 'material' ? [part.text] : [])).join('\n')
}

/** Whether a message gives or takes back standing instructions. */
export function concernsInstructions({ role, parts }: Pick<Message, 'role' | 'parts'>): boolean {
  return (
    role === 'user' &&
    sentences(typedText(parts)).some((sentence) => isInstruction(sentence) || FORGET.test(sentence) || FORGET_ALL.test(sentence))
  )
}

/** What holds after these messages, in the order in which it was said. */
export function standingInstructions(messages: readonly Message[]): Instruction[] {
  let standing: Instruction[] = []
  for (const { id, role, parts } of messages) {
    if (role !== 'user') continue
    for (const text of sentences(typedText(parts))) {
      if (FORGET_ALL.test(text)) standing = []
      else if (FORGET.test(text)) standing.pop()
      else if (isInstruction(text)) standing = [...standing.filter((old) => !replaces(text, old.text)), { messageId: id, text }]
    }
  }
  return standing
}

function isInstruction(sentence: string): boolean {
  if (QUESTION.test(sentence)) return false
  return (
    BEGINS.some((pattern) => pattern.test(sentence)) ||
    (ANYWHERE.test(sentence) && !/^(?:i|we|he|she|they|ich|wir|je|nous|yo)\b/iu.test(sentence))
  )
}

function replaces(text: string, old: string): boolean {
  return text === old || SUBJECTS.some(([, pattern]) => pattern.test(text) && pattern.test(old))
}

/** Without what leads up to the imperative. */
function sentences(text: string): string[] {
  if (text.length > LONGEST_TEXT) return []
  return text
    .split(SENTENCE)
    .map((sentence) => sentence.trim().replace(LEAD, ''))
    .filter((sentence) => sentence.length > 1 && sentence.length <= LONGEST_SENTENCE)
}
