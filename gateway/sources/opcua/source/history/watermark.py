"""Watermark of a device: up to when each node's samples were handed on, and what is still to be read back.

It survives restarts and crashes, so a restart of the gateway is a gap as any other.
"""

import asyncio
import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import orjson
import structlog

from gateway.core.clock import Clock
from gateway.core.ports.watermarks import StoredWatermark, Watermarks
from gateway.sources.opcua.config.device import OpcUaDevice
from gateway.sources.opcua.port.values import Item
from gateway.sources.opcua.source.history.gap import Gap
from gateway.sources.opcua.source.history.gaps import Gaps
from gateway.sources.opcua.source.history.legacy_files import LegacyFiles
from gateway.sources.opcua.source.history.progress import Progress
from gateway.sources.opcua.source.history.record import Limit, Read, Restored, lost, restored, state_of, uncertain
from gateway.sources.opcua.source.history.turns import Turns

log = structlog.get_logger("opcua")

LEASE_S: Final = 30.0
"""How far ahead of the newest sample the limit lies: the longest time that a crash adds to a hole."""

AHEAD_S: Final = 6.0
"""Seconds before the limit at which it is renewed. A renewal waits two seconds for the commit of other devices, so all of
them together cost one commit every 24 s. Measured: 8.2 kB a commit for up to 25 devices, so 30 MB a day for all of them
together, where a note of its own for each cost 45 MB a day and device."""

KEEP_S: Final = 60.0
"""Where connections break again and again, and where a disk refuses: the time between two attempts to write."""

MOST_IN_A_ROW: Final = 5
_LOOK_S: Final = 1.0


