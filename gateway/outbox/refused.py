"""Messages that the broker will never take, kept beside the outbox as JSON lines for people to look at or carry out."""

import asyncio
import base64
from collections import deque
from pathlib import Path
from typing import Final

import orjson
import structlog

from gateway.core.messages import Message

log = structlog.get_logger("outbox")

FILE_BYTES: Final = 8 * 2**20
"""At this size a file becomes `.1`, and the one before goes: at most twice this on disk."""

_WAITING_BYTES: Final = 4 * 2**20


class RefusedFile:
    """`{outbox}.refused.jsonl`: one line per message, as `gateway outbox export` writes them, with `reason` and
    `refused_ms`.

    The loss record is the promise, this is a courtesy: what the disk does not take within 4 MiB of memory is not kept.
    """

    def __init__(self, outbox: Path) -> None:
        self.path = outbox.with_name(f"{outbox.name}.refused.jsonl")
        self._waiting: deque[bytes] = deque()
        self._bytes = 0

    def add(self, message: Message, reason: str, now_ns: int) -> None:
        """Keep a message. In memory only, until `write`."""
        line = orjson.dumps(_line(message, reason, now_ns), option=orjson.OPT_APPEND_NEWLINE)
        self._waiting.append(line)
        self._bytes += len(line)
        while self._bytes > _WAITING_BYTES:
            self._bytes -= len(self._waiting.popleft())

    async def write(self) -> None:
        """Append what waits. Never raises for the disk's sake: it waits for the next time."""
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
        if self.path.exists() and self.path.stat().st_size + len(text) > FILE_BYTES:
            self.path.replace(self.path.with_name(self.path.name + ".1"))
        with self.path.open("ab") as file:
            file.write(text)


def _line(m: Message, reason: str, now_ns: int) -> dict[str, object]:
    head = {"topic": m.topic, "boot": m.boot, "seq": m.seq, "start_ms": m.start_ms, "end_ms": m.end_ms}
    head |= {"refused_ms": now_ns // 1_000_000, "reason": reason}
    try:
        return {**head, "payload": m.payload.decode()}
    except UnicodeDecodeError:
        return {**head, "payload_base64": base64.b64encode(m.payload).decode()}
