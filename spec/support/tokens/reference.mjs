// reference.mjs: strings of all kinds, and how many tokens npm tiktoken counts in each; for tokens_npm_spec.lua.
//
//   node reference.mjs FOLDER COUNT SEED OUT [FILE...]
//
// FOLDER holds node_modules. Written: OUT.strings, each as four bytes of length (little-endian) and UTF-8; and
// OUT.o200k_base, OUT.cl100k_base, a line with a number for each. The strings: COUNT made by a seeded generator, and
// those of the JSONL files. Where gpt-tokenizer's counts differ from tiktoken's is told on the standard output.
import {createRequire} from 'node:module'
import {readFileSync, writeFileSync} from 'node:fs'
import {resolve} from 'node:path'

const [folder, count, seed, out, ...files] = process.argv.slice(2)
const require = createRequire(resolve(folder, 'package.json'))
const {get_encoding} = require('tiktoken')

let state = Number(seed) >>> 0 || 1
function random(n) { // xorshift: the same strings for a seed
  state ^= state << 13; state >>>= 0
  state ^= state >>> 17
  state ^= state << 5; state >>>= 0
  return state % n
}
const pick = list => list[random(list.length)]
const many = (most, f) => Array.from({length: 1 + random(most)}, f).join('')

const SPACES = [' ', '  ', '   ', '\n', '\r\n', '\n\n', '\t', ' \n', '\n ', '\u00a0', '\u2003', '\u3000', '\u0085', '\u2028',
  '\ufeff', '\v', '\f', '\u200b', '\u1680', '      ', '\n    ']
const WORDS = ['the', 'The', 'THE', 'helloWorld', 'HTTPServer', 'iPhone', 'naïve', 'Straße', 'ÉCOLE', 'élan', 'Привет', 'мир',
  'ΑΒΓ', 'αβγ', 'ǅ', 'ʰ', 'ª', 'مرحبا', 'שלום', 'नमस्ते', 'ภาษาไทย', '안녕하세요', '日本語', '漢字かな', '中文', 'ﬁ', 'x', 'Z', 'aB', 'Ab',
  'e\u0301', '\u0301', 'A\u0308', '\u0301AB', '中AB', 'ab中', 'Aʰb', 'iş', 'İ', 'ǆ', 'K', 'antidisestablishmentarianism']
const ENDINGS = ["'s", "'S", "'t", "'re", "'VE", "'m", "'Ll", "'d", "'ſ", "'", "''", "'x", "’s", "'l", "'r"]
const NUMBERS = ['0', '12', '345', '6789', '1234567', '٣٤', '½', 'Ⅷ', '²', '१२३', '𝟘𝟙', '3.14', '1,000']
const SIGNS = ['.', ',', '!', '?!', '...', '/', '//', '\\', '"', '(', ')', '{}', '[]', '=>', '!==', '<|endoftext|>', '<|im_start|>', '#', '@',
  '€', '—', '…', '😀', '👩‍👩‍👧‍👦', '🇩🇪', '❤️', '¿', '。', '، ', '\u0000', '\u0001', '\u007f', '\u0600', '\ue000', '\u{10ffff}', '\ufffd', '~~~~',
  '====', '----', '\u0378', '\u{1f600}\u{1f3fd}', '/*', '*/', '\n/', '!\n/', '!\r\n//\n']
const KINDS = [SPACES, WORDS, WORDS, ENDINGS, NUMBERS, SIGNS]
const RANGES = [[0, 0x7f], [0x20, 0x7e], [0x80, 0x24f], [0x250, 0x6ff], [0x700, 0x1fff], [0x2000, 0x2fff], [0x3000, 0xd7ff], [0xe000, 0xffff],
  [0x10000, 0x1ffff], [0x20000, 0x10ffff]]

const encodings = {o200k_base: get_encoding('o200k_base'), cl100k_base: get_encoding('cl100k_base')}
const decoder = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true})
function token() { // of a vocabulary, where it is UTF-8 by itself
  try {
    return decoder.decode(encodings.o200k_base.decode_single_token_bytes(random(199990)))
  } catch {
    return 'x'
  }
}
const anywhere = () => { const [a, b] = pick(RANGES); return String.fromCodePoint(a + random(b - a + 1)) }
const letters = few => { const set = Array.from({length: few}, () => pick('abcdefghijklmnopqrstuvwxyzACGT')); return () => pick(set) }
const MAKERS = [
  () => many(12, () => pick(pick(KINDS))),
  () => many(30, anywhere),
  () => { const [a, b] = pick(RANGES); return many(20, () => String.fromCodePoint(a + random(b - a + 1))) },
  () => many(12, token),
  () => many(8, () => pick(pick(KINDS)) + pick(SPACES)),
  () => many(200, letters(1 + random(6))),
  () => pick(pick(KINDS)).repeat(1 + random(60)),
  () => many(60, () => pick(['a', 'A', '\u0301', '中', 'ʰ', "'", 's', ' '])),
]
const LONG = [() => many(5000, letters(1 + random(4))), () => pick(pick(KINDS)).repeat(5000), () => many(2000, token),
  () => Array.from({length: 2500}, () => String.fromCodePoint(0x4e00 + random(500))).join(''),
  () => Array.from({length: 2000}, () => token().replace(/[^a-z]/g, '')).join('')]

const strings = []
for (const file of files)
  for (const line of readFileSync(file, 'utf8').split('\n').filter(Boolean))
    for (const {content} of JSON.parse(line).messages) if (typeof content === 'string') strings.push(content)
const generated = Number(count)
for (let i = 0; i < generated; i++)
  strings.push((i % 500 === 499 ? pick(LONG)() : pick(MAKERS)()).toWellFormed())

const chunks = []
for (const text of strings) {
  const bytes = Buffer.from(text), length = Buffer.alloc(4)
  length.writeUInt32LE(bytes.length)
  chunks.push(length, bytes)
}
writeFileSync(out + '.strings', Buffer.concat(chunks))
for (const [name, encoding] of Object.entries(encodings)) {
  const counts = strings.map(text => encoding.encode_ordinary(text).length)
  writeFileSync(`${out}.${name}`, counts.join('\n') + '\n')
  const other = require('gpt-tokenizer/encoding/' + name)
  let differ = 0
  for (let i = 0; i < strings.length; i++)
    if (other.countTokens(strings[i], {disallowedSpecial: new Set()}) !== counts[i]) differ++
  console.log(`${name} ${strings.length} strings, gpt-tokenizer differs on ${differ}`)
}
