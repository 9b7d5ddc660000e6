// peer_tokens.mjs: the tokens of texts as o200k_base has them, by an npm package.
//   node peer_tokens.mjs FOLDER gpt-tokenizer|tiktoken FILE      FOLDER holds node_modules; a NUL behind each text
// Prints: seconds of CPU to be ready, to count, tokens.
import {createRequire} from 'node:module'
import {readFileSync} from 'node:fs'
import {resolve} from 'node:path'

const [folder, name, file] = process.argv.slice(2)
const texts = readFileSync(file, 'utf8').split('\0').slice(0, -1)
const seconds = from => { const {user} = process.cpuUsage(from); return user / 1e6 }

let began = process.cpuUsage()
const require = createRequire(resolve(folder, 'package.json'))
let count
if (name === 'tiktoken') {
  const encoding = require('tiktoken').get_encoding('o200k_base')
  count = text => encoding.encode_ordinary(text).length
} else {
  const {countTokens} = require('gpt-tokenizer/encoding/o200k_base')
  const options = {disallowedSpecial: new Set()}
  count = text => countTokens(text, options)
}
count('ready')
const ready = seconds(began)

began = process.cpuUsage()
let tokens = 0
for (const text of texts) tokens += count(text)
console.log(ready, seconds(began), tokens)
