// Hocuspocus with its defaults, and a file for each document: its own stores want a database.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Database } from '@hocuspocus/extension-database'
import { Server } from '@hocuspocus/server'

const [port, directory] = process.argv.slice(-2)
const path = name => join(directory, encodeURIComponent(name))

const database = new Database({
  fetch: async ({ documentName }) => {
    const file = path(documentName)
    return existsSync(file) ? new Uint8Array(readFileSync(file)) : null
  },
  store: async ({ documentName, state }) => {
    const file = path(documentName)
    writeFileSync(`${file}.part`, state)
    renameSync(`${file}.part`, file)
  }
})

await new Server({ address: '127.0.0.1', port: Number(port), quiet: true, extensions: [database] }).listen()
