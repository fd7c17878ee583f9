"""What a source reports of its server beside values: device state, losses, warnings."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import structlog

from gateway.core.blocks import Qualities
from gateway.core.events.device import SamplesLost
from gateway.core.quality import Quality
from gateway.sources.opcua.port.granted import Granted
from gateway.sources.opcua.port.values import DataValues, ShortQueue
from gateway.sources.opcua.source.clock_watch import ClockWatch
from gateway.sources.opcua.source.node_health import NodeHealth
from gateway.sources.opcua.source.reading_queue import ReadingQueue
from gateway.sources.opcua.source.source_device import SourceDevice
from gateway.sources.opcua.source.statistics import Statistics

log = structlog.get_logger("opcua")

OVERFLOWED: Final = "the server drops samples because its queues are too short: raise queue_size or lower interval"
SHORT: Final = (
    "the server keeps fewer samples than may come between two publications, and may drop the others without a word (let it"
    " allow longer queues, lower interval, or raise sampling)"
)
LOST: Final = "notifications were lost on the way"
STALE: Final = "nodes said nothing although their values changed, and are watched anew"
EVENTS_LOST: Final = "the server dropped events because they came too fast"
READ_REFUSED: Final = "the server refuses to read"
AHEAD: Final = (
    "values have source times that lie in the future, though the server's clock is right: they have the gateway's time "
    "instead and are uncertain; set the clock of the device behind the server, or write times: gateway"
)
OVERRUN: Final = "polls are skipped because reading all nodes takes longer than the interval"
_NAMED: Final = 3
"""Items that a warning about queues names; of the others it says how many there are."""


class Diagnostics:
    """Warnings, losses and refused nodes of one session. The figures in `statistics` go on over all sessions."""

    def __init__(self, device: SourceDevice, queue: ReadingQueue, statistics: Statistics, notes: Callable[[], str]) -> None:
        """Begin without a fault. notes: returns what other parts say for the device state, empty for nothing."""
        self.health = NodeHealth(device.number, device.tags, device.intervals)
        self.statistics = statistics
        self._device = device
        self._queue = queue
        self._notes = notes
        self._clock_watch = ClockWatch(device.config)
        self._dropped = dict.fromkeys((OVERFLOWED, LOST, STALE, EVENTS_LOST), 0)

    @property
    def bad_item_rows(self) -> set[int]:
        """Return the rows of items with a refused tag."""
        return self._device.item_map.rows_of(self.health.bad_rows)

    def report_state(self) -> None:
        """Report the device state; it is read where it is news."""
        notes = "; ".join(filter(None, (self._clock_watch.note, self._notes())))
        self._queue.set_state(self.health.state(self._device.clock.monotonic(), notes))

    @property
    def is_late(self) -> bool:
        """Return whether the last answer was received late: its times are right, though its clock seems to be behind."""
        return self._clock_watch.is_late

    def check_clock(self, values: DataValues) -> None:
        """Compare the server's clock in an answer with ours; say in the device state by how much it is off."""
        now_s = self._device.clock.monotonic()
        if self._clock_watch.check(values.server_clock_ns, values.received_ns, now_s, values.late_ns):
            note = self._clock_watch.note
            log.warning(note or "the server's clock is right again", device=self._device.name)
            self.report_state()

    def check_times(self, values: DataValues, quality: Qualities) -> None:
        """Warn of samples that are uncertain for their own time's sake. quality: of the samples of these values."""
        off_ns = values.server_clock_ns - values.received_ns if values.server_clock_ns else 0
        if abs(off_ns) <= self._device.config.clock_tolerance:
            count = int(np.count_nonzero(quality == Quality.UNCERTAIN_CLOCK))
            if count:
                self.warn(AHEAD, count)

    def report_granted(self, granted: Granted) -> None:
        """Log what a server grants other than asked, once for as long as it stays the same."""
        differences = granted.differences()
        if self.statistics.is_revised(differences):
            log.info("the server revised what it was asked for", device=self._device.name, **differences)

    def warn(self, sentence: str, count: int) -> None:
        """Show a warning in the device state and log it where it is new. count: of what it is about, for the log."""
        if self.health.warn(sentence, self._device.clock.monotonic()):
            log.warning(sentence, device=self._device.name, count=count)
        self.report_state()

    def warn_of_queues(self, short: Mapping[int, ShortQueue]) -> None:
        """Warn where a server granted shorter queues than samples may come between two publications. short: by item row.

        It may drop the others without setting the overflow bit.
        """
        if not short:
            return
        tags, item_map = self._device.tags, self._device.item_map
        named = [
            f"{tags[item_map.tags_of(item_map.items[row])[0]].name} {one.granted} where {one.needed} may come"
            for row, one in sorted(short.items())[:_NAMED]
        ]
        more = [f"{len(short) - _NAMED} more"] if len(short) > _NAMED else []
        self.warn(f"{SHORT}: {', '.join(named + more)}", len(short))

    def count_loss(self, sentence: str, count: int) -> None:
        """Count what was lost, and warn. sentence: OVERFLOWED, LOST, STALE or EVENTS_LOST."""
        self._dropped[sentence] += count
        self.statistics.lost += count
        self.warn(sentence, count)

    def report_losses(self) -> None:
        """Push an event for each kind of loss since the last call."""
        for sentence, count in self._dropped.items():
            if count:
                lost = SamplesLost(
                    time_ns=self._device.clock.now_ns(), device=self._device.number, reason=sentence, at_least=count
                )
                self._queue.push(lost)
                self._dropped[sentence] = 0
