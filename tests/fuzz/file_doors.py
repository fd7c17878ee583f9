"""Doors to which files lead: configuration, the outbox, the PKI folder, history of versions before, documents for `tail`."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import zstandard

from gateway.core.errors import ConfigError, GatewayError
from gateway.encoding.formats import read_document
from gateway.outbox.database.compression import Compression, Place
from gateway.settings import load
from gateway.sources.opcua.security.peer_certificate import read_certificate, read_chain
from gateway.sources.opcua.source.history.legacy_files import LegacyFiles
from gateway.sources.opcua.source.history.record import restored
from tests.fuzz.door import Door, kept
from tests.support.outbox_parts import Rig
from tests.unit.settings.folders import CSV, LINE, PRESS, ROOT, write
from tests.unit.settings.test_fuzz import KEYS, PIECES

_YAML = tuple(piece.encode() for piece in PIECES.split("|") if piece) + tuple(f"{key}: ".encode() for key in KEYS)


def _folder(name: str) -> Callable[[bytes], object]:
    """Load a good folder with one file replaced."""
    folder = write(Path(tempfile.mkdtemp(prefix="fuzz-")))

    def call(data: bytes) -> None:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        load(folder)

    return call


_TEMPLATE = b"parameters: {host: a}\nprotocol: modbus\nurl: tcp://${host}\ntags:\n  - {name: t, address: 'holding:${n}'}\n"


def _template() -> Callable[[bytes], object]:
    """A template, and a device that uses it; the input is both, with a line of `===` between."""
    folder = write(Path(tempfile.mkdtemp(prefix="fuzz-")))
    (folder / "templates").mkdir()

    def call(data: bytes) -> None:
        template, _, device = data.partition(b"===\n")
        (folder / "templates" / "m.yaml").write_bytes(template)
        (folder / "devices" / "made.yaml").write_bytes(device)
        load(folder)

    return call


# -- the outbox --------------------------------------------------------------------------------------------------------


def _open_outbox(data: bytes) -> None:
    """Start on the file, as a gateway does: what is damaged is saved as far as it goes."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))

    async def start() -> None:
        async with Rig(folder / "outbox.db", "b2") as rig:
            if rig.outbox.stats.messages:
                await asyncio.wait_for(rig.outbox.fetch(100), 1)

    try:
        (folder / "outbox.db").write_bytes(data)
        asyncio.run(start())
    finally:
        shutil.rmtree(folder)


_PLACE = Place("topic", "boot", 1)


def _payload(data: bytes) -> object:
    return Compression().decode(_PLACE, data, 1)


def _payloads() -> list[bytes]:
    packed, _ = Compression().encode(_PLACE, b'{"boot":"b","seq":1,"tags":{}}' * 20)
    return [packed, b"\x01" + zstandard.ZstdCompressor(level=1).compress(bytes(40 * 2**20)), b"\x02" + bytes(40)]


# -- PKI and history ---------------------------------------------------------------------------------------------------


def _certificates(data: bytes) -> None:
    """Read what is in a file, or what a server sends, and look at all that is asked of it."""
    for one in [read_certificate(data), *read_chain(data)]:
        _ = one.fingerprint, one.holder, one.application_uris, one.hosts, one.public_key


def _history() -> Callable[[bytes], object]:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))

    def call(data: bytes) -> None:
        (folder / "press.json").write_bytes(data)
        state, limit = LegacyFiles(folder, "press").load()
        restored(state, limit, ["opc.tcp://a:4840"], ["ns=2;s=a", "ns=2;s=b"])

    return call


_STATE: dict[str, Any] = {
    "version": 1,
    "number": 3,
    "urls": ["opc.tcp://a:4840"],
    "server": "opc.tcp://a:4840",
    "nodes": {"ns=2;s=a": 1790000000000000000},
    "after": {"ns=2;s=a": 1790000000000000000},
    "gaps": [{"number": 1, "start": 1, "end": 2, "nodes": {}}],
    "skipped": [0, 0],
    "newest": 1790000000000000000,
    "until": 1790000000000000001,
}

_DOORS: dict[str, Callable[[], Door]] = {
    "settings-root": lambda: Door(_folder("gateway.yaml"), (ConfigError,), [ROOT.encode()], _YAML),
    "settings-modbus": lambda: Door(_folder("devices/press.yaml"), (ConfigError,), [PRESS.encode()], _YAML),
    "settings-opcua": lambda: Door(_folder("devices/line.yaml"), (ConfigError,), [LINE.encode()], _YAML),
    "settings-csv": lambda: Door(
        _folder("tags/press.csv"),
        (ConfigError,),
        [CSV.encode()],
        (b",", b'"', b"\n", b";", b"\t", b"name,", b"9" * 5000, b"holding:1"),
    ),
    "settings-template": lambda: Door(
        _template(), (ConfigError,), [_TEMPLATE + b"===\ntemplate: m.yaml\nparameters: {n: 5}\n"], (b"${n}", b"${", *_YAML)
    ),
    "outbox-file": lambda: Door(_open_outbox, (GatewayError, TimeoutError), kept("outbox-file")),
    "outbox-payload": lambda: Door(_payload, (ValueError,), _payloads()),
    "pki": lambda: Door(
        _certificates, (ValueError,), kept("pki"), (b"\x30\x80", b"\x30\x84\x7f\xff\xff\xff", b"-----BEGIN", b"\x02\x01")
    ),
    "history-file": lambda: Door(
        _history(),
        (ValueError, TypeError, KeyError, AttributeError, OSError),
        [orjson.dumps(_STATE)],
        (b"[" * 1000, b"1e400", b"null"),
    ),
    "document": lambda: Door(
        read_document,
        (ValueError,),
        [b'{"boot":"b","seq":1}', zstandard.ZstdCompressor().compress(b'{"a":1}' * 100), b"\xa1\x61a\x01"],
        (b"\x9f" * 200, b"\xa1", b"\xd8\x1c", b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", b"[" * 300),
    ),
}

_MOST_CPU_S = 3.0
DOORS: dict[str, Callable[[], Door]] = {
    name: lambda make=make: replace(make(), most_cpu_s=_MOST_CPU_S)  # type: ignore[misc]
    for name, make in _DOORS.items()
}
"""By name, as `--door` takes it."""
