"""Brokers that attack the TLS handshake. A real broker answers behind TLS until then."""

import asyncio
import datetime
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.hostile.mqtt import BrokerPeer, Relay, _fill
from tests.support.mosquitto import Authority

_BURST: Final = 65_536
_HELLO: Final = b"\x02" + struct.pack(">I", 80)[1:] + b"\x03\x03" + bytes(32) + b"\x20" + bytes(32) + b"\xc0\x2f\x00\x00\x0a"


def _record(kind: int, content: bytes) -> bytes:
    """Return a record (RFC 8446, 5.1)."""
    return bytes((kind, 3, 3)) + struct.pack(">H", len(content)) + content


_RAW: Final[dict[str, tuple[bytes, bytes]]] = {
    "a handshake message of 16 MB": (_record(22, b"\x0b\xff\xff\xff"), _record(22, bytes(16_384))),
    "a certificate message of 16 MB": (
        _record(22, _HELLO + bytes(10)) + _record(22, b"\x0b\xff\xff\xff"),
        _record(22, bytes(16_384)),
    ),
    "empty records": (b"", _fill(_record(22, b""))),
    "warnings": (b"", _fill(_record(21, b"\x01\x5a"))),
    "changes of the cipher": (b"", _fill(_record(20, b"\x01"))),
    "records of another version": (b"", _fill(b"\x16\x09\x09\x40\x00" + bytes(16_384))),
    "zeros": (b"", bytes(_BURST)),
}
"""What is sent once in place of a handshake, and what again and again."""


class TlsRelay(Relay):
    """A relay behind TLS. chain: the certificate file that is shown while it is set; raw: no handshake is made."""

    def __init__(self, target: int, certificate: Path, key: Path) -> None:
        super().__init__(target, framed=False)
        self._certificate, self._key = certificate, key
        self.raw = False
        self.chain: Path | None = None
        self.on_shown: Callable[[], None] = lambda: None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.raw and self.attack is not None:
            self._writers.add(writer)
            with suppress(OSError):
                await self.attack(writer)
            self._writers.discard(writer)
            writer.transport.abort()
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain or self._certificate, self._key)
        try:
            await writer.start_tls(context, ssl_handshake_timeout=5)
        except (OSError, ssl.SSLError):
            writer.transport.abort()
        else:
            self.raw = False
            await super()._serve(reader, writer)
        finally:
            if self.chain is not None:
                self.on_shown()


class TlsPeer(BrokerPeer):
    """One attack of the handshake. chained: how many certificates are shown behind the broker's, for 0 it is `first`."""

    def __init__(self, folder: Path, first: bytes = b"", again: bytes = b"", chained: int = 0) -> None:
        super().__init__(folder, first, again, "mqtts", at_once=True)
        self._folder, self._chained = folder, chained

    async def start(self, broker: int) -> None:
        """Listen. broker: the port of the real one."""
        BrokerPeer._users += 1
        if BrokerPeer._relay is None:
            authority = Authority(self._folder)
            certificate, key = authority.issue("127.0.0.1")
            BrokerPeer._relay = TlsRelay(broker, certificate, key)
            await BrokerPeer._relay.__aenter__()

    async def attack(self, on: bool) -> None:
        """Attack the next handshake; off: make good ones."""
        relay = self._relay
        assert isinstance(relay, TlsRelay)
        relay.raw = on and not self._chained
        relay.chain = self._long_chain(relay) if on and self._chained else None
        relay.on_shown = self.reached.set
        relay.attack = self._flood if relay.raw else None
        relay.cut()

    def broker(self) -> str:
        """Return the URL to configure, and a key that follows it."""
        return f"{super().broker()}\n  tls: {{ca: {self._folder}/test-CA.pem}}"

    def _long_chain(self, relay: TlsRelay) -> Path:
        path = self._folder / f"{self._chained}.pem"
        path.write_bytes(relay._certificate.read_bytes() + _certificate().public_bytes(Encoding.PEM) * self._chained)
        return path


def _certificate() -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x" * 60)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    return builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(1)).sign(key, hashes.SHA256())


def _rows() -> Iterator[tuple[str, Callable[[Path], TlsPeer]]]:
    for what, (first, again) in _RAW.items():
        yield what, partial(TlsPeer, first=first, again=again)
    for count in (200, 1_000):
        yield f"a chain of {count} certificates", partial(TlsPeer, chained=count)


PEERS: Final = dict(_rows())
"""By what they do."""
