"""What becomes of every event beside its publication: a line in the journal, and a count by kind."""

from collections import Counter

import structlog

from gateway.core.events.event import Event
from gateway.core.ports.observer import DataObserver, Unobserved
from gateway.core.tags import TagTable


class EventLog:
    """The journal and the counters of events; both are taken from the event's type.

    Attributes:
        counts: how many events of each kind have been recorded since the start.
    """

    def __init__(self, table: TagTable, observer: DataObserver | None = None) -> None:
        """observer: is shown every event that is recorded."""
        self.counts: Counter[str] = Counter()
        self._table = table
        self._observer = observer or Unobserved()

    def adopt(self, table: TagTable) -> None:
        """Name devices as another table does."""
        self._table = table

    def record(self, event: Event) -> None:
        """Count the event, and log it at its level with its own fields."""
        self.counts[event.kind] += 1
        self._observer.event(event)
        if event.log_level is None:
            return
        named = event.device is not None and event.concerns != "gateway"
        device = {"device": self._table.devices[event.device]} if named and event.device is not None else {}
        log = structlog.get_logger(event.log_name)
        getattr(log, event.log_level)(event.log_text, **device, **event.log_fields())
