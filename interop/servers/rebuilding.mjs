// A server that keeps text and no Yjs, as Jupyter's does: when a room is made, it fills the document
// with the text of its file as a client that never was before.
// Arguments: the port and the directory.
import { createServer } from 'node:http'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { WebSocketServer } from 'ws'
import { setContentInitializor, setupWSConnection } from 'y-websocket-server/utils'

const [port, directory] = process.argv.slice(1)

setContentInitializor(async document => {
  const file = join(directory, encodeURIComponent(document.name))
  const text = document.getText('text')
  if (existsSync(file)) text.insert(0, readFileSync(file, 'utf8'))
  text.observe(() => writeFileSync(file, text.toString()))
})

const server = createServer()
new WebSocketServer({ server }).on('connection', setupWSConnection)
server.listen(Number(port), '127.0.0.1', () => console.log('listening'))
