"""Drives the providers of ELVA 0.33. Arguments: the server's URL, and `yjs` (a connection for
each document) or `elva` (frames with the document's identifier)."""

import asyncio
import logging
import sys
from urllib.parse import quote

import driver
from elva.log import LOGGER_NAME
from elva.provider import ElvaWebsocketProvider, WebsocketProvider

PROVIDERS = {"yjs": WebsocketProvider, "elva": ElvaWebsocketProvider}


class Document(driver.Document):
    def __init__(self, number, command):
        super().__init__(number, command)
        self.identifier = quote(command["name"])

    async def run(self):
        url, messages = sys.argv[1:]
        provider = PROVIDERS[messages](self.doc, self.identifier, url)
        try:
            async with provider:
                await asyncio.get_running_loop().create_future()
        finally:
            # The provider leaves its socket to the end of the process.
            if provider._websocket is not None:
                await provider._websocket.close()


LOGGER_NAME.set("client")
logging.basicConfig(level=logging.INFO)
asyncio.run(driver.serve(Document))
