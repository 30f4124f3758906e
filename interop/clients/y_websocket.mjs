// Drives y-websocket: one JSON command a line on stdin, one JSON reply a line on stdout,
// and lines with "event" whenever something happens by itself.
// Arguments: the package of the provider, the package of Yjs, the server's URL.
import { createInterface } from 'node:readline'
import { WebSocket } from 'ws'
import * as decoding from 'lib0/decoding'

const [providerPackage, yjsPackage, serverUrl] = process.argv.slice(1)
const Y = await import(yjsPackage)
const { WebsocketProvider } = await import(providerPackage)

const say = message => process.stdout.write(JSON.stringify(message) + '\n')
const hex = bytes => Buffer.from(bytes).toString('hex')

/** Every insertion and deletion of an update, as one string each. */
const idsOf = update => {
  const { structs, ds } = Y.decodeUpdate(update)
  const ids = []
  for (const struct of structs) {
    if (struct.constructor.name === 'Skip') continue
    for (let i = 0; i < struct.length; i++) ids.push(`+${struct.id.client}:${struct.id.clock + i}`)
  }
  for (const [client, ranges] of ds.clients) {
    for (const range of ranges.getIds?.() ?? ranges) {
      for (let i = 0; i < range.len; i++) ids.push(`-${client}:${range.clock + i}`)
    }
  }
  return ids
}

/** What the newest y-websocket calls its sync status: an edit is saved once it has come back. */
class Unsaved {
  constructor (onChange) {
    this.onChange = onChange
    this.ids = new Set()
    this.saved = 0
  }

  edited (update) {
    for (const id of idsOf(update)) this.ids.add(this.newest = id)
    this.onChange()
  }

  received (frame) {
    const decoder = decoding.createDecoder(frame)
    if (decoding.readVarUint(decoder) !== 0) return
    const kind = decoding.readVarUint(decoder)
    if (kind !== 1 && kind !== 2) return
    const before = this.ids.size
    for (const id of idsOf(decoding.readVarUint8Array(decoder))) {
      if (this.ids.delete(id) && id[0] === '+') this.saved++
    }
    if (this.ids.size !== before) this.onChange()
  }
}

class Document {
  constructor (number, name) {
    const event = name => say({ event: name, doc: number })
    this.doc = new Y.Doc()
    this.isNew = typeof this.doc.getText !== 'function' // Yjs 14 has one type for everything
    this.text = this.isNew ? this.doc.get('text') : this.doc.getText('text')
    this.map = this.isNew ? this.doc.get('map') : this.doc.getMap('map')
    this.unsaved = new Unsaved(() => event('saved'))
    const unsaved = this.unsaved
    class Tapped extends WebSocket {
      constructor (...args) {
        super(...args)
        this.on('message', data => unsaved.received(new Uint8Array(data)))
        this.on('close', (code, reason) => say({ event: 'closed', doc: number, code, reason: String(reason) }))
      }
    }
    this.provider = new WebsocketProvider(serverUrl, name, this.doc, {
      WebSocketPolyfill: Tapped,
      disableBc: true
    })
    this.provider.on('sync', () => event('sync'))
    this.provider.awareness.on('change', () => event('awareness'))
    this.doc.on('update', (update, origin) => {
      if (origin !== this.provider) this.unsaved.edited(update)
      event('change')
    })
  }

  insert ({ index, text }) { this.text.insert(index, text) }
  append ({ text }) { this.text.insert(this.text.length, text) }
  delete ({ index, len }) { this.text.delete(index, len) }
  set ({ key, value }) { this.isNew ? this.map.setAttr(key, value) : this.map.set(key, value) }

  /** Types one character after the other without waiting for anything. */
  type ({ text, every_ms: everyMs }) {
    let at = 0
    const timer = setInterval(() => {
      if (at < text.length) this.append({ text: text[at++] })
      else clearInterval(timer)
    }, everyMs)
  }

  content () {
    const vector = Y.encodeStateVector(this.doc)
    return {
      text: this.text.toString(),
      map: this.isNew ? this.map.toJSON().attrs ?? {} : this.map.toJSON(),
      vector: hex(vector),
      deletions: hex(Y.encodeStateAsUpdate(this.doc, vector))
    }
  }

  awareness ({ state }) { this.provider.awareness.setLocalState(state) }
  peers () {
    const own = this.provider.awareness.clientID
    return [...this.provider.awareness.getStates()].filter(([id]) => id !== own).map(([, state]) => state)
  }

  synced () { return this.provider.synced }
  is_saved () { return this.unsaved.ids.size === 0 }
  is_newest_saved () { return !this.unsaved.ids.has(this.unsaved.newest) }
  saved_count () { return this.unsaved.saved }
  connect () { this.provider.connect() }
  disconnect () { this.provider.disconnect() }
}

const documents = new Map()

const answer = command => {
  if (command.do === 'open') {
    documents.set(command.doc, new Document(command.doc, command.name))
    return null
  }
  const document = documents.get(command.doc)
  return document[command.do](command) ?? null
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    say({ value: answer(JSON.parse(line)) })
  } catch (error) {
    say({ error: String(error.stack) })
  }
}
process.exit()
