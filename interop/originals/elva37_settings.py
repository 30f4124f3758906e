"""The settings of ELVA 0.37 in each world, and where its editors would connect to."""

from urllib.parse import urlsplit

from elva.cli.basis import stored, typecast
from elva.config import clean, convert
from elva.provider import WebsocketProvider
from pycrdt import Doc
from worlds import tour


def look():
    # As for a command without options.
    config = stored({})
    typecast(config, {})
    clean(config)
    return convert(config) | {"url": url(config)}


def url(config):
    if (host := config.get("connect.host")) is None:
        return None
    tls = config.get("tls", {})
    provider = WebsocketProvider(
        Doc(), "identifier", host, port=config.get("connect.port"), tls_config=tls
    )
    return urlsplit(provider.uri)._replace(path="/", query="").geturl()


tour(look)
