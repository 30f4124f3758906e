// Stands before a server and tells every frame that passes, in the order of its passing: a line
// with who sent it and its bytes in hex. Arguments: the port, the server's URL.
import { WebSocket, WebSocketServer } from 'ws'

const [port, serverUrl] = process.argv.slice(1)

/** Passes frames on, and the end. What comes before the other side is open waits. */
const pass = (from, source, sink, open) => {
  source.on('message', async data => {
    console.log(`${from} ${data.toString('hex')}`)
    await open
    sink.send(data)
  })
  source.on('close', async (code, reason) => {
    await open
    if (code >= 1000 && code !== 1005 && code !== 1006) sink.close(code, reason)
    else sink.terminate()
  })
}

new WebSocketServer({ host: '127.0.0.1', port: Number(port) }, () => console.log('listening'))
  .on('connection', (client, request) => {
    const server = new WebSocket(serverUrl + request.url.slice(1))
    const open = new Promise(resolve => server.on('open', resolve))
    server.on('error', () => client.terminate())
    pass('client', client, server, open)
    pass('server', server, client)
  })
