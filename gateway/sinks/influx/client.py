"""Requests to one server, over aiohttp."""

import asyncio
import base64
import gzip
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

import aiohttp
import orjson
from aiohttp.connector import Connection

from gateway.core.errors import NotConnected
from gateway.core.foreign_text import LONGEST_TEXT, clean
from gateway.sinks.access.certificates import Certificate, in_use, peer_certificate
from gateway.sinks.access.reasons import unreachable
from gateway.sinks.access.secret import read_secret
from gateway.sinks.access.tls import tls_context
from gateway.sinks.influx.config import InfluxConfig

_LARGEST_ANSWER_BYTES: Final = 65_536
_COMPRESSION: Final = 3
_CLOSE_S: Final = 1.0


class Verdict(Enum):
    """What the server says to a request."""

    TAKEN = auto()
    PARTLY = auto()
    """Some lines are wrong; the others may have been taken or not."""
    TOO_LARGE = auto()
    LATER = auto()
    """Nothing is wrong with the lines."""
    DENIED = auto()
    """Not with this login."""
    NOWHERE = auto()
    """There is no such database, bucket or address."""


_VERDICTS: Final = {
    400: Verdict.PARTLY,
    401: Verdict.DENIED,
    403: Verdict.DENIED,
    404: Verdict.NOWHERE,
    405: Verdict.NOWHERE,
    413: Verdict.TOO_LARGE,
    422: Verdict.PARTLY,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request."""

    verdict: Verdict
    reason: str
    """In the words of the server."""


class InfluxClient:
    """Connections to a server, kept open. One request at a time."""

    def __init__(self, config: InfluxConfig, agent: str) -> None:
        """Connect nothing yet. agent: the name in requests."""
        self._config = config
        self._agent = agent
        self._session: aiohttp.ClientSession | None = None
        self._peer = _Peer()
        v2 = config.version == "2"
        self._url = config.url + ("/api/v2/write" if v2 else "/write")
        own = {"org": config.org, "bucket": config.bucket} if v2 else {"db": config.database, "rp": config.retention_policy}
        self._query = {key: value for key, value in own.items() if value} | {"precision": "ns"}

    @property
    def certificates(self) -> Sequence[Certificate]:
        """Return the server's certificate and the gateway's own. Reads a file."""
        return in_use(self._peer.content, self._config.tls.cert)

    async def open(self) -> None:
        """Read files and secrets, and see that the server lets the gateway in. Raises NotConnected."""
        context, login = await asyncio.to_thread(self._read_files)
        config = self._config
        headers = {"User-Agent": self._agent, "Content-Type": "text/plain; charset=utf-8", **login}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, ssl=context if context is not None else True),
            timeout=aiohttp.ClientTimeout(total=config.timeout / 1e9, sock_connect=config.connect_timeout / 1e9),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            response_class=_noting(self._peer),
        )
        await self.probe()

    async def probe(self) -> None:
        """Ask whether nothing at all may be written, which says who is there. Raises NotConnected."""
        place = f"{self._config.host}:{self._config.port}"
        try:
            async with asyncio.timeout(self._config.connect_timeout / 1e9):
                answer = await self.write(b"")
        except TimeoutError:
            raise NotConnected(f"{place}: no answer in time") from None
        if answer.verdict is Verdict.LATER:
            raise NotConnected(f"{place}: the server takes nothing now: {answer.reason}")
        self.admitted(answer)

    def admitted(self, answer: Answer) -> None:
        """Raise NotConnected where an answer says that nothing of this gateway is taken."""
        place = f"{self._config.host}:{self._config.port}"
        if answer.verdict is Verdict.DENIED:
            what = "token" if self._config.version == "2" else "username and its password"
            text = f"{place}: the server refuses the login: {answer.reason}: check influx.{what}"
            raise NotConnected(text, security="login_refused")
        if answer.verdict is Verdict.NOWHERE:
            what = "bucket, influx.org" if self._config.version == "2" else "database"
            raise NotConnected(f"{place}: {answer.reason}: check influx.{what}, influx.version and influx.url")

    async def write(self, lines: bytes) -> Answer:
        """Send lines and return what the server says. Raises NotConnected where no answer comes."""
        session, config = self._session, self._config
        if session is None:
            raise NotConnected("not connected")
        headers = {"Content-Encoding": "gzip"} if config.gzip and lines else {}
        content = gzip.compress(lines, _COMPRESSION, mtime=0) if headers else lines
        try:
            async with session.post(
                self._url, params=self._query, data=content, headers=headers, allow_redirects=False
            ) as response:
                said = await response.content.read(_LARGEST_ANSWER_BYTES) if response.status >= 300 else b""
                if not response.content.at_eof():
                    response.close()  # it goes on and on
                return _answer(response.status, said)
        except aiohttp.ClientConnectorCertificateError as error:
            raise unreachable(error.certificate_error, config.host, config.port, "influx") from None
        except aiohttp.ClientConnectorError as error:
            raise unreachable(error.os_error, config.host, config.port, "influx") from None
        except TimeoutError:
            raise NotConnected(f"{config.host}:{config.port}: no answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = clean(str(error), LONGEST_TEXT) or type(error).__name__
            raise NotConnected(f"{config.host}:{config.port}: the connection has ended ({reason})") from None

    async def close(self) -> None:
        """Close connections, within a second."""
        session, self._session = self._session, None
        if session is not None:
            closing = asyncio.ensure_future(session.close())
            await asyncio.wait([closing], timeout=_CLOSE_S)
            closing.cancel()

    def _read_files(self) -> tuple[ssl.SSLContext | None, dict[str, str]]:
        config = self._config
        context = tls_context(config.tls, "influx.tls") if config.is_secure else None
        if config.version == "2":
            token = read_secret(config.token, config.token_file, "influx.token_file")
            return context, {"Authorization": f"Token {_header(token)}"} if token else {}
        password = read_secret(config.password, config.password_file, "influx.password_file")
        if not config.username:
            return context, {}
        both = base64.b64encode(f"{config.username}:{password}".encode()).decode()
        return context, {"Authorization": f"Basic {both}"}


@dataclass(slots=True)
class _Peer:
    """The server of the last answer."""

    content: bytes = b""
    """Its certificate, DER; empty without TLS."""


def _noting(peer: _Peer) -> type[aiohttp.ClientResponse]:
    """Return a class of answers that note whose they are: after its last byte an answer does not know its connection."""

    class NotingResponse(aiohttp.ClientResponse):
        async def start(self, connection: Connection) -> aiohttp.ClientResponse:
            peer.content = peer_certificate(connection.transport)
            return await super().start(connection)

    return NotingResponse


def _header(token: str) -> str:
    """Return a token that may stand in a header. Raises NotConnected, without it."""
    if not token.isascii() or not token.isprintable():
        raise NotConnected("influx.token: the token has characters that no header can carry")
    return token


def _answer(status: int, said: bytes) -> Answer:
    if 200 <= status < 300:
        return Answer(Verdict.TAKEN, "")
    verdict = _VERDICTS.get(status, Verdict.LATER)
    return Answer(verdict, f"{_words(said)} (HTTP {status})".strip())


def _words(said: bytes) -> str:
    """Return what an answer says: `error` or `message` of its JSON, else its text."""
    try:
        body: Any = orjson.loads(said)
    except orjson.JSONDecodeError:
        body = None
    found = (body.get("error") or body.get("message")) if isinstance(body, dict) else None
    return clean(found if isinstance(found, str) else said.decode("utf-8", "replace"), LONGEST_TEXT // 2)
