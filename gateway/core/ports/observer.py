"""The port of what sees everything that passes through the pipeline: the read model, the history."""

from typing import Protocol

from gateway.core.blocks import ObjectBlock, SampleBlock, TagIds, WindowBlock
from gateway.core.events.event import Event
from gateway.core.messages import DeviceState


class DataObserver(Protocol):
    """What is shown every block and event, after it has taken effect. Plain calls on the event loop, in order; never raises.

    Blocks are read-only and may be kept. A call has to return within microseconds: it stands in the way of alarms.
    """

    @property
    def wants_summaries(self) -> bool:
        """Return whether summaries are to be made even where none are published."""
        ...

    def samples(self, block: SampleBlock) -> None:
        """See samples as they come, those of formulas too."""
        ...

    def objects(self, block: ObjectBlock) -> None:
        """See values that are no numbers, whether published or not."""
        ...

    def unknown(self, tags: TagIds, quality: int, now_ns: int) -> None:
        """See that tags are unknown from now on, for the reason in `quality`, until their next sample."""
        ...

    def window(self, block: WindowBlock) -> None:
        """See a closed window, before report by exception: a row for every tag, or the late ones alone."""
        ...

    def summary(self, block: WindowBlock) -> None:
        """See the summary of a minute, before anything is filtered, or its late part."""
        ...

    def event(self, event: Event) -> None:
        """See an event that is published."""
        ...

    def state(self, state: DeviceState, now_ns: int) -> None:
        """See that state or reason of a device have changed."""
        ...


class Unobserved:
    """Nobody looks."""

    wants_summaries = False

    def samples(self, block: SampleBlock) -> None:
        """Do nothing."""

    def objects(self, block: ObjectBlock) -> None:
        """Do nothing."""

    def unknown(self, tags: TagIds, quality: int, now_ns: int) -> None:
        """Do nothing."""

    def window(self, block: WindowBlock) -> None:
        """Do nothing."""

    def summary(self, block: WindowBlock) -> None:
        """Do nothing."""

    def event(self, event: Event) -> None:
        """Do nothing."""

    def state(self, state: DeviceState, now_ns: int) -> None:
        """Do nothing."""
