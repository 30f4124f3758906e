"""pycrdt-websocket with a file for each document. Arguments: the port and the directory."""

import asyncio
import sys
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from pycrdt import Channel
from pycrdt.store import FileYStore, YDocNotFound
from pycrdt.websocket import WebsocketServer, YRoom
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

PORT, DIRECTORY = sys.argv[1:]


class WebsocketChannel(Channel):
    def __init__(self, websocket):
        self.websocket = websocket
        # As under its ASGI server.
        self.room = unquote(urlsplit(websocket.request.path).path)

    @property
    def path(self):
        return self.room

    async def __anext__(self):
        try:
            return await self.recv()
        except ConnectionClosed:
            raise StopAsyncIteration() from None

    async def recv(self):
        return await self.websocket.recv()

    async def send(self, message):
        try:
            await self.websocket.send(message)
        except ConnectionClosed:
            pass


class Server(WebsocketServer):
    # Of two that start a room at the same time, the second waits for ever.
    starting = asyncio.Lock()

    async def get_room(self, name):
        async with self.starting:
            if name not in self.rooms:
                self.rooms[name] = await load(name)
            return await super().get_room(name)


async def load(name):
    store = FileYStore(str(Path(DIRECTORY) / quote(name, safe="")))
    room = YRoom(ystore=store)
    try:
        await store.apply_updates(room.ydoc)
    except YDocNotFound:
        pass
    return room


async def main():
    # When it cleans a room away, it cancels what is still to be stored.
    server = Server(auto_clean_rooms=False)
    options = {"compression": None, "max_size": None}

    async def welcome(websocket):
        await server.serve(WebsocketChannel(websocket))

    async with server, serve(welcome, "127.0.0.1", int(PORT), **options):
        print("listening", flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
