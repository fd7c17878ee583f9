"""The watermarks of all sources in memory: what of them the disk lacks, and who waits for it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from gateway.core.clock import Clock
from gateway.core.ports.watermarks import StoredWatermark

DELAY_S: Final = 2.0
"""How long a change waits for a commit that happens anyway; so the changes of all devices share one."""

MOST_WAIT_S: Final = 5.0
"""How long a source is kept waiting by a disk that neither takes a change nor refuses it."""


class PendingWatermarks:
    """The `Watermarks` port, and the commit loop's side of it.

    Order of use: `adopt` when a file was opened; for each commit `changes`, then `saved` if it took them; `commit_ended`
    after each attempt.
    """

    def __init__(
        self, clock: Clock, wake: Callable[[], None], refuses: Callable[[], bool], doubt: Callable[[], Awaitable[None]]
    ) -> None:
        """wake: begin a commit soon. refuses: the disk takes nothing at present. doubt: see `flush`.

        `doubt` notes outside of the database, which takes nothing, that from now on more is handed on than its watermarks
        allow.
        """
        self._clock, self._wake, self._refuses, self._doubt = clock, wake, refuses, doubt
        self._newest: dict[str, StoredWatermark] = {}
        self._changed: dict[str, float] = {}
        """Keys whose newest content the disk lacks, and since when, monotonic seconds."""
        self._refreshes: list[Callable[[], None]] = []
        self._is_urgent = False
        self._is_lost = True
        self._attempt = asyncio.Event()

    # -- the port, see `Watermarks`

    def load(self, key: str) -> StoredWatermark | None:
        """Return the newest content of a key; an uncertain, empty one where it cannot be known whether there was one."""
        if self._is_lost and key not in self._newest:
            # Also for a file that is opened later: what is put from now on does not go with what that file has.
            self._change(key, StoredWatermark(b"", is_certain=False))
        return self._newest.get(key)

    def put(self, key: str, value: bytes) -> None:
        """Replace the content of a key in memory."""
        self._change(key, StoredWatermark(value))

    def is_durable(self, key: str) -> bool:
        """Return whether the newest content of the key is on the disk."""
        return key in self._newest and key not in self._changed

    async def flush(self, key: str) -> bool:
        """Have the newest content of the key written now; return whether it is durable."""
        until = self._clock.monotonic() + MOST_WAIT_S
        while key in self._changed:
            left_s = until - self._clock.monotonic()
            if self._refuses() or left_s <= 0:
                return await self._give_up(key)
            self._is_urgent = True
            self._wake()
            await self._attempt_or_delay(left_s)
        return True

    def before_commit(self, refresh: Callable[[], None]) -> None:
        """Call `refresh` before each commit."""
        self._refreshes.append(refresh)

    # -- the commit loop's side

    @property
    def due_at(self) -> float | None:
        """Return the monotonic time at which the changes are to be written though nothing else is; None without changes."""
        if not self._changed:
            return None
        return 0.0 if self._is_urgent else min(self._changed.values()) + DELAY_S

    def refresh(self) -> None:
        """Have the sources renew what is worth a place in the commit that begins now."""
        for refresh in self._refreshes:
            refresh()

    def changes(self) -> Mapping[str, StoredWatermark]:
        """Return what the disk lacks, by key."""
        self._is_urgent = False
        return {key: self._newest[key] for key in self._changed}

    def saved(self, changes: Mapping[str, StoredWatermark]) -> None:
        """Record that `changes` are durable."""
        for key, content in changes.items():
            if self._newest[key] is content:
                self._changed.pop(key, None)

    def commit_ended(self) -> None:
        """Let those look again who wait in `flush`: a commit has ended, whatever came of it."""
        ended, self._attempt = self._attempt, asyncio.Event()
        ended.set()

    def adopt(
        self,
        stored: Mapping[str, StoredWatermark],
        rescued: Mapping[str, StoredWatermark],
        *,
        is_complete: bool,
        in_doubt: bool,
    ) -> None:
        """Take over what an opened file has. What memory knows already is newer, and is written to that file again.

        rescued: from a damaged file that this one replaces. is_complete: no other keys were ever kept. in_doubt: the run
        before has used `doubt`, so nothing of what it left is certain.
        """
        found = {**rescued, **stored}
        for key, content in found.items():
            is_certain = content.is_certain and not in_doubt and key in stored
            self._newest.setdefault(key, StoredWatermark(content.value, is_certain))
        self._is_lost = self._is_lost and (in_doubt or not is_complete)
        now = self._clock.monotonic()
        self._changed = {key: now for key, content in self._newest.items() if stored.get(key) != content}

    def _change(self, key: str, content: StoredWatermark) -> None:
        self._newest[key] = content
        self._changed.setdefault(key, self._clock.monotonic())

    async def _give_up(self, key: str) -> bool:
        """Let the source go on without: what the disk has of the key is uncertain from now on."""
        await self._doubt()
        if self.is_durable(key):  # the disk is back meanwhile
            return True
        self._change(key, StoredWatermark(self._newest[key].value, is_certain=False))
        return False  # without an await in between: the source knows before the next commit begins

    async def _attempt_or_delay(self, delay_s: float) -> None:
        waits = {
            asyncio.create_task(self._attempt.wait(), name="outbox: watermarks"),
            asyncio.create_task(self._clock.sleep(delay_s), name="outbox: watermarks' delay"),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
