// Drives Hocuspocus providers: all documents over one socket.
// Arguments: the package of the provider, the server's URL, and the token, if there is one.
import * as Y from 'yjs'

const [providerPackage, url, token = null] = process.argv.slice(1)
const { HocuspocusProvider, HocuspocusProviderWebsocket } = await import(providerPackage)

/** Pages have an origin, and no other way to log in than by a token. */
class Page extends WebSocket {
  constructor (url, protocols) { super(url, protocols, { origin: 'http://localhost' }) }
}

const socket = new HocuspocusProviderWebsocket({
  url,
  WebSocketPolyfill: token === null ? WebSocket : Page,
  // It waits up to 30 s before it dials again.
  delay: 200,
  minDelay: 200,
  maxDelay: 500
})

class Document extends Edited {
  constructor (number, name) {
    super(number, Y)
    const event = this.event
    this.provider = new HocuspocusProvider({
      websocketProvider: socket,
      name,
      token,
      document: this.doc,
      broadcast: false
    })
    // Up to version 2 it attaches itself.
    this.provider.attach?.()
    this.provider.on('synced', () => event('sync'))
    this.provider.on('unsyncedChanges', () => event('saved'))
    this.provider.on('authenticated', () => event('authenticated', { scope: this.provider.authorizedScope }))
    this.provider.on('authenticationFailed', ({ reason }) => event('refused', { reason }))
    this.provider.on('stateless', ({ payload }) => event('stateless', { payload }))
    this.provider.on('close', ({ event: { code, reason } }) => event('closed', { code, reason: String(reason) }))
    this.provider.awareness.on('change', () => event('awareness'))
    this.doc.on('update', () => event('change'))
  }

  is_saved () { return !this.provider.hasUnsyncedChanges }
  unsynced_changes () { return this.provider.unsyncedChanges }
  send_stateless ({ payload }) { this.provider.sendStateless(payload) }
  connect () { (this.provider.attach ?? this.provider.connect).call(this.provider) }
  disconnect () { (this.provider.detach ?? this.provider.disconnect).call(this.provider) }
  destroy () { this.provider.destroy() }
}

await serve((number, { name }) => new Document(number, name))
