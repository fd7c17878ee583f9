"""Events of the way to the subscriber: messages that were lost, and the outbox that keeps them."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal

from gateway.core.events.event import UNSET, Boot, Count, Event, LogLevel, Minimum, Positive, Unset
from gateway.core.messages import Loss

SinkListState = Literal["added", "renamed", "removed"]
OutboxState = Literal["refused", "recovered", "damaged", "rescued", "moved", "sealed", "vanished"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesLost(Event):
    """Messages of one (of_boot, topic) that will never come."""

    kind: ClassVar[str] = "loss"
    together: ClassVar[tuple[str, ...]] = ("windows", "from_seq")

    topic: str
    """Topic of the lost messages, as in layout device."""
    of_boot: Boot
    """The run that made them."""
    first_seq: Positive
    """No lost message has a smaller number."""
    last_seq: Positive
    """No lost message has a greater number."""
    count: Positive
    """How many of first_seq..last_seq are lost."""
    start: int
    """Milliseconds since 1970, UTC."""
    end: int
    """Milliseconds since 1970, UTC."""
    cause: str
    """max_bytes, max_age, disk_free, memory: a ceiling; damaged, refused; thinned: their content comes merged into longer
    windows."""
    detail: str
    """What a person should know, may be empty."""
    severity: int
    """200 for messages that still come, merged; else 700."""
    windows: Annotated[int, Minimum(2)] | None = None
    """With merged windows among them: how many messages they stood for, themselves included; those beyond count had been
    declared thinned before."""
    from_seq: Positive | None = None
    """The first number of these."""
    sink: str | None = None
    """With several sinks: the one that will not get them. The others do."""

    @classmethod
    def of(cls, loss: Loss, time_ns: int, device: int | None, sink: str | None = None) -> "MessagesLost":
        """Return the event that publishes a loss record.

        device: whose messages were lost, where it is still configured. sink: see the field.
        """
        return cls(
            time_ns=time_ns,
            device=device,
            topic=loss.topic,
            of_boot=loss.boot,
            first_seq=loss.first_seq,
            last_seq=loss.last_seq,
            count=loss.count,
            start=loss.start_ms,
            end=loss.end_ms,
            cause=loss.cause,
            detail=loss.detail,
            severity=200 if loss.cause == "thinned" else 700,
            windows=loss.windows or None,
            from_seq=loss.from_seq if loss.windows else None,
            sink=sink,
        )

    @property
    def log_level(self) -> LogLevel:
        """Return `info` for messages that still come merged into longer windows, else `warning`."""
        return "info" if self.cause == "thinned" else "warning"

    @property
    def log_text(self) -> str:
        """Return whether messages were merged or are lost."""
        return "messages merged" if self.cause == "thinned" else "messages lost"

    def log_fields(self) -> dict[str, object]:
        """Return topic, count and numbers; of lost messages also what was merged in them, cause and detail."""
        span = {"seq": f"{self.first_seq}..{self.last_seq}"}
        head: dict[str, object] = {"sink": self.sink} if self.sink else {}
        head |= {"topic": self.topic, "count": self.count}
        if self.cause == "thinned":
            return head | span
        merged = {"windows": self.windows} if self.windows else {}
        return head | merged | span | {"cause": self.cause, "detail": self.detail}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStateChanged(Event):
    """A fault of the durable queue, or the end of one."""

    kind: ClassVar[str] = "outbox"
    log_level: ClassVar[LogLevel] = "warning"

    state: OutboxState
    """refused: the disk refuses writes, and messages are kept in memory; recovered: it accepts them again; damaged: the file
    was set aside; rescued: all that can be read of it has been copied; moved: the file was deleted or moved and is written
    again, whole; sealed: the file is encrypted from now on, and what was in it is taken as it is; vanished:
    the file was deleted, or an older one put in its place, while the gateway was stopped."""
    reason: str | None = None
    """Why, for people."""
    since: int | None = None
    """With refused: messages since then are in memory only, ms UTC."""
    kept: str | None = None
    """Where the damaged file was put."""
    lost: Count | Unset | None = UNSET
    """Messages that only the damaged file had and that cannot be read; null: not known, or not yet."""
    rescued: Count | None = None
    """Messages that were copied from the damaged file."""
    unknown: Count | Unset | None = UNSET
    """How many of these are in no loss record, because their topics are not known."""
    sink: str | None = None
    """With several sinks: whose file it is."""

    @property
    def severity(self) -> int:
        """Return the severity of the state."""
        return OUTBOX_SEVERITY[self.state]


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkListChanged(Event):
    """A sink that the gateway has from now on, or has no more."""

    kind: ClassVar[str] = "sink"

    state: SinkListState
    """added: it begins with what is made from now on, or with `messages` of backlog. renamed: what waits goes on under the
    new name. removed: what waited for it is deleted, and no other loss record speaks of it."""
    sink: str
    """Its name."""
    was: str | None = None
    """With renamed: the name before."""
    messages: Count | Unset | None = UNSET
    """How many messages it begins with, or waited for it; null: not known."""

    @property
    def severity(self) -> int:
        """Return 500 for messages that are deleted, else 1."""
        return 500 if self.state == "removed" and self.messages != 0 else 1

    @property
    def log_level(self) -> LogLevel:
        """Return `warning` for messages that are deleted, else `info`."""
        return "warning" if self.severity > 1 else "info"


OUTBOX_SEVERITY: Final = {
    "refused": 700,
    "recovered": 1,
    "damaged": 800,
    "rescued": 300,
    "moved": 400,
    "sealed": 300,
    "vanished": 800,
}
"""1 (information) to 1000 (most urgent), by `state`."""
