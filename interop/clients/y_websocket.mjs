// Drives y-websocket.
// Arguments: the package of the provider, the package of Yjs, the server's URL.
import * as decoding from 'lib0/decoding'

const [providerPackage, yjsPackage, serverUrl] = process.argv.slice(1)
const Y = await import(yjsPackage)
const { WebsocketProvider } = await import(providerPackage)

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

class Document extends Edited {
  constructor (number, name) {
    super(number, Y)
    const event = this.event
    this.unsaved = new Unsaved(() => event('saved'))
    const unsaved = this.unsaved
    class Tapped extends WebSocket {
      constructor (...args) {
        super(...args)
        this.on('message', data => unsaved.received(new Uint8Array(data)))
        this.on('close', (code, reason) => event('closed', { code, reason: String(reason) }))
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

  is_saved () { return this.unsaved.ids.size === 0 }
  is_newest_saved () { return !this.unsaved.ids.has(this.unsaved.newest) }
  saved_count () { return this.unsaved.saved }
  connect () { this.provider.connect() }
  disconnect () { this.provider.disconnect() }
}

await serve((number, { name }) => new Document(number, name))
