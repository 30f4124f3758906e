"""What the Python clients share: one JSON command a line on stdin, one JSON reply a line on
stdout, and lines with "event" whenever something happens by itself."""

import asyncio
import json
import random
import sys

from pycrdt import Doc, Map, Text


def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


class Document:
    """A document and its provider; subclasses say how it is connected."""

    def __init__(self, number, command):
        self.number = number
        # By default pycrdt takes 53 bits, and an older pycrdt, as in ELVA 0.33, garbles such ids:
        # it doubles the content of every document that it shares with a newer one.
        self.doc = Doc(client_id=command.get("client_id", random.getrandbits(32)))
        self.text = self.doc.get("text", type=Text)
        self.map = self.doc.get("map", type=Map)
        self.changes = self.doc.observe(lambda _: self.event("change"))
        self.running = None

    def event(self, name):
        say({"event": name, "doc": self.number})

    async def run(self):
        """Stays connected until cancelled."""
        raise NotImplementedError

    async def connect(self, command=None):
        self.running = asyncio.create_task(self.watched())

    async def watched(self):
        try:
            await self.run()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            say({"event": "died", "doc": self.number, "reason": repr(error)})

    async def disconnect(self, command=None):
        self.running.cancel()
        await asyncio.wait([self.running])

    async def insert(self, command):
        self.text.insert(command["index"], command["text"])

    async def append(self, command):
        self.text += command["text"]

    async def delete(self, command):
        del self.text[command["index"] : command["index"] + command["len"]]

    async def set(self, command):
        self.map[command["key"]] = command["value"]

    async def content(self, command):
        vector = self.doc.get_state()
        return {
            "text": str(self.text),
            "map": self.map.to_py(),
            "vector": vector.hex(),
            "deletions": self.doc.get_update(vector).hex(),
        }


async def serve(kind):
    """Answers the commands until stdin ends; `kind` makes a document of its number and command."""
    lines = asyncio.StreamReader(limit=2**24)
    protocol = asyncio.StreamReaderProtocol(lines)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    documents = {}
    async for line in lines:
        command = json.loads(line)
        try:
            if command["do"] == "open":
                document = documents[command["doc"]] = kind(command["doc"], command)
                await document.connect()
                say({"value": None})
            else:
                document = documents[command["doc"]]
                say({"value": await getattr(document, command["do"])(command)})
        except Exception as error:
            say({"error": repr(error)})
