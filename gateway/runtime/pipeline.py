"""The pipeline: gives samples to the stages, closes windows in time, hands messages to the outbox."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from gateway.core.blocks import ObjectBlock, SampleBlock, TagIds, WindowBlock
from gateway.core.clock import Clock
from gateway.core.events.device import DeviceStateChanged
from gateway.core.events.event import Event
from gateway.core.events.gateway import ClockJump, Stall
from gateway.core.loop_watch import LoopWatch
from gateway.core.messages import DeviceState, Message
from gateway.core.ports.observer import DataObserver, Unobserved
from gateway.core.ports.outbox import MessageQueue
from gateway.core.quality import Quality
from gateway.core.tag_move import TagMove
from gateway.core.tags import TagTable
from gateway.runtime.event_log import EventLog
from gateway.runtime.status import StatusBoard

_JUMP_NS = 500_000_000
_LONGEST_SLEEP_S = 1.0


class ClosedWindows(Protocol):
    """What the end of windows leads to, see `stages.stage_chain`."""

    windows: list[WindowBlock]
    summaries: list[WindowBlock]
    events: list[Event]
    objects: list[ObjectBlock]


class Stages(Protocol):
    """The stages as the pipeline sees them: without a clock of their own."""

    @property
    def next_close_ns(self) -> int:
        """Return when `close` has something to do, wall time in ns."""
        ...

    def push(self, block: SampleBlock, now_ns: int) -> Sequence[Event]:
        """Add samples, and return the alarms that they raise or clear."""
        ...

    def push_objects(self, block: ObjectBlock, now_ns: int) -> ObjectBlock:
        """Add values that are no numbers, and return those to publish."""
        ...

    def mark(self, tags: TagIds, quality: int, now_ns: int) -> ObjectBlock:
        """Make tags unknown, and return the objects that end."""
        ...

    def close(self, now_ns: int) -> Any:
        """Close the windows that are due."""
        ...

    def flush(self, now_ns: int) -> Any:
        """Close all windows."""
        ...

    def fold(self) -> None:
        """Count the samples that wait."""
        ...

    def retire(self, tags: TagIds, move: TagMove, following: Any, now_ns: int) -> Any:
        """Return what is known of tags that end, and of alarms that the stages which follow do not have."""
        ...

    def take_over(self, other: Any, move: TagMove, now_ns: int) -> None:
        """Go on where other stages have stopped."""
        ...


class Encoding(Protocol):
    """The encoder as the pipeline sees it."""

    def windows(self, block: WindowBlock) -> Sequence[Message]:
        """Return a block of windows as messages."""
        ...

    def summaries(self, block: WindowBlock) -> Sequence[Message]:
        """Return a block of summaries as messages."""
        ...

    def objects(self, block: ObjectBlock) -> Sequence[Message]:
        """Return values that are no numbers as messages."""
        ...

    def event(self, event: Event) -> Message:
        """Return an event as a message."""
        ...


class Pipeline:
    """The `SampleSink` of a gateway. Everything here runs on the event loop and returns at once; nothing is queued.

    Attributes:
        beat: monotonic time of the last turn of its loop, seconds.
        loop_watch: when the process stood still.
        event_log: the journal and the counters of events.
    """

    def __init__(
        self,
        stages: Stages,
        encoder: Encoding,
        outbox: MessageQueue,
        board: StatusBoard,
        table: TagTable,
        clock: Clock,
        observer: DataObserver | None = None,
    ) -> None:
        """observer: is shown every event and every change of a device's state."""
        self._stages = stages
        self._encoder = encoder
        self._outbox = outbox
        self._board = board
        self._table = table
        self._clock = clock
        self.event_log = EventLog(table, observer)
        self._observer = observer or Unobserved()
        self.loop_watch = LoopWatch()
        self._offset_ns = self._wall_minus_monotonic()
        self.beat = clock.monotonic()

    def push(self, block: SampleBlock) -> None:
        """Add samples; the alarms that they raise or clear are published at once."""
        for event in self._stages.push(block, self._clock.now_ns()):
            self.report(event)

    def report(self, event: Event) -> None:
        """Publish an event, log and count it."""
        self.event_log.record(event)
        self._outbox.put(self._encoder.event(event))

    def push_objects(self, block: ObjectBlock) -> None:
        """Add values that are no numbers; changes are published at once."""
        self._publish_objects(self._stages.push_objects(block, self._clock.now_ns()))

    def _publish_objects(self, block: ObjectBlock) -> None:
        for message in self._encoder.objects(block):
            self._outbox.put(message)

    def report_state(self, state: DeviceState) -> bool:
        """Record a device's state.

        The status is published at once, an event when the state (not only the reason) changes; `down` makes the device's
        tags unknown. Returns whether an event was published, and logged.
        """
        before = self._board.state_of(state.device)
        changed = self._board.update(state)
        now = self._clock.now_ns()
        if changed:
            self._observer.state(state, now)
        if state.state == "down":
            self._publish_objects(self._stages.mark(self._table.ids_of(state.device), Quality.BAD_NOT_CONNECTED, now))
        is_news = changed and (before.state != state.state or before.reason == "starting")
        if is_news:
            self.report(DeviceStateChanged(time_ns=now, device=state.device, state=state.state, reason=state.reason))
        return is_news

    def take_over(self, stages: Stages, table: TagTable, move: TagMove, adopt: Callable[[], None]) -> None:
        """Go on with the stages of another tag table. What is known of tags that end is published first.

        adopt: called in between, has all other parts go over to the new table. Call `fold` a turn of the loop earlier:
        then the loop is held for a few milliseconds only.
        """
        now = self._clock.now_ns()
        self._publish(self._stages.retire(move.gone, move, stages, now))
        adopt()
        stages.take_over(self._stages, move, now)
        self._stages, self._table = stages, table
        self.event_log.adopt(table)

    def fold(self) -> None:
        """Have the samples that wait counted now."""
        self._stages.fold()

    async def run(self) -> None:
        """Close windows when they are due, for ever, and handle steps of the wall clock. Never returns."""
        while True:
            due_s = (self._stages.next_close_ns - self._clock.now_ns()) / 1e9
            # After a stall a wait of 0 would never give way to other tasks.
            await self._clock.sleep(min(max(due_s, 0.001), _LONGEST_SLEEP_S))
            self.beat = self._clock.monotonic()
            self._watch_clock()
            if stood_ms := self.loop_watch.take_stall_ms():
                self.report(Stall(time_ns=self._clock.now_ns(), for_ms=stood_ms))
            self._publish(self._stages.close(self._clock.now_ns()))

    def flush(self) -> None:
        """Publish the window and the summary in progress: at a stop."""
        self._publish(self._stages.flush(self._clock.now_ns()))

    def _publish(self, closed: ClosedWindows) -> None:
        for event in closed.events:
            self.report(event)
        for changed in closed.objects:
            self._publish_objects(changed)
        for block in closed.windows:
            for message in self._encoder.windows(block):
                self._outbox.put(message)
        for block in closed.summaries:
            for message in self._encoder.summaries(block):
                self._outbox.put(message)

    def _wall_minus_monotonic(self) -> int:
        return self._clock.now_ns() - int(self._clock.monotonic() * 1e9)

    def _watch_clock(self) -> None:
        offset = self._wall_minus_monotonic()
        jump = offset - self._offset_ns
        if abs(jump) < _JUMP_NS:
            # Slewing by NTP is followed silently: it looks like drift.
            self._offset_ns = offset
            return
        now = self._clock.now_ns()
        self._publish(self._stages.flush(now))
        self._offset_ns = offset
        self.report(ClockJump(time_ns=now, by_ms=jump // 1_000_000))
