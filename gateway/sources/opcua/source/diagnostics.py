"""What a source says of its server beside values: device state, losses, complaints, figures."""

from collections.abc import Sequence
from typing import Final

import structlog

from gateway.core.clock import Clock
from gateway.core.events.device import SamplesLost
from gateway.sources.opcua.config.device import OpcUaTag
from gateway.sources.opcua.port.session import QueueReport
from gateway.sources.opcua.source.item_map import ItemMap
from gateway.sources.opcua.source.model_watch import ModelWatch
from gateway.sources.opcua.source.node_health import NodeHealth
from gateway.sources.opcua.source.poison_state import PoisonState
from gateway.sources.opcua.source.reading_queue import ReadingQueue
from gateway.sources.opcua.source.redundancy import RedundantServers
from gateway.sources.opcua.source.statistics import Statistics

log = structlog.get_logger("opcua")

OVERFLOWED: Final = "the server drops samples because its queues are too short: raise queue_size or lower interval"
SHORT: Final = (
    "the server keeps fewer samples than may come between two publications, and may drop the others without a word (let it"
    " allow longer queues, lower interval, or raise sampling)"
)
LOST: Final = "notifications were lost on the way"
STALE: Final = "nodes said nothing although their values changed, and are watched anew"
FULL: Final = (
    "queues of the server come full, and it does not say whether it dropped samples: raise queue_size or lower interval"
)
EVENTS_LOST: Final = "the server dropped events because they came too fast"
_NAMED: Final = 3
READ_REFUSED: Final = "the server refuses to read"
OVERRUN: Final = "polls are skipped because reading all nodes takes longer than the interval"


class Diagnostics:
    """From one `open` to the next, but for `statistics`, which go on. health: nodes refused and what is complained about."""

    def __init__(
        self,
        number: int,
        name: str,
        tags: Sequence[OpcUaTag],
        clock: Clock,
        inbox: ReadingQueue,
        servers: RedundantServers,
        statistics: Statistics,
        suspects: PoisonState,
        comparison: ModelWatch,
    ) -> None:
        self.health = NodeHealth(number, tags)
        self.statistics = statistics
        self._number = number
        self._tags = tags
        self._name = name
        self._clock = clock
        self._inbox = inbox
        self._servers = servers
        self._suspects = suspects
        self._comparison = comparison
        self._dropped = dict.fromkeys((OVERFLOWED, LOST, STALE, EVENTS_LOST), 0)

    def tell(self) -> None:
        """The device state, if it is news."""
        notes = (self._servers.note, self._comparison.note, self._suspects.note)
        self._inbox.tell(self.health.state(self._clock.monotonic(), "; ".join(note for note in notes if note)))

    def complain(self, sentence: str, count: int) -> None:
        """Something does not go as it should: for the device state, and the journal."""
        if self.health.complain(sentence, self._clock.monotonic()):
            log.warning("%s: %s (%d)", self._name, sentence, count)
        self.tell()

    def warn_of_queues(self, queues: QueueReport, tagging: ItemMap) -> None:
        """Where a server granted less than comes between two publications, which it may drop without a word."""
        if not queues.short:
            return
        told = [
            f"{self._tags[tagging.tags_of(tagging.items[row])[0]].name} {one.granted} where {one.needed} may come"
            for row, one in sorted(queues.short.items())[:_NAMED]
        ]
        more = [f"{len(queues.short) - _NAMED} more"] if len(queues.short) > _NAMED else []
        self.complain(f"{SHORT}: {', '.join(told + more)}", len(queues.short))

    def look_at_queues(self, queues: QueueReport) -> None:
        """Whether some came full since this was last called."""
        if queues.full:
            self.statistics.full += queues.full
            self.complain(FULL, queues.full)
            queues.full = 0

    def lose(self, sentence: str, count: int) -> None:
        """Count what was lost, one of the sentences above."""
        self._dropped[sentence] += count
        self.statistics.lost += count
        self.complain(sentence, count)

    def report_losses(self) -> None:
        """What the server dropped or the way swallowed since the last report, as events."""
        for sentence, count in self._dropped.items():
            if count:
                now_ns = self._clock.now_ns()
                self._inbox.report(SamplesLost(time_ns=now_ns, device=self._number, reason=sentence, at_least=count))
                self._dropped[sentence] = 0
