"""pycrdt-websocket with its defaults, as its documentation starts it."""

import asyncio
import sys

from hypercorn import Config
from hypercorn.asyncio import serve
from pycrdt.websocket import ASGIServer, WebsocketServer


async def main():
    server = WebsocketServer(auto_clean_rooms=False)
    config = Config()
    config.bind = [f"127.0.0.1:{sys.argv[1]}"]
    # What waits to be accepted when thousands come.
    config.backlog = 4096
    async with server:
        await serve(ASGIServer(server), config, mode="asgi")


asyncio.run(main())