class Watermark:
    """The watermark of one device, in the outbox's file: its state, written now and then, and a small limit beside it.

    Nothing is handed on before the limit on the disk allows it: live samples wait for a limit some seconds ahead of them,
    which is renewed before they reach it; a slice of history waits for a limit of its own. So after a crash what may have
    been handed on is known, is reported as skipped and is not read back: a hole is reported, and no value is counted twice.
    When the connection or the gateway ends, the state names the times of every node, exactly; it is also written before a
    gap is read back, so that a crash does not forget the gap.

    A disk that refuses costs only this: samples are handed on without a limit, and a next run that finds the content of
    before knows that it is uncertain, and reports all that it does not know as a hole.
    """

    def __init__(
        self,
        config: OpcUaDevice,
        items: Sequence[Item],
        gaps: Gaps,
        clock: Clock,
        store: Watermarks,
        held_s: float = 3.0,
    ) -> None:
        """held_s: how long what was handed on may be lost with the process, seconds."""
        self._config = config
        self._urls = [config.url, *config.urls]
        self._keys = [f"{item.node}[{item.index}]" if item.index else item.node for item in items]
        self._state_key, self._limit_key = f"opcua/state/{config.name}", f"opcua/limit/{config.name}"
        self._gaps = gaps
        self._clock = clock
        self._store = store
        self._held_s = held_s
        self._legacy: LegacyFiles | None = None
        self._number = 0
        self._limit_ns = 0
        self._next_limit_ns = 0
        """As `_limit_ns`, put and not known to be durable."""
        self._is_unlimited = False
        self._safe_ns = 0
        self._is_open = False
        self._read: dict[int, Progress] = {}
        self._left: Read = {}
        self._written = b""
        """The digest of the state as it was put last; empty when more was put since."""
        self._state_due_s = -math.inf
        self._retry_s = -math.inf
        self._turns = Turns(MOST_IN_A_ROW, KEEP_S, clock.monotonic())
        self._flushing = asyncio.Lock()
        self.is_owed = False
        """The last `end` came too early to be written."""
        store.before_commit(self._renew_early)

    def load(self) -> None:
        """Make what the run before has left the beginning of the first gap, and the gaps that wait."""
        legacy = LegacyFiles(self._config.history_kept, self._config.name)
        self._legacy = legacy if legacy.exist else None
        stored = [self._store.load(key) for key in (self._state_key, self._limit_key)]
        try:
            left = self._restored(stored) if any(stored) else self._take_over()
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("what was kept is not used, history begins anew", device=self._config.name, reason=str(error))
            return
        if left is not None:
            self._go_on(left)

    def _restored(self, stored: Sequence[StoredWatermark | None]) -> Restored | None:
        """Return what the outbox has: state and limit."""
        newest_ns = self._clock.now_ns() + 2 * self._config.clock_tolerance
        state, limit = (orjson.loads(one.value) if one and one.value else None for one in stored)
        if state is None and limit is None:
            return lost(len(self._keys), newest_ns, self._config.history_most)
        left = restored(state, limit, self._urls, self._keys)
        is_certain = all(one.is_certain for one in stored if one is not None)
        return left if left is None or is_certain else uncertain(left, newest_ns)

    def _take_over(self) -> Restored | None:
        """Read the files of a version before; they are removed once their content is durable, see `_confirm`."""
        if self._legacy is None:
            return None
        state, limit = self._legacy.load()
        left = restored(state, limit, self._urls, self._keys)
        self._store.put(self._state_key, orjson.dumps(state))
        self._store.put(self._limit_key, orjson.dumps(limit))
        return left

    def _go_on(self, left: Restored) -> None:
        self._number, self._is_open, self._left = left.number, True, left.read
        self._gaps.restore(left.after, left.skipped, left.gaps)
        begin_ns, length_ns = left.skipped
        self._safe_ns = begin_ns if length_ns else self._gaps.newest_handed_on_ns
        self._written = _digest(self._content(Limit(0, 0, 0)))

    def on_connected(self) -> None:
        """Begin a gap: until the state is written it is known only by the time before it."""
        if not self._is_open:
            self._safe_ns = max(self._safe_ns, self._safe(self._gaps.newest_handed_on_ns))
        self._is_open = self._gaps.open_gap is not None

    @property
    def admits(self) -> bool:
        """Return whether what waits to be handed on may be."""
        return not self._gaps.has_queued or self._is_unlimited or self._gaps.newest_queued_ns <= self._limit_in_force_ns

    async def admit(self) -> None:
        """Return once what waits to be handed on may be."""
        while not self.admits:
            async with self._flushing:
                if not self.admits:
                    self._put_limit()
                    await self._confirm()

    async def run(self) -> None:
        """Renew the limit before it is reached."""
        while True:
            if self._is_unlimited:
                await self._try_again()
            else:
                is_short = self._gaps.has_queued and self._gaps.newest_queued_ns + AHEAD_S * 1e9 > self._next_limit_ns
                safe_s = self._clock.monotonic() - self._held_s
                if is_short or any(known.is_finished and known.is_safe_news(safe_s) for known in self._read.values()):
                    self._put_limit()
            await self._clock.sleep(_LOOK_S)

    async def _try_again(self) -> None:
        """Ask the disk again once a minute."""
        async with self._flushing:
            if self._clock.monotonic() >= self._retry_s:
                self._put_state(limited=True)
                await self._confirm()

    async def before_slice(self, gap: Gap, start_ns: int, end_ns: int) -> None:
        """Wait until a slice of a gap may be handed on. start_ns, end_ns: source times of the slice."""
        known = self._read.setdefault(gap.number, Progress(start_ns))
        known.go_on(self._clock.monotonic(), end_ns)
        async with self._flushing:
            if self._is_unlimited:
                return
            refused = len(gap.aside)
            if refused > known.refused:  # these are not read up to here: only the state can say so
                known.refused = refused
                self._put_state(limited=True)
            else:
                self._put_limit()
            await self._confirm()

    def close_gap(self, gap: Gap) -> None:
        """Record that all slices of a gap were handed on."""
        if gap.number in self._read:
            self._read[gap.number].finish(self._clock.monotonic())

    async def before_reading_back(self) -> None:
        """Write the state with the gaps, or with refused nodes that are asked again.

        A few times in a row, then once a minute.
        """
        if wait_s := self._turns.wait_s(self._clock.monotonic()):
            await self._clock.sleep(wait_s)
        self._turns.take(self._clock.monotonic())
        self._read = {number: known for number, known in self._read.items() if not known.is_finished}
        async with self._flushing:
            if not self._is_unlimited:
                self._put_state(limited=True)
                await self._confirm()

    def end(self, *, at_last: bool) -> None:
        """Name the times of all nodes, as nothing more is handed on for now.

        at_last: the gateway stops, and the outbox writes this after all that was handed on; else at most once a minute.
        """
        self.is_owed = not at_last and self._clock.monotonic() < self._state_due_s
        if not self.is_owed:
            self._put_state(limited=False)

    # -- inside

    @property
    def _limit_in_force_ns(self) -> int:
        if self._next_limit_ns != self._limit_ns and self._store.is_durable(self._limit_key):
            self._limit_ns = self._next_limit_ns
        return self._limit_ns

    def _renew_early(self) -> None:
        """Renew a limit of which half is used, as there is a commit anyway."""
        half_ns = round(LEASE_S / 2 * 1e9)
        if self._gaps.has_queued and not self._is_unlimited and self._gaps.newest_queued_ns + half_ns > self._next_limit_ns:
            self._put_limit()

    def _put_limit(self) -> None:
        limit = self._present()
        limit = replace(limit, read={**self._left, **limit.read})
        self._store.put(self._limit_key, orjson.dumps(limit.as_json(self._urls)))
        self._next_limit_ns, self._written = limit.until, b""

    def _put_state(self, *, limited: bool) -> None:
        """limited: samples go on being handed on."""
        self._is_open = self._is_open and self._gaps.open_gap is not None
        limit = self._present() if limited else Limit(0, 0, 0)
        content = self._content(limit)
        digest = _digest(content)
        if digest == self._written:
            return
        self._number += 1
        written = replace(limit, number=self._number).as_json(self._urls) if limited else None
        self._store.put(self._state_key, orjson.dumps(content | {"number": self._number}))
        self._store.put(self._limit_key, orjson.dumps(written))
        self._written, self._next_limit_ns, self._left = digest, limit.until, {}
        if not limited:
            self._limit_ns, self._is_unlimited = 0, False
            self._gaps.has_queued = False
            self._read.clear()
            self._state_due_s = self._clock.monotonic() + KEEP_S

    async def _confirm(self) -> None:
        """Wait until what was put is durable. Where it cannot be, everything goes on without."""
        was_unlimited, self._is_unlimited = self._is_unlimited, False
        if await self._store.flush(self._limit_key):
            self._limit_ns = self._next_limit_ns
        else:
            if not was_unlimited:
                text = "what was read up to when cannot be kept: the disk of the outbox takes nothing"
                log.warning(text, device=self._config.name)
            self._is_unlimited, self._written = True, b""
            self._retry_s = self._clock.monotonic() + KEEP_S
        if self._legacy is not None:
            self._legacy.remove()
            self._legacy = None

    def _content(self, limit: Limit) -> dict[str, Any]:
        """Return the state, but for its number."""
        return state_of(Limit(0, limit.newest, limit.until, limit.read), self._urls, self._keys, self._gaps)

    def _present(self) -> Limit:
        newest_ns = max(self._gaps.newest_queued_ns, self._gaps.newest_handed_on_ns)
        limit_ns = 0
        if self._gaps.has_queued:
            limit_ns = max(self._limit_ns, self._next_limit_ns, newest_ns + round(LEASE_S * 1e9))
        if not self._is_open:
            self._safe_ns = max(self._safe_ns, self._safe(self._gaps.newest_handed_on_ns))
        safe_s = self._clock.monotonic() - self._held_s
        read = {number: known.span(safe_s) for number, known in self._read.items()}
        return Limit(self._number, self._safe_ns or self._safe(newest_ns), limit_ns, read)

    def _safe(self, time_ns: int) -> int:
        """Return up to when what was handed on up to `time_ns`, now, cannot be lost with the process."""
        return max(0, time_ns - round(self._held_s * 1e9))


def _digest(content: dict[str, Any]) -> bytes:
    return hashlib.blake2b(orjson.dumps(content)).digest()
