"""Up to when each node's samples were handed on, and what is still to be read back, kept over restarts and crashes: a
restart of the gateway is a gap as any other."""

import asyncio
import hashlib
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from gateway.core.clock import Clock
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.values import Item
from gateway.sources.opcua.source.history.gaps import Gap, Gaps
from gateway.sources.opcua.source.history.notebook import Notebook
from gateway.sources.opcua.source.history.record import Note, Read, Recalled, recalled, whole

log = logging.getLogger(__name__)

KEEP_S: Final = 60.0
LEASE_S: Final = 10.0
AHEAD_S: Final = 2.0
SPARED: Final = 5
_LOOK_S: Final = 1.0
_FREE: Final = 2**62


class Kept:
    """A small file per device, and a note beside it.

    Nothing is handed on before a note on the disk says that it may have been: live samples wait for a limit, a few seconds
    ahead of them and renewed before they reach it; a slice of history waits for a note of its own. So after a crash what may
    have been handed on is known, is told as skipped and is not read back: a hole is told, and a value counted twice is not.
    When the connection or the gateway ends the whole file names the times of every node, exactly; it is also written before
    a gap is read back, so that a crash does not forget the gap.

    A file that cannot be read or written costs only this, and is told. Where it cannot be written it is removed, if the disk
    allows that much: else a crash could be followed by samples told twice.
    """

    def __init__(self, config: OpcUaDevice, items: Sequence[Item], gaps: Gaps, clock: Clock, held_s: float = 3.0) -> None:
        """held_s: how long what was handed on may be lost with the process."""
        self._book = Notebook(config.history_kept, config.name)
        self._name = config.name
        self._urls = [config.url, *config.urls]
        self._keys = [f"{item.node}[{item.index}]" if item.index else item.node for item in items]
        self._gaps = gaps
        self._clock = clock
        self._held_s = held_s
        self._number = 0
        self._limit_ns = 0
        self._sure_ns = 0
        self._is_open = False
        self._read: dict[int, _Progress] = {}
        self._left: Read = {}
        self._said = b""
        self._whole_due_s = -math.inf
        self._retry_s = -math.inf
        self._spared = float(SPARED)
        self._spared_s = clock.monotonic()
        self._has_complained = False
        self._one = asyncio.Lock()
        self.is_owed = False
        """The last `end` came too early to be noted."""

    def recall(self) -> None:
        """What the run before has left becomes the beginning of the first gap, and the gaps that wait."""
        try:
            left = recalled(*self._book.load(), self._urls, self._keys)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("%s: %s is not used, history begins anew: %s", self._name, self._book, error)
            return
        if left is not None:
            self._go_on(left)

    def _go_on(self, left: Recalled) -> None:
        self._number, self._is_open, self._left = left.number, True, left.read
        self._gaps.remember(left.after, left.skipped, left.gaps)
        begin_ns, length_ns = left.skipped
        self._sure_ns = begin_ns if length_ns else self._gaps.newest_taken_ns
        self._said = _digest(self._content(Note(0, 0, 0)))

    def begin(self) -> None:
        """A gap has begun: until it is kept as a whole it is known only by the time before it."""
        if not self._is_open:
            self._sure_ns = max(self._sure_ns, self._safe(self._gaps.newest_taken_ns))
        self._is_open = self._gaps.unsettled is not None

    @property
    def admits(self) -> bool:
        """What waits to be handed on may be."""
        return not self._gaps.has_put or self._gaps.newest_put_ns <= self._limit_ns

    async def admit(self) -> None:
        """Returns once what waits to be handed on may be."""
        while not self.admits:
            await self._note()

    async def run(self) -> None:
        """Renew the limit before it is reached."""
        while True:
            is_short = self._gaps.has_put and self._gaps.newest_put_ns + AHEAD_S * 1e9 > self._limit_ns
            safe_s = self._clock.monotonic() - self._held_s
            is_safe = any(known.is_finished and known.is_safe_news(safe_s) for known in self._read.values())
            if is_short or is_safe or (self._limit_ns == _FREE and self._clock.monotonic() >= self._retry_s):
                await self._note()
            await self._clock.sleep(_LOOK_S)

    async def ahead(self, gap: Gap, start_ns: int, end_ns: int) -> None:
        """Before a slice of a gap is handed on."""
        now_s = self._clock.monotonic()
        known = self._read.setdefault(gap.number, _Progress(start_ns))
        known.go_on(now_s, end_ns)
        refused = len(gap.aside)
        if refused > known.refused:  # these are not read up to here: only the whole file can say so
            known.refused = refused
            await self._write_whole(limited=True)
        else:
            await self._note()

    def closed(self, gap: Gap) -> None:
        """All of its slices were handed on."""
        if gap.number in self._read:
            self._read[gap.number].finish(self._clock.monotonic())

    async def settled(self) -> None:
        """Before gaps are read back, or refused nodes are asked for again. A few times in a row, then once a minute."""
        self._spare()
        if self._spared < 1:
            await self._clock.sleep((1 - self._spared) * KEEP_S)
            self._spare()
        self._spared = max(0.0, self._spared - 1)
        self._read = {number: known for number, known in self._read.items() if not known.is_finished}
        await self._write_whole(limited=True)

    def _spare(self) -> None:
        now_s = self._clock.monotonic()
        self._spared = min(float(SPARED), self._spared + (now_s - self._spared_s) / KEEP_S)
        self._spared_s = now_s

    async def end(self, *, at_last: bool) -> None:
        """Nothing more is handed on for now: name the times of all nodes. at_last: the gateway stops; else connections that
        break again and again do so once a minute."""
        self.is_owed = not at_last and self._clock.monotonic() < self._whole_due_s
        if self.is_owed:
            return
        await self._write_whole(limited=False)

    async def _note(self) -> None:
        async with self._one:
            if self._limit_ns == _FREE:
                if self._clock.monotonic() >= self._retry_s:
                    await self._attempt(lambda: self._replace(limited=True))
                return
            note = self._present()
            note = replace(note, read={**self._left, **note.read})
            if await self._attempt(lambda: self._threaded(self._book.note, note.as_json(self._urls))):
                self._limit_ns, self._said = note.limit, b""

    async def _write_whole(self, *, limited: bool) -> None:
        async with self._one:
            await self._attempt(lambda: self._replace(limited=limited))

    async def _replace(self, *, limited: bool) -> None:
        """limited: samples go on being handed on."""
        is_open = self._gaps.unsettled is not None
        self._is_open = self._is_open and is_open
        note = self._present() if limited else Note(0, 0, 0)
        told = self._content(note)
        digest = _digest(told)
        if digest == self._said:
            return
        self._number += 1
        try:
            await self._threaded(self._book.replace, orjson.dumps(told | {"number": self._number}))
        except BaseException:  # cancelled, it may be there or not: notes need a whole file of their number
            self._whole_due_s = -math.inf
            raise
        self._said, self._limit_ns, self._left = digest, note.limit, {}
        if not limited:
            self._gaps.has_put = False
            self._read.clear()
            self._whole_due_s = self._clock.monotonic() + KEEP_S

    def _content(self, note: Note) -> dict[str, Any]:
        """The whole file, but for its number."""
        return whole(Note(0, note.newest, note.limit, note.read), self._urls, self._keys, self._gaps)

    def _present(self) -> Note:
        newest_ns = max(self._gaps.newest_put_ns, self._gaps.newest_taken_ns)
        limit_ns = 0
        if self._gaps.has_put:
            limit_ns = max(0 if self._limit_ns == _FREE else self._limit_ns, newest_ns + round(LEASE_S * 1e9))
        if not self._is_open:
            self._sure_ns = max(self._sure_ns, self._safe(self._gaps.newest_taken_ns))
        safe_s = self._clock.monotonic() - self._held_s
        read = {number: known.span(safe_s) for number, known in self._read.items()}
        return Note(self._number, self._sure_ns or self._safe(newest_ns), limit_ns, read)

    def _safe(self, time_ns: int) -> int:
        """What was handed on up to then, now, cannot be lost with the process up to when."""
        return max(0, time_ns - round(self._held_s * 1e9))

    async def _threaded(self, write: Callable[[Any, int], None], what: Any) -> None:
        await asyncio.to_thread(write, what, self._book.ticket())

    async def _attempt(self, write: Callable[[], Awaitable[None]]) -> bool:
        """True when it is on the disk. When it cannot be, everything goes on without."""
        try:
            await write()
        except (OSError, ValueError) as error:
            if not self._has_complained:
                log.warning(
                    "%s: what was read up to when cannot be kept: %s; history_kept: names its folder", self._name, error
                )
            self._has_complained = True
            self._limit_ns, self._said = _FREE, b""
            self._retry_s = self._clock.monotonic() + KEEP_S
            await self._discard()
            return False
        self._has_complained = False
        return True

    async def _discard(self) -> None:
        try:
            await asyncio.to_thread(self._book.discard)
        except OSError as error:
            log.debug("%s: nor can it be removed: %s", self._name, error)


class _Progress:
    """How far a gap is read back."""

    def __init__(self, start_ns: int) -> None:
        self.refused = 0
        self._from_ns = self._to_ns = start_ns
        self._done: deque[tuple[float, int]] = deque()
        self.is_finished = False

    def go_on(self, now_s: float, to_ns: int) -> None:
        """The slice before is handed on, the next one goes up to here."""
        self.finish(now_s)
        self._to_ns, self.is_finished = to_ns, False

    def finish(self, now_s: float) -> None:
        """The last slice is handed on."""
        self._done.append((now_s, self._to_ns))
        self.is_finished = True

    def is_safe_news(self, safe_s: float) -> bool:
        """All of it is safe now, and was not when `span` was last asked for."""
        return bool(self._done) and self._done[-1][0] < safe_s

    def span(self, safe_s: float) -> tuple[int, int]:
        """From when to when samples may be lost with the process: what was handed on before `safe_s` is not."""
        while self._done and self._done[0][0] < safe_s:
            self._from_ns = self._done.popleft()[1]
        return self._from_ns, self._to_ns


def _digest(content: dict[str, Any]) -> bytes:
    return hashlib.blake2b(orjson.dumps(content)).digest()
