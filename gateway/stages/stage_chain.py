"""The stages in their order: what a block of samples and the end of a window lead to."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gateway.core.blocks import ObjectBlock, SampleBlock, TagIds, Times, Values, WindowBlock
from gateway.core.events.event import Event
from gateway.core.tags import TagTable
from gateway.stages.config import DetectionConfig, PublishConfig, TagPolicy, WindowConfig
from gateway.stages.detectors.ewma import EwmaDetector
from gateway.stages.limits import CONDITIONS, Limits
from gateway.stages.report_by_exception import ReportByException
from gateway.stages.summary import Summary
from gateway.stages.values import Objects
from gateway.stages.windows import Windows

SUMMARY_NS = 60_000_000_000
_MISSED_POLLS = 3


@dataclass(slots=True)
class Closed:
    """What the end of windows brought: rows to publish, completed summaries, events, objects to repeat."""

    windows: list[WindowBlock] = field(default_factory=list)
    summaries: list[WindowBlock] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    objects: list[ObjectBlock] = field(default_factory=list)


@dataclass(slots=True)
class Chain:
    """Limits on samples; then windows, detector, report by exception and summaries. Pure: time comes in as arguments."""

    limits: Limits
    windows: Windows
    detector: EwmaDetector
    report: ReportByException
    summary: Summary | None
    objects: Objects

    @classmethod
    def of(
        cls,
        table: TagTable,
        policies: Sequence[TagPolicy],
        window: WindowConfig,
        detection: DetectionConfig,
        publish: PublishConfig,
        now_ns: int,
    ) -> "Chain":
        """The stages for a configuration; `policies` has one entry per tag id."""
        limits, hysteresis = _limits(policies)
        deadband = np.array([p.deadband for p in policies]).reshape(-1, 2)
        silence = np.array([p.max_silence for p in policies], np.int64)
        threshold = np.array([p.anomaly for p in policies], float)
        report = ReportByException(deadband[:, 0], deadband[:, 1], silence, every=publish.windows == "all")
        return cls(
            Limits(table, limits, hysteresis),
            Windows(len(table), window.length, window.grace, _stale_after(table, window), now_ns),
            EwmaDetector(table, threshold, window.length, detection.memory, detection.warmup),
            report,
            Summary(len(table), SUMMARY_NS) if publish.summaries else None,
            Objects(silence),
        )

    @property
    def next_close_ns(self) -> int:
        """When `close` has something to do, wall time in ns."""
        return self.windows.next_close_ns

    def feed(self, block: SampleBlock, now_ns: int) -> list[Event]:
        """Take samples; returns the alarms that they raise or clear, none for the past and what is known."""
        self.windows.add(block, now_ns)
        self.objects.note(block)
        return [] if block.history or block.repeated else self.limits.check(block)

    def feed_objects(self, block: ObjectBlock, now_ns: int) -> ObjectBlock:
        """Take values that are no numbers; returns those worth telling at once."""
        return self.objects.changed(block, now_ns)

    def mark(self, tags: TagIds, quality: int, now_ns: int) -> ObjectBlock:
        """The tags are unknown until their next sample, for the reason in `quality`; returns the objects that end."""
        self.windows.mark(tags, quality, now_ns)
        return self.objects.mark(tags, quality, now_ns)

    def close(self, now_ns: int) -> Closed:
        """Finish the windows that are due."""
        closed = self._after(self.windows.close(now_ns))
        closed.objects += [self.objects.overtaken(now_ns), self.objects.due(now_ns)]
        return closed

    def flush(self, now_ns: int) -> Closed:
        """Finish everything at once, open windows and summaries too: at a stop or when the clock jumped."""
        closed = self._after(self.windows.flush(now_ns))
        if self.summary is not None:
            closed.summaries += [self._numbers(summary) for summary in self.summary.flush()]
        return closed

    def _after(self, windows: list[WindowBlock]) -> Closed:
        closed = Closed()
        for window in windows:
            closed.events += self.detector.judge(window)
            chosen = self._numbers(self.report.select(window))
            if len(chosen):
                closed.windows.append(chosen)
            if self.summary is not None:
                closed.summaries += [self._numbers(summary) for summary in self.summary.add(window)]
        if self.summary is not None:
            closed.summaries += [self._numbers(summary) for summary in self.summary.settle()]
        return closed

    def _numbers(self, window: WindowBlock) -> WindowBlock:
        """Without the rows of tags that have shown objects and no number in this window."""
        if not self.objects.without_number.any():
            return window
        return window.take((window.used > 0) | ~self.objects.without_number[window.tag])


def _limits(policies: Sequence[TagPolicy]) -> tuple[Values, Values]:
    """Limits and hysteresis in engineering units, float64[4, tags] each, NaN where there is none."""
    limits = np.array(
        [[v if (v := getattr(policy, name)) is not None else np.nan for policy in policies] for name, _, _ in CONDITIONS]
    )
    band = np.array([policy.hysteresis for policy in policies]).reshape(-1, 2)
    return limits, band[:, 0] + band[:, 1] * np.abs(limits)


def _stale_after(table: TagTable, window: WindowConfig) -> Times:
    """A polled tag is believed for three missed polls, and never for less than three windows."""
    interval = np.array([tag.interval_ns for tag in table.tags], np.int64)
    return np.where(interval > 0, _MISSED_POLLS * np.maximum(interval, window.length) + window.grace, 0)
