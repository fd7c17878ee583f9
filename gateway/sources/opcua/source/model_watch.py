"""Whether a server's model is still the one that the tags were found in."""

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from gateway.core.events.event import Event
from gateway.sources.opcua.port.errors import NotFound
from gateway.sources.opcua.port.metadata import Metadata
from gateway.sources.opcua.port.units import lacking
from gateway.sources.opcua.source.comparison_schedule import ComparisonSchedule
from gateway.sources.opcua.source.events import ModelChanged
from gateway.sources.opcua.source.source_device import SourceDevice
from gateway.sources.opcua.source.tag_discovery import Change, NotKept, has_stored, left_out, refresh

log = structlog.get_logger("opcua")

_NONE: Final = "browse has found no tags"
_SHOWS: Final = "gateway browse shows what is there"
_MOST_REASONS: Final = 500
"""Characters of what was left out, in the device state."""
_AT_START: Final = "at the next start"
_AT_ONCE: Final = "at once"


class ModelWatch:
    """Compares the model now and then, soon after `hurry`, after a new session, and when the model's version differs.

    What is new is kept in files and reported.
    """

    def __init__(self, device: SourceDevice, take_tags: Callable[[int], None]) -> None:
        """Begin with a comparison due: at once where there are no tags, else after the first half minute.

        take_tags: see `SourceServices.take_tags`.
        """
        config, intervals = device.config, device.intervals
        self._device = device
        self._take_tags = take_tags
        self.is_pending = bool(config.browse) and not device.tags
        """There are no tags, and the reason is about to be known."""
        self.state_text = f"{_NONE} yet" if self.is_pending else ""
        """For the device state, as long as no tag runs that `browse` has found."""
        self.is_wanted = bool(config.browse or lacking(device.tags))
        """There is something to compare."""
        self.is_model_refused = False
        """The server hung up when it was asked to report changes: the next session does not ask."""
        self._runs = True
        """Tags that `browse` has found run, or none are wanted."""
        every_s = config.refresh / 1e9
        first_s = 0 if self.is_pending else min(every_s, intervals.model_first_s)
        self._schedule = ComparisonSchedule(intervals, every_s, device.clock.monotonic() + first_s)
        self._is_first = True
        self._version: Sequence[str] = ()

    def on_connected(self) -> None:
        """Begin a session. Changes before it were not reported, so a comparison is due; the first one is due anyway."""
        if self._is_first:
            config = self._device.config
            self._runs = not config.browse or (bool(self._device.tags) and has_stored(config))
        else:
            self.hurry()
        self._is_first = False

    def hurry(self) -> None:
        """Compare soon: the server reports that its model, or the meaning of its values, has changed."""
        self._schedule.hurry(self._device.clock.monotonic())

    async def run(self, metadata: Metadata, push: Callable[[Event], None], report_state: Callable[[], None]) -> None:
        """Compare until the connection is lost (NotConnected); return at once where there is nothing to compare.

        report_state: called when `state_text` may have changed.
        """
        config = self._device.config
        while self.is_wanted:
            await self._wait(metadata)
            try:
                change = await refresh(metadata, config, self._device.tags)
            except NotFound as error:
                log.warning("model cannot be compared", device=self._device.name, error=str(error))
                change, missing = None, str(error) if isinstance(error, NotKept) else f"{error}; {_SHOWS}"
            else:
                missing = ""
            self.is_pending = False
            if not self._runs:
                self.state_text = self._missing_text(missing)
                report_state()
            if change:
                push(self._event(change))

    async def _wait(self, metadata: Metadata) -> None:
        """Return when a comparison is due."""
        clock, intervals = self._device.clock, self._device.intervals
        look_s = clock.monotonic()
        while (left_s := self._schedule.left_s(clock.monotonic())) > 0:
            if not self._schedule.has_report and clock.monotonic() >= look_s:
                await self._check_version(metadata)
                look_s = clock.monotonic() + intervals.model_pause_s
            await clock.sleep(min(left_s, intervals.model_step_s))
        self._schedule.begin(clock.monotonic())

    async def _check_version(self, metadata: Metadata) -> None:
        """Compare what is cheap to read, for servers that do not report changes."""
        roots = [one.root for one in self._device.config.browse]
        before, self._version = self._version, await metadata.model_version(roots)
        if before and before != self._version:
            self.hurry()

    def _missing_text(self, missing: str) -> str:
        """Return the reason why nothing runs that was found. missing: why the server cannot be asked."""
        if not missing and has_stored(self._device.config):
            return f"browse has found tags, which do not run yet: they are taken {self._taken}"
        roots = ", ".join(dict.fromkeys(one.root for one in self._device.config.browse))
        reasons = "; ".join(left_out(self._device.config))[:_MOST_REASONS]
        unwanted = f"below {roots} is nothing that include, exclude, type, values and depth let through; {_SHOWS}"
        unwanted = f"{reasons}; {_SHOWS}" if reasons else unwanted
        return f"{_NONE}: {missing or unwanted}"

    @property
    def _is_taken(self) -> bool:
        return any(one.on_change != "tell" for one in self._device.config.browse)

    @property
    def _taken(self) -> str:
        return _AT_ONCE if self._is_taken else _AT_START

    def _event(self, change: Change) -> ModelChanged:
        if self._is_taken:
            self._take_tags(self._device.number)
        return ModelChanged(
            time_ns=self._device.clock.now_ns(),
            device=self._device.number,
            reason=f"the server's model has changed; taken {self._taken}",
            added=len(change.added),
            removed=len(change.removed),
            altered=len(change.altered),
            names=change.some_names,
            cut=True if change.cut else None,
            taken=True if self._is_taken else None,
        )
