"""The stages in their order: what a block of samples and the end of a window lead to."""

from dataclasses import dataclass, field

from gateway.core.blocks import SampleBlock, TagIds, WindowBlock
from gateway.core.messages import Event
from gateway.stages.detect import EwmaDetector
from gateway.stages.limits import Limits
from gateway.stages.report import ReportByException
from gateway.stages.summary import Summary
from gateway.stages.windows import Windows


@dataclass(slots=True)
class Closed:
    """What the end of windows brought: rows to publish, completed summaries, events."""

    windows: list[WindowBlock] = field(default_factory=list)
    summaries: list[WindowBlock] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


@dataclass(slots=True)
class Chain:
    """Limits on samples; then windows, detector, report by exception and summaries. Pure: time comes in as arguments."""

    limits: Limits
    windows: Windows
    detector: EwmaDetector
    report: ReportByException
    summary: Summary | None

    @property
    def next_close_ns(self) -> int:
        """When `close` has something to do, wall time in ns."""
        return self.windows.next_close_ns

    def feed(self, block: SampleBlock, now_ns: int) -> list[Event]:
        """Take samples; returns the alarms that they raise or clear."""
        self.windows.add(block, now_ns)
        return self.limits.check(block)

    def mark(self, tags: TagIds, quality: int, now_ns: int) -> None:
        """The tags are unknown until their next sample, for the reason in `quality`."""
        self.windows.mark(tags, quality, now_ns)

    def close(self, now_ns: int) -> Closed:
        """Finish the windows that are due."""
        return self._after(self.windows.close(now_ns))

    def flush(self, now_ns: int) -> Closed:
        """Finish everything at once, open windows and summaries too: at a stop or when the clock jumped."""
        closed = self._after(self.windows.flush(now_ns))
        if self.summary is not None:
            closed.summaries += self.summary.flush()
        return closed

    def _after(self, windows: list[WindowBlock]) -> Closed:
        closed = Closed()
        for window in windows:
            closed.events += self.detector.judge(window)
            chosen = self.report.select(window)
            if len(chosen):
                closed.windows.append(chosen)
            if self.summary is not None:
                closed.summaries += self.summary.add(window)
        return closed
