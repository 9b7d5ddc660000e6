// peer_checks.mjs: chat examples through JSON.parse and the checks of OpenAI's cookbook, as peer_checks.py. Lines are cut
// out of blocks of 1 MiB, which takes half the time that node:readline does.
//   node peer_checks.mjs FILE
import {closeSync, openSync, readSync} from 'node:fs'

const KEYS = new Set(['role', 'content', 'name', 'function_call', 'weight'])
const ROLES = new Set(['system', 'user', 'assistant', 'function'])
const errors = {}
const tell = rule => { errors[rule] = (errors[rule] ?? 0) + 1 }

function check(example) {
  if (example === null || typeof example !== 'object' || Array.isArray(example)) return tell('data_type')
  const messages = example.messages
  if (!messages || messages.length === 0) return tell('missing_messages_list')
  let assistants = 0
  for (const message of messages) {
    if (!('role' in message) || !('content' in message)) tell('message_missing_key')
    for (const key in message) if (!KEYS.has(key)) { tell('message_unrecognized_key'); break }
    if (!ROLES.has(message.role)) tell('unrecognized_role')
    if ((!message.content && !message.function_call) || typeof message.content !== 'string') tell('missing_content')
    assistants += message.role === 'assistant'
  }
  if (assistants === 0) tell('example_missing_assistant_message')
}

function parse(line) {
  try {
    check(JSON.parse(line))
  } catch {
    tell('json')
  }
}

const block = Buffer.allocUnsafe(4 << 20)
const fd = openSync(process.argv[2], 'r')
let have = 0, count = 0
for (let got; (got = readSync(fd, block, have, Math.min(1 << 20, block.length - have), null)) > 0;) {
  have += got
  let at = 0
  for (let end; (end = block.indexOf(10, at)) >= 0 && end < have; at = end + 1, count++) parse(block.toString('utf8', at, end))
  block.copyWithin(0, at, have)
  have -= at
}
closeSync(fd)
console.log(count, Object.values(errors).reduce((a, b) => a + b, 0))
