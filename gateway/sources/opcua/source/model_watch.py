"""Whether a server's model is still the one that was found."""

import math
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from gateway.core.clock import Clock
from gateway.core.events.event import Event
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.port.errors import NotFound
from gateway.sources.opcua.port.measures import lacking
from gateway.sources.opcua.port.session import Connection
from gateway.sources.opcua.source.events import ModelChanged
from gateway.sources.opcua.source.tag_discovery import Change, NotKept, ask, has_kept

log = structlog.get_logger("opcua")

FIRST_S: Final = 30.0
QUIET_S: Final = 2.0
"""After a server has said that its model changes it is given time to finish, each time it says so again ..."""
LONGEST_S: Final = 30.0
"""... but not for ever."""
PAUSE_S: Final = 60.0
"""From one comparison to the next, whatever the server says: a browse costs it something ..."""
PATIENCE: Final = 3
"""... and after so many in a row twice as long each time that it says so all the same, up to `refresh`."""
_STEP_S: Final = 1.0
_NONE: Final = "browse has found no tags"
_SHOWS: Final = "gateway browse shows what is there"
_AT_START: Final = "at the next start"
_BY_ITSELF: Final = "as the gateway starts anew by itself"


class ModelWatch:
    """Compares now and then, and soon after `hurry`, after a new session, and when what marks the model is another one. What
    is news is kept, and told. note: for the device's state, as long as nothing that `browse` has found runs."""

    def __init__(
        self,
        device: OpcUaDevice,
        tags: Sequence[OpcUaTag],
        number: int,
        clock: Clock,
        request_restart: Callable[[int], float],
    ) -> None:
        self._device = device
        self._tags = tags
        self._number = number
        self._clock = clock
        self._request_restart = request_restart
        self._every_s = device.refresh / 1e9
        self.is_pending = bool(device.browse) and not tags
        """There are no tags, and why is about to be known."""
        self.note = f"{_NONE} yet" if self.is_pending else ""
        self._due_s = clock.monotonic() + (0 if self.is_pending else min(self._every_s, FIRST_S))
        self._runs = True
        self._last_s = self._begun_s = -math.inf
        self._soon_s = math.inf
        self._pause_s = PAUSE_S
        self._row = 0
        self._is_first = True
        self._marks: Sequence[str] = ()
        self.is_wanted = bool(device.browse or lacking(tags))
        self.is_deaf = False
        """The server hung up when it was asked to tell changes: it is not asked in the next session."""

    def begin(self) -> None:
        """A session begins. Of what changed before it nobody has heard; the first look is due anyway."""
        if self._is_first:
            self._runs = not self._device.browse or (bool(self._tags) and has_kept(self._device))
        else:
            self.hurry()
        self._is_first = False

    def hurry(self) -> None:
        """The server says that its model, or what its values mean, has changed."""
        now_s = self._clock.monotonic()
        if self._soon_s == math.inf:
            self._begun_s = now_s
        self._soon_s = max(min(now_s + QUIET_S, self._begun_s + LONGEST_S), self._last_s + self._pause_s)

    async def _wait(self, connection: Connection) -> None:
        look_s = self._clock.monotonic()
        while (left_s := min(self._due_s, self._soon_s) - self._clock.monotonic()) > 0:
            if self._soon_s == math.inf and self._clock.monotonic() >= look_s:
                await self._look(connection)
                look_s = self._clock.monotonic() + PAUSE_S
            await self._clock.sleep(min(left_s, _STEP_S))
        now_s = self._clock.monotonic()
        goes_on = now_s - self._last_s <= 2 * self._pause_s
        self._row = self._row + 1 if goes_on else 0
        self._pause_s = min(2 * self._pause_s, max(PAUSE_S, self._every_s)) if self._row > PATIENCE else PAUSE_S
        self._last_s = now_s
        self._due_s, self._soon_s = now_s + self._every_s, math.inf

    async def _look(self, connection: Connection) -> None:
        """A cheap look, for servers that say nothing of changes."""
        before, self._marks = self._marks, await connection.marks([one.root for one in self._device.browse])
        if before and before != self._marks:
            self.hurry()

    async def run(self, connection: Connection, report: Callable[[Event], None], tell: Callable[[], None]) -> None:
        """Until the connection is lost (NotConnected); at once where there is nothing to compare. tell: called when `note`
        may be another one."""
        while self.is_wanted:
            await self._wait(connection)
            try:
                change = await ask(connection, self._device, self._tags)
            except NotFound as error:
                log.warning("%s: the model cannot be compared: %s", self._device.name, error)
                change, missing = None, str(error) if isinstance(error, NotKept) else f"{error}; {_SHOWS}"
            else:
                missing = ""
            self.is_pending = False
            if not self._runs:
                self.note = self._noted(missing)
                tell()
            if change:
                report(self._event(change))

    def _noted(self, missing: str) -> str:
        """What is the matter while nothing runs that was found. missing: why it cannot be asked for."""
        if not missing and has_kept(self._device):
            return f"browse has found tags, which do not run yet: they are taken {self._taken}"
        roots = ", ".join(dict.fromkeys(one.root for one in self._device.browse))
        unwanted = f"below {roots} is nothing that include, exclude, type, values and depth let through; {_SHOWS}"
        return f"{_NONE}: {missing or unwanted}"

    @property
    def _restarts(self) -> bool:
        return any(one.on_change == "restart" for one in self._device.browse)

    @property
    def _taken(self) -> str:
        return _BY_ITSELF if self._restarts else _AT_START

    def _event(self, change: Change) -> ModelChanged:
        wait_s = round(self._request_restart(self._number)) if self._restarts else 0
        return ModelChanged(
            time_ns=self._clock.now_ns(),
            device=self._number,
            reason=f"the server's model has changed; taken {self._taken}",
            added=len(change.added),
            removed=len(change.removed),
            altered=len(change.altered),
            names=change.some_names,
            cut=True if change.cut else None,
            restart=True if self._restarts else None,
            restart_in_s=wait_s or None,
        )
