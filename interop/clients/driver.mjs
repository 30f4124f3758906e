// What the Node clients share, put before each of them: one JSON command a line on stdin, one JSON
// reply a line on stdout, and lines with "event" whenever something happens by itself.
import { createInterface } from 'node:readline'
import { WebSocket } from 'ws'

const say = message => process.stdout.write(JSON.stringify(message) + '\n')
const hex = bytes => Buffer.from(bytes).toString('hex')

/** A document and what is done to it; subclasses say how it is connected. */
class Edited {
  constructor (number, Y) {
    this.event = (name, more = {}) => say({ event: name, doc: number, ...more })
    this.Y = Y
    this.doc = new Y.Doc()
    this.isNew = typeof this.doc.getText !== 'function' // Yjs 14 has one type for everything
    this.text = this.isNew ? this.doc.get('text') : this.doc.getText('text')
    this.map = this.isNew ? this.doc.get('map') : this.doc.getMap('map')
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
    const vector = this.Y.encodeStateVector(this.doc)
    return {
      text: this.text.toString(),
      map: this.isNew ? this.map.toJSON().attrs ?? {} : this.map.toJSON(),
      vector: hex(vector),
      deletions: hex(this.Y.encodeStateAsUpdate(this.doc, vector))
    }
  }

  awareness ({ state }) { this.provider.awareness.setLocalState(state) }
  peers () {
    const own = this.provider.awareness.clientID
    return [...this.provider.awareness.getStates()].filter(([id]) => id !== own).map(([, state]) => state)
  }

  synced () { return this.provider.synced }
}

/** Answers the commands until stdin ends; `open` makes a document of its number and command. */
const serve = async open => {
  const documents = new Map()
  const answer = command => {
    if (command.do === 'open') {
      documents.set(command.doc, open(command.doc, command))
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
}
