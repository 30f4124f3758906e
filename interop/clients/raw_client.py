"""A bare WebSocket that sends and shows frames in hex. Argument: the server's URL."""

import asyncio
import sys

import driver
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


class Connection:
    """One connection; its "name" is the path."""

    def __init__(self, number, command):
        self.number = number
        self.path = command["name"]
        self.received = []
        self.websocket = None

    async def connect(self):
        self.websocket = await connect(sys.argv[1] + self.path)
        self.reading = asyncio.create_task(self.read())

    async def read(self):
        try:
            async for frame in self.websocket:
                self.received.append(frame.hex())
                driver.say({"event": "frame", "doc": self.number})
        except ConnectionClosed:
            pass
        driver.say({"event": "closed", "doc": self.number})

    async def send_frame(self, command):
        await self.websocket.send(bytes.fromhex(command["frame"]))

    async def frames(self, command):
        return self.received

    async def close_code(self, command):
        return self.websocket.close_code

    async def disconnect(self, command):
        await self.websocket.close()


asyncio.run(driver.serve(Connection))
