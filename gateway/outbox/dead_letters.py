"""Dead letters: messages that the sink will never take, kept beside the outbox as JSON lines for people."""

import asyncio
import base64
from collections import deque
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from gateway.core.messages import Message
from gateway.core.private_files import append_private, size_of
from gateway.outbox.database.compression import Compression, Place
from gateway.outbox.database.encryption import Encryption
from gateway.outbox.records import Broken

log = structlog.get_logger("outbox")

FILE_BYTES: Final = 8 * 2**20
"""At this size a file becomes `.1`, and the one before goes: at most twice this on disk."""

_WAITING_BYTES: Final = 4 * 2**20
_MOST_KEPT_BYTES: Final = 2**20
"""Of a row that cannot be used, what is larger is not copied."""

_SUFFIX: Final = ".refused.jsonl"


class DeadLetters:
    """The file `{outbox}.refused.jsonl`: one line per message, with `reason` and `refused_ms`.

    Rows of the outbox that cannot be used stand there as well, with what is kept of them (`kept_base64`).
    Lines are as `gateway outbox export` writes them. The loss record is the promise, this is an extra: what the disk does
    not take within 4 MiB of memory is not kept. With encryption the payload stands in `sealed`, as in the outbox itself;
    `readable_line` decrypts it.
    """

    def __init__(self, outbox: Path, *, file_bytes: int = FILE_BYTES, waiting_bytes: int = _WAITING_BYTES) -> None:
        """file_bytes: the size at which a file becomes `.1`. waiting_bytes: what may wait in memory for the disk."""
        self.path = outbox.with_name(f"{outbox.name}{_SUFFIX}")
        self._file_bytes, self._most_waiting_bytes = file_bytes, waiting_bytes
        self.encryption: Encryption | None = None
        self._waiting: deque[bytes] = deque()
        self._bytes = 0

    def add(self, message: Message, reason: str, now_ns: int) -> None:
        """Keep a message. In memory only, until `write`."""
        self._add(self._line(message, reason, now_ns))

    def add_row(self, broken: Broken, now_ns: int) -> None:
        """Keep a row of the outbox that cannot be used, as it is kept there. In memory only, until `write`."""
        row, kept = broken.row, broken.kept if len(broken.kept) <= _MOST_KEPT_BYTES else b""
        head = {"topic": row.topic, "boot": row.boot, "seq": row.seq, "start_ms": row.start_ms, "end_ms": row.end_ms}
        head |= {"refused_ms": now_ns // 1_000_000, "reason": broken.reason, "kept_bytes": row.size}
        self._add(head | {"kept_base64": base64.b64encode(kept).decode()})

    def _add(self, fields: dict[str, object]) -> None:
        line = orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
        self._waiting.append(line)
        self._bytes += len(line)
        while self._bytes > self._most_waiting_bytes:
            self._bytes -= len(self._waiting.popleft())

    async def write(self) -> None:
        """Append what waits. Never raises: what the disk refuses waits for the next time."""
        if not self._waiting:
            return
        lines, self._waiting, self._bytes = self._waiting, deque(), 0
        try:
            await asyncio.to_thread(self._append, b"".join(lines))
        except OSError as error:
            log.warning("refused messages not kept", file=str(self.path), reason=error.strerror)
            lines.extend(self._waiting)
            self._waiting, self._bytes = lines, sum(map(len, lines))

    def _append(self, text: bytes) -> None:
        if (size := size_of(self.path)) and size + len(text) > self._file_bytes:
            self.path.replace(self.path.with_name(self.path.name + ".1"))
        append_private(self.path, text)

    def _line(self, m: Message, reason: str, now_ns: int) -> dict[str, object]:
        head = {"topic": m.topic, "boot": m.boot, "seq": m.seq, "start_ms": m.start_ms, "end_ms": m.end_ms}
        head |= {"refused_ms": now_ns // 1_000_000, "reason": reason}
        if self.encryption is None:
            return head | _readable(m.payload)
        kept, _ = Compression(encryption=self.encryption).encode(Place(m.topic, m.boot, m.seq), m.payload)
        return head | {"sealed": base64.b64encode(kept).decode()}


def is_dead_letter_file(path: Path) -> bool:
    """Return whether `path` is such a file, by its name."""
    return _SUFFIX in path.name


def readable_line(line: bytes, encryption: Encryption | None) -> dict[str, object]:
    """Return a line of the file with its payload decrypted. Raises ValueError when it is damaged or the key is not its."""
    fields: dict[str, Any] = orjson.loads(line)
    if "sealed" not in fields:
        return fields
    kept = base64.b64decode(fields.pop("sealed"))
    place = Place(fields["topic"], fields["boot"], fields["seq"])
    payload = Compression(encryption=encryption).decode(place, kept, 1)
    return fields | _readable(payload)


def _readable(payload: bytes) -> dict[str, object]:
    try:
        return {"payload": payload.decode()}
    except UnicodeDecodeError:
        return {"payload_base64": base64.b64encode(payload).decode()}
