"""Writes to a file as the store of ELVA does, and says what is in it then.

Arguments: `33` or `37`, the file, the identifier, and the words to append, each by itself. Without
words the file stays as it is.
"""

import json
import logging
import sqlite3
import sys

import anyio
from elva.log import LOGGER_NAME
from elva.store import SQLiteStore
from pycrdt import Doc, Text

generation, path, identifier, *words = sys.argv[1:]
# The names that ELVA's editors have for their text.
root = {"33": "ytext", "37": "text"}[generation]


def rows():
    with sqlite3.connect(path) as db:
        return db.execute("SELECT count(*) FROM yupdates").fetchone()[0]


def name():
    if generation == "33":
        return SQLiteStore.get_metadata(path).get("identifier")
    from elva.files import Data

    return Data(path).get_config().get("connect.identifier")


def store(doc):
    if generation == "33":
        return SQLiteStore(doc, identifier, path)
    from elva.config import Config

    store = SQLiteStore(doc, path)
    if identifier:
        store.set_config(Config({"connect": {"identifier": identifier}}))
    return store


async def main():
    doc = Doc()
    doc[root] = text = Text()
    found = name() if not words else None
    async with store(doc):
        before = rows()
        for word in words:
            text += word
        while rows() < before + len(words):
            await anyio.sleep(0.01)
    print(json.dumps({"identifier": found or name(), "text": str(text), "rows": rows()}))


LOGGER_NAME.set("store")
logging.disable()
anyio.run(main)
