"""Drives pycrdt's own provider over a `websockets` connection. Argument: the server's URL."""

import asyncio
import sys
from urllib.parse import quote

import driver
from pycrdt import Awareness, Channel, Provider, create_awareness_message, read_message
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

AWARENESS = 1


class WebsocketChannel(Channel):
    """Gives the provider its messages, and awareness, which it does not know, to the document."""

    def __init__(self, websocket, document):
        self.websocket = websocket
        self.document = document

    @property
    def path(self):
        return self.document.path

    async def __anext__(self):
        try:
            return await self.recv()
        except ConnectionClosed:
            raise StopAsyncIteration() from None

    async def recv(self):
        message = await self.websocket.recv()
        if message[0] == AWARENESS:
            self.document.presence.apply_awareness_update(read_message(message[1:]), "remote")
        return message

    async def send(self, message):
        await self.websocket.send(message)


class Document(driver.Document):
    def __init__(self, number, command):
        super().__init__(number, command)
        self.path = quote(command["name"])
        self.presence = Awareness(self.doc)
        self.presence.observe(lambda *_: self.event("awareness"))
        self.websocket = None

    async def run(self):
        async for self.websocket in connect(sys.argv[1] + self.path):
            channel = WebsocketChannel(self.websocket, self)
            try:
                async with Provider(self.doc, channel):
                    await self.announce()
                    await self.websocket.wait_closed()
            except* ConnectionClosed:
                pass

    async def announce(self):
        update = self.presence.encode_awareness_update([self.presence.client_id])
        await self.websocket.send(create_awareness_message(update))

    async def awareness(self, command):
        self.presence.set_local_state(command["state"])
        await self.announce()

    async def peers(self, command):
        own = self.presence.client_id
        return [state for client, state in self.presence.states.items() if client != own]


asyncio.run(driver.serve(Document))
