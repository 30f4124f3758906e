// Reads documents with a real Yjs, and writes random ones. One JSON request per line, one JSON
// answer per line. Arguments: the directory of node_modules.
'use strict'
const path = require('node:path')
const readline = require('node:readline')
const Y = require(path.resolve(process.argv[2], 'node_modules', 'yjs'))

const hex = bytes => Buffer.from(bytes).toString('hex')
const unhex = text => new Uint8Array(Buffer.from(text, 'hex'))

const entries = (pairs) => Object.fromEntries([...pairs].map(([key, value]) => [key, encode(value)]))
const delta = text => text.toDelta().map(part => {
  const out = { insert: encode(part.insert) }
  if (part.attributes) out.attributes = encode(part.attributes)
  return out
})

// JSON for every value a document can hold; what JSON lacks becomes an object with the key `$`.
function encode (value) {
  if (value === undefined) return { $: 'undefined' }
  if (typeof value === 'bigint') return { $: 'bigint', v: String(value) }
  if (typeof value === 'number') {
    return Number.isFinite(value) && !Object.is(value, -0) ? value : { $: 'number', v: String(value) }
  }
  if (value === null || typeof value !== 'object') return value
  if (value instanceof Uint8Array) return { $: 'bytes', v: hex(value) }
  if (value instanceof Y.Doc) return { $: 'subdoc', guid: value.guid }
  if (value instanceof Y.XmlText) return { $: 'xmltext', delta: delta(value), attributes: entries(Object.entries(value.getAttributes())) }
  if (value instanceof Y.Text) return { $: 'text', delta: delta(value), attributes: entries(Object.entries(value.getAttributes())) }
  if (value instanceof Y.XmlHook) return { $: 'hook', name: value.hookName, map: entries(value.entries()) }
  if (value instanceof Y.Map) return { $: 'map', entries: entries(value.entries()) }
  if (value instanceof Y.Array) return { $: 'array', items: value.toArray().map(encode) }
  if (value instanceof Y.XmlElement) {
    return { $: 'element', name: value.nodeName, attributes: entries(Object.entries(value.getAttributes())), children: value.toArray().map(encode) }
  }
  if (value instanceof Y.XmlFragment) return { $: 'fragment', children: value.toArray().map(encode) }
  if (Array.isArray(value)) return value.map(encode)
  return entries(Object.entries(value))
}

function newDoc (options) {
  const doc = new Y.Doc(options)
  doc.getText('t'); doc.getArray('a'); doc.getMap('m'); doc.getXmlFragment('x')
  return doc
}

// A client that writes no clean-up of redundant formatting: that depends on what came together.
function newReader (gc) {
  const doc = newDoc({ gc })
  doc.on('beforeTransaction', transaction => {
    Object.defineProperty(transaction, '_needFormattingCleanup', { get: () => false, set () {} })
  })
  return doc
}

function view (doc) {
  const json = { t: encode(doc.getText('t')), a: encode(doc.getArray('a')), m: encode(doc.getMap('m')), x: encode(doc.getXmlFragment('x')) }
  const deleteSet = {}
  Y.createDeleteSetFromStructStore(doc.store).clients.forEach((ranges, client) => {
    if (ranges.length > 0) deleteSet[client] = ranges.map(range => [range.clock, range.len])
  })
  const stateVector = {}
  Y.decodeStateVector(Y.encodeStateVector(doc)).forEach((clock, client) => { stateVector[client] = clock })
  return {
    json,
    xml: doc.getXmlFragment('x').toString(),
    delta: delta(doc.getText('t')),
    deleteSet,
    stateVector,
    pending: doc.store.pendingStructs !== null || doc.store.pendingDs !== null
  }
}

function read ({ updates, gc }) {
  const doc = newReader(gc)
  for (const update of updates) Y.applyUpdate(doc, unhex(update))
  return view(doc)
}

// Whether updates can be taken, and handed on.
function take ({ updates }) {
  const doc = newReader(true)
  for (const update of updates) Y.applyUpdate(doc, unhex(update))
  Y.encodeStateAsUpdate(doc)
  return {}
}

// xorshift32: documents repeat exactly.
function random (seed) {
  let state = (seed * 2654435761 + 1) >>> 0 || 1
  return end => {
    state ^= state << 13; state >>>= 0
    state ^= state >>> 17
    state ^= state << 5; state >>>= 0
    return state % end
  }
}

const WORDS = ['a', 'to', 'word ', 'é', '€', 'sentence. ', '😀', 'x😀y', '👩‍👧']

function someValue (rand) {
  const word = WORDS[rand(WORDS.length)]
  const values = [null, undefined, true, false, rand(1000), -rand(1e9), rand(1000) / 7, 2 ** 40 + rand(9), BigInt(rand(1e9)) * 1000003n,
    word, '', new Uint8Array([rand(256), rand(256)]), [1, [word]], { k: { l: rand(9) }, u: undefined }, NaN, -0, Infinity]
  return values[rand(values.length)]
}

// Lists take two kinds of values inside others only.
function someListValue (rand) {
  const value = someValue(rand)
  return value === undefined || typeof value === 'bigint' ? [value] : value
}

function someType (rand) {
  switch (rand(5)) {
    case 0: return new Y.Map([['n', rand(9)]])
    case 1: return Y.Array.from([someListValue(rand), rand(9)])
    case 2: return new Y.Text(WORDS[rand(WORDS.length)])
    case 3: return new Y.Doc({ guid: 'g' + rand(1e6), autoLoad: rand(2) === 0, meta: { a: 1 } })
    default: return new Y.XmlElement('n')
  }
}

