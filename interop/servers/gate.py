"""A gate with Basic auth before a WebSocket server.

Arguments: the port, the server's URL, the file with the accepted user and password (a line each,
read at each request), and for TLS the files of the certificate and its key. Says on stdout what
each request bore: "request none", "request right" or "request wrong".
"""

import asyncio
import ssl
import sys
from http import HTTPStatus
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.asyncio.server import basic_auth, serve
from websockets.exceptions import ConnectionClosed

PORT, SERVER, CREDENTIALS, *CERTIFICATE = sys.argv[1:]


async def accepts(user, password):
    return [user, password] == Path(CREDENTIALS).read_text("utf-8").split("\n")


login = basic_auth(realm="ELVA", check_credentials=accepts)


async def admit(connection, request):
    refusal = await login(connection, request)
    bore = "right" if refusal is None else "wrong"
    print("request", bore if "Authorization" in request.headers else "none", flush=True)
    if refusal is None:
        try:
            connection.beyond = await connect(SERVER, compression=None, max_size=None)
        except OSError:
            return connection.respond(HTTPStatus.BAD_GATEWAY, "the server is away\n")
    return refusal


async def copy(source, sink):
    try:
        async for message in source:
            await sink.send(message)
    except ConnectionClosed:
        pass


async def join(client):
    async with client.beyond as server:
        ways = [asyncio.create_task(copy(*way)) for way in [(client, server), (server, client)]]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        await client.close()
    await asyncio.wait(ways)


async def main():
    context = None
    if CERTIFICATE:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*CERTIFICATE)
    options = {"compression": None, "max_size": None, "ssl": context, "process_request": admit}
    async with serve(join, "127.0.0.1", int(PORT), **options):
        print("listening", flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
