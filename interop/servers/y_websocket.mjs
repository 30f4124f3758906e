// y-websocket's server as it is, but for one thing: asked to stop, it stores first what it has echoed.
import { pathToFileURL } from 'node:url'
import { getPersistence } from 'y-websocket-server/utils'

process.on('SIGTERM', async () => {
  await getPersistence()?.provider.destroy()
  process.exit()
})

await import(pathToFileURL('node_modules/y-websocket-server/src/server.js'))