// Places where no surrogate pair is cut.
function places (text) {
  const out = [0]
  let at = 0
  for (const part of text.toDelta()) {
    if (typeof part.insert === 'string') for (const char of part.insert) out.push(at += char.length)
    else out.push(at += 1)
  }
  return out
}

function editText (text, rand) {
  const all = places(text)
  const first = rand(all.length)
  const last = Math.min(first + rand(8), all.length - 1)
  const at = all[first]
  const length = all[last] - at
  const kind = rand(10)
  if (kind < 2 && length > 0) text.delete(at, length)
  else if (kind === 2 && length > 0) text.format(at, length, { b: [true, null][rand(2)] })
  else if (kind === 3 && length > 0) text.format(at, length, { c: { rgb: rand(3) }, i: null })
  else if (kind === 4) text.insertEmbed(at, { img: rand(9) })
  else if (kind === 5) text.insert(at, WORDS[rand(WORDS.length)], { b: true })
  else if (kind === 6) text.insert(all[all.length - 1], WORDS[rand(WORDS.length)])
  else text.insert(at, WORDS[rand(WORDS.length)])
}

function editArray (array, rand) {
  const at = rand(array.length + 1)
  const kind = rand(6)
  if (kind < 2 && at < array.length) array.delete(at, Math.min(1 + rand(3), array.length - at))
  else if (kind === 2) array.insert(at, [someType(rand)])
  else array.insert(at, Array.from({ length: 1 + rand(3) }, () => someListValue(rand)))
}

function editMap (map, rand) {
  const key = ['k', 'l', '', 'ключ'][rand(4)]
  const kind = rand(6)
  if (kind === 0) map.delete(key)
  else map.set(key, kind === 1 ? someType(rand) : someValue(rand))
}

function editXml (xml, rand) {
  const at = rand(xml.length + 1)
  const kind = rand(7)
  if (kind < 2 && at < xml.length) xml.delete(at, 1)
  else if (kind === 2) xml.insert(at, [new Y.XmlText(WORDS[rand(WORDS.length)])])
  else if (at < xml.length && xml.get(at) instanceof Y.XmlElement) {
    const element = xml.get(at)
    if (kind === 3) element.setAttribute('id', String(rand(9)))
    else if (kind === 4) element.removeAttribute('id')
    else editXml(element, rand)
  } else if (at < xml.length && xml.get(at) instanceof Y.XmlText) editText(xml.get(at), rand)
  else xml.insert(at, [new Y.XmlElement(['p', 'h1'][rand(2)])])
}

function edit (doc, rand) {
  const kind = rand(12)
  if (kind < 4) editText(doc.getText('t'), rand)
  else if (kind < 6) editArray(doc.getArray('a'), rand)
  else if (kind < 8) editMap(doc.getMap('m'), rand)
  else if (kind < 10) editXml(doc.getXmlFragment('x'), rand)
  else {
    const nested = [...doc.getArray('a').toArray(), ...doc.getMap('m').values()]
    const value = nested[rand(nested.length || 1)]
    if (value instanceof Y.Map) editMap(value, rand)
    else if (value instanceof Y.Array) editArray(value, rand)
    else if (value instanceof Y.XmlElement) editXml(value, rand)
    else if (value instanceof Y.Text) editText(value, rand)
  }
}

// A random document: its updates in causal order, some that overlap them, and what is to be seen.
function write ({ seed }) {
  const rand = random(seed)
  const log = []
  const overlaps = []
  const docs = Array.from({ length: 2 + rand(3) }, (_, n) => {
    const doc = newDoc({ gc: rand(3) > 0 })
    doc.clientID = [n + 1, rand(2 ** 32), 2 ** 52 + rand(2 ** 31)][rand(3)]
    doc.on('beforeTransaction', transaction => {
      Object.defineProperty(transaction, '_needFormattingCleanup', { get: () => false, set () {} })
    })
    doc.on('update', (update, origin) => { if (origin !== 'remote') log.push(hex(update)) })
    return doc
  })
  const undo = new Y.UndoManager([docs[0].getText('t'), docs[0].getArray('a'), docs[0].getMap('m')], { captureTimeout: 0 })
  const steps = 20 + rand(100)
  for (let step = 0; step < steps; step++) {
    const doc = docs[rand(docs.length)]
    const kind = rand(12)
    if (kind === 0 && doc === docs[0]) undo.undo()
    else if (kind === 1 && doc === docs[0]) undo.redo()
    else if (kind < 4) {
      const update = Y.encodeStateAsUpdate(docs[rand(docs.length)], Y.encodeStateVector(doc))
      Y.applyUpdate(doc, update, 'remote')
      overlaps.push(hex(update))
    } else doc.transact(() => { for (let n = rand(3); n >= 0; n--) edit(doc, rand) })
  }
  for (let n = 0; n < log.length / 4; n++) {
    const some = Array.from({ length: 2 + rand(3) }, () => unhex(log[rand(log.length)]))
    overlaps.push(hex(Y.mergeUpdates(some)))
  }
  for (const doc of docs) {
    for (const update of log) Y.applyUpdate(doc, unhex(update), 'remote')
    overlaps.push(hex(Y.encodeStateAsUpdate(doc)))
  }
  return { updates: log, overlaps, view: read({ updates: log, gc: true }) }
}

const HANDLERS = { read, take, write }

readline.createInterface({ input: process.stdin }).on('line', line => {
  const request = JSON.parse(line)
  let answer
  try {
    answer = HANDLERS[request.do](request)
  } catch (error) {
    answer = { error: String(error && error.stack) }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
})
