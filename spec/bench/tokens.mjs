// tokens.mjs: the same as tokens.c with an npm package: node tokens.mjs FOLDER tiktoken|gpt-tokenizer ENCODING FILE
// Prints tokens, bytes and seconds of user CPU, after one pass over a tenth to warm up.
import {createRequire} from 'node:module'
import {readFileSync} from 'node:fs'
import {resolve} from 'node:path'

const [folder, name, encoding, file] = process.argv.slice(2)
const require = createRequire(resolve(folder, 'package.json'))
const packed = readFileSync(file), texts = []
for (let at = 0; at + 4 <= packed.length; at += 4 + packed.readUInt32LE(at))
  texts.push(packed.toString('utf8', at + 4, at + 4 + packed.readUInt32LE(at)))

let count
if (name === 'tiktoken') {
  const e = require('tiktoken').get_encoding(encoding)
  count = text => e.encode_ordinary(text).length
} else {
  const e = require('gpt-tokenizer/encoding/' + encoding), options = {disallowedSpecial: new Set()}
  count = text => e.countTokens(text, options)
}
for (const text of texts.slice(0, texts.length / 10)) count(text)
const began = process.cpuUsage()
let tokens = 0, bytes = 0
for (const text of texts) tokens += count(text)
const used = process.cpuUsage(began)
for (const text of texts) bytes += Buffer.byteLength(text)
console.log(tokens, bytes, (used.user / 1e6).toFixed(4))
