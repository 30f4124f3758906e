"""Drives the provider of ELVA 0.37. Argument: the server's URL."""

import asyncio
import logging
import sys
from urllib.parse import quote, urlparse

import driver
from elva.auth import Secret, basic_authorization_header
from elva.log import LOGGER_NAME
from elva.provider import WebsocketProvider


class Document(driver.Document):
    def __init__(self, number, command):
        super().__init__(number, command)
        self.identifier = quote(command["name"])
        secret = command.get("secret")
        self.secret = None if secret is None else Secret(secret)
        self.options = command.get("flags", {})
        if "login" in command:
            header = basic_authorization_header(*command["login"])
            self.options["additional_headers"] = header
        self.provider = None

    async def run(self):
        url = urlparse(sys.argv[1])
        self.provider = WebsocketProvider(
            self.doc,
            self.identifier,
            url.hostname,
            port=url.port,
            secret=self.secret,
            **self.options,
        )
        self.provider.awareness.observe(lambda *_: self.event("awareness"))
        async with self.provider:
            await asyncio.get_running_loop().create_future()

    async def is_connected(self, command):
        return self.provider.states.CONNECTED in self.provider.state

    async def awareness(self, command):
        self.provider.awareness.set_local_state(command["state"])

    async def peers(self, command):
        awareness = self.provider.awareness
        own = awareness.client_id
        return [state for client, state in awareness.client_states.items() if client != own]


LOGGER_NAME.set("client")
logging.basicConfig(level=logging.INFO)
asyncio.run(driver.serve(Document))
