"""Files that attack: what an operator, a neighbour with a share, or a disk has left where the gateway reads.

Each is put into the folder of a good gateway: configuration in `config/`, the outbox as `outbox.db`, the PKI folder as
`pki/`, found tags as `found/`, history of versions before as `history/`. The gateway refuses it or runs; neither takes long.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import zstandard

from gateway.core.messages import Lane
from gateway.outbox.database.compression import COMPRESSED
from gateway.outbox.database.message_rows import checksum
from tests.support.outbox_parts import Rig, message

_MB: Final = 2**20
_HEAD: Final = "protocol: modbus\nurl: tcp://127.0.0.1:9\n"
_TAGS: Final = "tags:\n  - {name: t, address: 'holding:0'}\n"
_OPCUA: Final = (
    "protocol: opcua\nurl: opc.tcp://127.0.0.1:9\npki: {folder}/pki\nfound: {folder}/found\nhistory_kept: {folder}/history\n"
    "history: true\n"
)

Write = Callable[[Path], None]
"""Write into a folder."""


def _device(text: str) -> Write:
    return lambda folder: _put(folder / "config" / "devices" / "press.yaml", text)


def _csv(text: str) -> Write:
    def write(folder: Path) -> None:
        _put(folder / "config" / "tags" / "press.csv", text)
        _device(_HEAD + "tag_file: press.csv\n")(folder)

    return write


def _template(template: str, device: str) -> Write:
    def write(folder: Path) -> None:
        _put(folder / "config" / "templates" / "press.yaml", template)
        _device("template: press.yaml\n" + device)(folder)

    return write


def _put(path: Path, text: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def _more(text: str) -> Write:
    """Append to gateway.yaml."""

    def write(folder: Path) -> None:
        with (folder / "config" / "gateway.yaml").open("a") as file:
            file.write(text)

    return write


def _link(name: str, target: str) -> Write:
    """A link to a file that never ends, or to a pipe."""

    def write(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if target == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to(target)
        _device(_OPCUA.format(folder=folder) + "tags:\n  - {name: t, node: 'ns=2;s=v0'}\n")(folder)

    return write


def _history(content: bytes) -> Write:
    def write(folder: Path) -> None:
        _put(folder / "history" / "press.json", content)
        _device(_OPCUA.format(folder=folder) + "tags:\n  - {name: t, node: 'ns=2;s=v0'}\n")(folder)

    return write


def _outbox(change: Callable[[sqlite3.Connection], None]) -> Write:
    """An outbox with three messages that wait, then changed."""

    def write(folder: Path) -> None:
        async def fill() -> None:
            async with Rig(folder / "outbox.db", compress=True) as rig:
                for seq in (1, 2, 3):
                    rig.outbox.put(message(seq, Lane.EVENT))

        asyncio.run(fill())
        database = sqlite3.connect(folder / "outbox.db")
        with database:
            change(database)
        database.close()

    return write


def _bomb(database: sqlite3.Connection) -> None:
    """Every row becomes 256 MiB when it is unpacked, with a checksum that is right."""
    kept = bytes((COMPRESSED,)) + zstandard.ZstdCompressor(level=1).compress(bytes(256 * _MB))
    for numbers in database.execute("SELECT id, lane, topic, boot, seq, start_ms, end_ms FROM message").fetchall():
        values = (kept, checksum(numbers, kept, 1), numbers[0])
        database.execute("UPDATE message SET payload = ?, coded = 1, checksum = ? WHERE id = ?", values)


def _large_row(database: sqlite3.Connection) -> None:
    """One row of 200 MiB as it is."""
    numbers: Any = database.execute("SELECT id, lane, topic, boot, seq, start_ms, end_ms FROM message").fetchone()
    kept = bytes(200 * _MB)
    values = (kept, checksum(numbers, kept, 0), numbers[0])
    database.execute("UPDATE message SET payload = ?, coded = 0, checksum = ? WHERE id = ?", values)


def _large_watermark(database: sqlite3.Connection) -> None:
    """A watermark of 100 MiB, and of brackets."""
    database.execute("INSERT INTO watermark VALUES ('opcua/state/press', ?, 1, 0)", (b"[" * (100 * _MB),))


def _outbox_tail(folder: Path) -> None:
    """A file that begins as ours and has nothing else that can be read."""
    _outbox(lambda database: None)(folder)
    with (folder / "outbox.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"x" * (200 * _MB))


_LAUGHS: Final = "".join(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
_NAMES: Final = ",".join(f"c{n}" for n in range(100_000))
_LISTED: Final = "".join(f"  - {{name: d{n}, unit: {n % 247 + 1}}}\n" for n in range(20_000))

CONFIGURATION: Final[dict[str, Write]] = {
    "20,000 devices in a list": _device(_HEAD + _TAGS + "devices:\n" + _LISTED),
    "a number of three million digits": _more(f"window:\n  grace: {'9' * 3_000_000}\n"),
    "aliases of aliases": _device(f"x:\n  a0: &a0 [1]\n{_LAUGHS}"),
    "brackets": _device("x: " + "[" * 1_000_000),
    "a million keys": _device("".join(f"k{n}: 1\n" for n in range(1_000_000))),
    "a device file without end": _link("config/devices/other.yaml", "/dev/zero"),
    "a pipe for a device file": _link("config/devices/other.yaml", "pipe"),
    "a csv of 100,000 columns": _csv(f"{_NAMES}\n{_NAMES}\n"),
    "a csv cell of 15 MB": _csv("name,address\n" + "x" * (15 * _MB) + ",holding:1\n"),
    "a csv of 100,000 faults": _csv("name,address\n" + "a,b\n" * 100_000),
    "a template that grows": _template(
        f"parameters: {{a: ''}}\n{_HEAD}{_TAGS}description: '{'${a}' * 3000}'\n", f"parameters: {{a: '{'x' * 100_000}'}}\n"
    ),
    "a template of 50,000 parameters": _template(
        f"parameters: {{}}\n{_HEAD}{_TAGS}", "parameters:\n" + "".join(f"  p{n}: 1\n" for n in range(50_000))
    ),
}
"""By what is in them."""
KEPT: Final[dict[str, Write]] = {
    "outbox: rows that unpack to 256 MiB": _outbox(_bomb),
    "outbox: a row of 200 MiB": _outbox(_large_row),
    "outbox: a watermark of 100 MiB": _outbox(_large_watermark),
    "outbox: 200 MiB of no database behind a good beginning": _outbox_tail,
    "found: without end": _link("found/press.csv", "/dev/zero"),
    "history: brackets": _history(b"[" * (60 * _MB)),
    "history: a pipe": _link("history/press.json", "pipe"),
}
"""By what is in them; the gateway runs with these."""
