// Hocuspocus with its defaults, and a file for each document: its own stores want a database.
// Arguments: the package of the server, the port, the directory, and whether it asks for tokens:
// `guarded` or `open`.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as Y from 'yjs'

const [serverPackage, port, directory, access] = process.argv.slice(1)
const { Hocuspocus, Server } = await import(serverPackage)
const path = name => join(directory, encodeURIComponent(name))

const configuration = {
  address: '127.0.0.1',
  port: Number(port),
  quiet: true,
  async onLoadDocument ({ document, documentName }) {
    const file = path(documentName)
    if (existsSync(file)) Y.applyUpdate(document, readFileSync(file))
  },
  async onStoreDocument ({ document, documentName }) {
    const file = path(documentName)
    writeFileSync(`${file}.part`, Y.encodeStateAsUpdate(document))
    renameSync(`${file}.part`, file)
  },
  /** Everyone is told what anyone says, but for three orders. */
  async onStateless ({ connection, document, payload }) {
    if (payload === 'ask for my token') connection.requestToken()
    else if (payload === 'ping me') connection.webSocket.send(new Uint8Array([9])) // only 4 knows it
    else if (payload === 'close my document') connection.close({ code: 4205, reason: 'Reset Connection' })
    else document.broadcastStateless(payload)
  }
}

if (access === 'guarded') {
  // Version 2 has another name for what may be changed about a connection.
  configuration.onAuthenticate = async ({ token, connectionConfig, connection }) => {
    if (token !== 'secret' && token !== 'reader') throw new Error('unknown token')
    ;(connectionConfig ?? connection).readOnly = token === 'reader'
  }
}

await (serverPackage.endsWith('2') ? new Hocuspocus(configuration) : new Server(configuration)).listen()
console.log('listening')
