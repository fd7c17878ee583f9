"""One connection to a broker, on aiokafka's: its answers have a largest size, and its errors are ours."""

import asyncio
import binascii
import logging
import ssl
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import AIOKafkaConnection, CloseReason, OAuthAuthenticator, ScramAuthenticator
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from pydantic import SecretStr

from gateway.core.errors import NotConnected
from gateway.sinks.access.certificates import peer_certificate
from gateway.sinks.access.reasons import unreachable
from gateway.sinks.access.secret import read_secret

_LARGEST_ANSWER_BYTES: Final = 16 << 20
"""The metadata of a cluster with some 100,000 partitions; what a broker claims beyond is not read."""
_MOST_ITERATIONS: Final = 1_000_000
"""Of SCRAM (RFC 5802, 5.1): brokers use 4,096 to some 100,000; half a second of a thread."""
MALFORMED: Final = (
    ValueError,
    AssertionError,
    LookupError,
    TypeError,
    ArithmeticError,
    MemoryError,
    struct.error,
    binascii.Error,
)
"""Raised by aiokafka while it decodes what is not as the protocol says."""
_LOGIN: Final = (
    SaslAuthenticationFailed,
    AuthenticationFailedError,
    UnsupportedSaslMechanismError,
    IllegalSaslStateError,
)


@dataclass(frozen=True, slots=True)
class Access:
    """How connections are made: read anew at each connect of the sink."""

    client_id: str
    timeout_s: float
    """Longest wait for a connection, and for an answer."""
    tls: ssl.SSLContext | None = None
    mechanism: str = ""
    """Of SASL, empty for none."""
    username: str = ""
    password: str = ""
    token_file: Path | None = None


class _FileToken(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka is not typed
    """The token of OAUTHBEARER, from a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self) -> str:
        """Return the token as it is now. Raises NotConnected."""
        return await asyncio.to_thread(read_secret, SecretStr(""), self._path, "kafka.sasl.token_file")


class _Scram(ScramAuthenticator):  # type: ignore[misc]
    """SCRAM with a ceiling for the work that a broker may ask for."""

    def create_salted_password(self, salt: bytes, iterations: int) -> None:
        """Derive the key. Raises ValueError when the broker asks for too much."""
        if not 1 <= iterations <= _MOST_ITERATIONS:
            raise ValueError(f"the broker asks for {iterations} iterations of SCRAM; expected {_MOST_ITERATIONS} at most")
        super().create_salted_password(salt, iterations)


class _Bearer(OAuthAuthenticator):  # type: ignore[misc]
    """OAUTHBEARER that reads the answer: a broker says what is wrong with a token there (RFC 7628, 3.2.2)."""

    async def step(self, payload: bytes | None) -> Any:
        """Return what to send. Raises SaslAuthenticationFailed."""
        if payload:
            raise SaslAuthenticationFailed("the broker does not take the token")
        return await super().step(payload)


class Connection(AIOKafkaConnection):  # type: ignore[misc]
    """A connection whose answers have a largest size."""

    def __init__(self, host: str, port: int, access: Access) -> None:
        """Connect nothing yet."""
        kind = ("SASL_" if access.mechanism else "") + ("SSL" if access.tls else "PLAINTEXT")
        super().__init__(
            host,
            port,
            client_id=access.client_id,
            request_timeout_ms=int(access.timeout_s * 1000),
            ssl_context=access.tls,
            security_protocol=kind,
            sasl_mechanism=access.mechanism or None,
            sasl_plain_username=access.username,
            sasl_plain_password=access.password,
            sasl_oauth_token_provider=_FileToken(access.token_file) if access.token_file else None,
        )
        self._access = access

    @property
    def peer_certificate(self) -> bytes:
        """Return the broker's certificate, DER; empty without TLS."""
        return peer_certificate(self._writer.transport if self._writer is not None else None)

    @staticmethod
    async def _read(self_ref: Any) -> None:
        """Read answers, of which none may be larger than the limit; the reference is weak, as aiokafka's."""
        connection = self_ref()
        reader = connection._reader if connection is not None else None
        del connection
        while reader is not None:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            if not 4 <= size <= _LARGEST_ANSWER_BYTES:
                raise ConnectionAbortedError(f"an answer of {size} bytes; expected {_LARGEST_ANSWER_BYTES} at most")
            answer = await reader.readexactly(size)
            connection = self_ref()
            if connection is None:
                return
            try:
                connection._handle_frame(answer)
            except MALFORMED as error:
                raise ConnectionAbortedError(f"an answer that is not as Kafka's protocol says ({error})") from None
            del connection

    def authenticator_scram(self) -> ScramAuthenticator:
        """Return the side of the client of SCRAM."""
        return _Scram(
            loop=self._loop,
            sasl_plain_password=self._sasl_plain_password,
            sasl_plain_username=self._sasl_plain_username,
            sasl_mechanism=self._sasl_mechanism,
        )

    def authenticator_oauth(self) -> OAuthAuthenticator:
        """Return the side of the client of OAUTHBEARER."""
        return _Bearer(sasl_oauth_token_provider=self._sasl_oauth_token_provider)

    async def ask(self, request: Any) -> Any:
        """Return the answer to a request. Raises NotConnected, and then the connection is closed."""
        try:
            return await self.send(request)
        except (KafkaError, OSError, TimeoutError, *MALFORMED) as error:
            self.close(reason=CloseReason.CONNECTION_TIMEOUT)
            raise _why_lost(error, f"{self.host}:{self.port}") from None


async def connect(host: str, port: int, access: Access) -> Connection:
    """Return a connection that has been made and logged in. Raises NotConnected. Cancellable."""
    quiet_library()
    connection = Connection(host, port, access)
    is_open = False
    try:
        async with asyncio.timeout(access.timeout_s):
            await connection.connect()
        is_open = True
    except (KafkaError, OSError, EOFError, TimeoutError, *MALFORMED) as error:
        raise _why(error, host, port) from None
    finally:
        if not is_open:
            connection.close()
    return connection


def quiet_library() -> None:
    """Silence aiokafka's loggers unless somebody set a level: each failure reaches us as an exception anyway."""
    logger = logging.getLogger("aiokafka")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL + 1)


def _why_lost(error: BaseException, place: str) -> NotConnected:
    cause = error.__cause__ if isinstance(error, KafkaError) and error.__cause__ is not None else error
    if isinstance(cause, ConnectionAbortedError) and str(cause):
        return NotConnected(f"{place}: the broker has sent {cause}")
    if isinstance(cause, TimeoutError):
        return NotConnected(f"{place}: no answer in time")
    return NotConnected(f"{place}: the connection has ended")


def _why(error: BaseException, host: str, port: int) -> NotConnected:
    cause = error.__cause__ if isinstance(error, KafkaError) and error.__cause__ is not None else error
    place = f"{host}:{port}"
    if isinstance(cause, _LOGIN):
        text = str(cause).partition("] ")[2] or str(cause)
        return NotConnected(f"{place}: the broker refuses the login: {text}: check kafka.sasl", security="login_refused")
    if isinstance(cause, ConnectionAbortedError) and str(cause):
        return NotConnected(f"{place}: it has sent {cause}: is this Kafka, and is TLS needed?")
    if isinstance(cause, KafkaError):
        return NotConnected(f"{place}: {cause}")
    if isinstance(cause, MALFORMED) and not isinstance(cause, OSError | UnicodeError):
        return NotConnected(f"{place}: what came is not Kafka's protocol ({cause}): is the port right?")
    return unreachable(cause, host, port, "kafka")
