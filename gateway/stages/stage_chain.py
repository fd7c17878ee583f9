"""The stages in their order: what a block of samples and the end of a window lead to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gateway.core.blocks import Mask, ObjectBlock, SampleBlock, TagIds, Times, WindowBlock
from gateway.core.events.event import Event
from gateway.core.formula.tag import FormulaTag
from gateway.core.ports.detector import AnyDetectorPlugin, DetectionContext
from gateway.core.ports.observer import DataObserver, Unobserved
from gateway.core.tag_move import TagMove
from gateway.core.tags import TagTable
from gateway.stages.active_anomalies import ActiveAnomalies
from gateway.stages.alarms.alarms import AlarmEvent, Alarms
from gateway.stages.alarms.flood_config import AlarmsConfig
from gateway.stages.anomalies import Anomalies, build_detectors, watched_tags
from gateway.stages.config import DetectionConfig, PublishConfig, TagPolicy, WindowConfig
from gateway.stages.formulas import Formulas
from gateway.stages.kept_spans import KeptSpans
from gateway.stages.summary import Summary
from gateway.stages.validity import Validity
from gateway.stages.values import ObjectValues
from gateway.stages.window_policy import WindowPolicy
from gateway.stages.windows import Windows

SUMMARY_NS = 60_000_000_000
REMOVED = "tag removed or changed"
_MISSED_POLLS = 3


@dataclass(slots=True)
class ClosedWindows:
    """What the end of windows leads to."""

    windows: list[WindowBlock] = field(default_factory=list)
    """Rows to publish."""
    summaries: list[WindowBlock] = field(default_factory=list)
    """Completed summaries."""
    events: list[Event] = field(default_factory=list)
    """Anomalies that begin or end."""
    objects: list[ObjectBlock] = field(default_factory=list)
    """Values that are no numbers, to be published again."""


@dataclass(slots=True)
class StageChain:
    """Alarms on samples; then windows, detectors, report by exception and summaries. Pure: time comes in as arguments."""

    alarms: Alarms
    windows: Windows
    anomalies: Anomalies
    policy: WindowPolicy
    summary: Summary | None
    objects: ObjectValues
    formulas: Formulas
    validity: Validity
    published: Mask
    observer: DataObserver = field(default_factory=Unobserved)
    """Is shown every block, before anything is filtered."""
    publishes_summaries: bool = True
    kept_windows: KeptSpans | None = None
    """With `window.late: replace`: what windows were made of; so for summaries."""
    kept_summaries: KeptSpans | None = None
    active: ActiveAnomalies = field(default_factory=ActiveAnomalies)
    grace_ns: int = 0
    """How long samples may be on their way: so long delays of alarms wait for what contradicts them."""
    _alarms_later: list[AlarmEvent] = field(default_factory=list)
    _touched: set[int] = field(default_factory=set)
    """Tags of alarms that began, with a publish policy that asks."""
    _young: Mask | None = None
    _young_before_ns: int = 0

    @classmethod
    def build(
        cls,
        table: TagTable,
        policies: Sequence[TagPolicy],
        window: WindowConfig,
        detection: DetectionConfig,
        publish: PublishConfig,
        now_ns: int,
        detectors: Mapping[str, AnyDetectorPlugin],
        formulas: Sequence[FormulaTag] = (),
        observer: DataObserver | None = None,
        alarms: AlarmsConfig | None = None,
    ) -> "StageChain":
        """Return the stages for a configuration. policies: one per tag id; detectors: the known kinds, by name."""
        silence = np.array([p.max_silence for p in policies], np.int64)
        choices = [policy.anomaly for policy in policies]
        devices = np.array([tag.device for tag in table.tags], np.intp)
        context = DetectionContext(window.length, detection.memory, detection.warmup, devices)
        kept, kept_minutes = [KeptSpans(table, window.late_keep) if window.late == "replace" else None for _ in range(2)]
        wants_summaries = publish.summaries or (observer is not None and observer.wants_summaries)
        return cls(
            Alarms(table, policies, now_ns, alarms),
            Windows(len(table), window.length, window.grace, _stale_after(table, window), now_ns, kept=kept),
            Anomalies(table, build_detectors(choices, detectors, context), watched_tags(choices)),
            WindowPolicy.build(table, policies, publish),
            Summary(len(table), SUMMARY_NS, kept_minutes) if wants_summaries else None,
            ObjectValues(silence),
            Formulas(table, formulas),
            Validity.build(policies),
            np.array([tag.published for tag in table.tags], np.bool_),
            observer or Unobserved(),
            publish.summaries,
            kept,
            kept_minutes,
            grace_ns=window.grace,
        )

    @property
    def next_close_ns(self) -> int:
        """Return when `close` has something to do, wall time in ns."""
        due = self.alarms.next_due_ns()
        closes = self.windows.next_close_ns
        return closes if due is None else min(closes, due + self.grace_ns)

    def push(self, block: SampleBlock, now_ns: int) -> list[AlarmEvent]:
        """Add samples, and those of the formulas that rest on them.

        Returns the alarms that they raise or clear, none for samples of the past and repeated ones.
        """
        block = self.validity.checked(block)
        events = self._push(block, now_ns)
        for computed in self.formulas.push(block):
            events += self._push(self.validity.checked(computed), now_ns)
        return events

    def _push(self, block: SampleBlock, now_ns: int) -> list[AlarmEvent]:
        self.windows.push(block, now_ns)
        self.objects.record_samples(block)
        self.observer.samples(block)
        events = [] if block.history or block.repeated else self.alarms.push(block, now_ns)
        if events and self.policy.needs_active:
            self._touched.update(event.tag for event in events if event.tag is not None)
        return events

    def push_objects(self, block: ObjectBlock, now_ns: int) -> ObjectBlock:
        """Add values that are no numbers; return those to publish at once."""
        for computed in self.formulas.push_objects(block):
            self._push(self.validity.checked(computed), now_ns)
        self.observer.objects(block)
        if not self.published[block.tag].all():
            block = block.take(np.flatnonzero(self.published[block.tag]).tolist())
        return self.objects.changed(block, now_ns)

    def mark(self, tags: TagIds, quality: int, now_ns: int) -> ObjectBlock:
        """Make the tags unknown until their next sample, for the reason in `quality`; return the objects that end."""
        self.windows.mark(tags, quality, now_ns)
        self._alarms_later += self.alarms.mark(tags, quality, now_ns)
        self.formulas.forget(tags)
        self.observer.unknown(tags, quality, now_ns)
        return self.objects.mark(tags, quality, now_ns)

    def close(self, now_ns: int) -> ClosedWindows:
        """Close the windows that are due, and return what that leads to."""
        closed = self._after(self.windows.close(now_ns))
        closed.events += self._alarms(now_ns)
        closed.objects += [self.objects.replaced_by_samples(now_ns), self.objects.due(now_ns)]
        return closed

    def flush(self, now_ns: int) -> ClosedWindows:
        """Close everything at once, open windows and summaries too: at a stop or when the clock jumped.

        Delays of alarms begin anew.
        """
        closed = self._after(self.windows.flush(now_ns))
        closed.events += self._pop_later() + self.alarms.flush(now_ns)
        self.alarms.machine.restart_delays(now_ns)
        if self.summary is not None:
            closed.summaries += self._summarised(self.summary.flush())
        return closed

    def fold(self) -> None:
        """Count the samples that wait."""
        self.windows.fold()

    def _alarms(self, now_ns: int) -> list[AlarmEvent]:
        """Return the alarms that change because time has passed, or a device was lost."""
        return self._pop_later() + self.alarms.tick(now_ns - self.grace_ns, now_ns)

    def _pop_later(self) -> list[AlarmEvent]:
        events, self._alarms_later = self._alarms_later, []
        return events

    def begun(self) -> tuple[Times, Times]:
        """Return the starts of windows, and of the summary, that were published before their end; after a flush, ns."""
        summary = self.summary.begun if self.summary is not None else None
        return np.array(sorted(self.windows.partly_published), np.int64), np.array(
            [] if summary is None else [summary], np.int64
        )

    def resume(self, windows: Times, summary: Times) -> None:
        """Go on after a run that has published these before their end (`begun`)."""
        self.windows.partly_published |= set(windows.tolist())
        if self.summary is not None and summary.size:
            self.summary.resume(int(summary[0]))

    def retire(self, tags: TagIds, move: TagMove, following: "StageChain", now_ns: int) -> ClosedWindows:
        """Return what is known of tags that end: open windows, summaries; and the end of alarms that `following` lacks."""
        closed = ClosedWindows(windows=[self._numbers(window) for window in self.windows.retire(tags)])
        if self.summary is not None:
            closed.summaries += self._summarised(self.summary.retire(tags))
        is_learnt = np.zeros(move.place.size, np.bool_)
        is_learnt[move.learnt_old] = True
        ended = tags[~is_learnt[tags]]
        closed.events += self._pop_later() + self.alarms.ended(following.alarms, move, now_ns)
        closed.events += [replace(event, reason=REMOVED) for event in self.active.end(ended, now_ns)]
        return closed

    def take_over(self, other: "StageChain", move: TagMove, now_ns: int) -> None:
        """Go on where another chain has stopped: tags that stay lose nothing, the others begin now.

        Both have the same windows and summaries. The window in progress is a supplement for `move.young`, since what was
        before is published.
        """
        self.alarms.take_over(other.alarms, move)
        self.windows.take_over(other.windows, move)
        for mine, theirs in (
            (self.kept_windows, other.kept_windows),
            (self.kept_summaries, other.kept_summaries),
        ):
            if mine is not None and theirs is not None:
                mine.take_over(theirs, move)
        self.anomalies.take_over(other.anomalies, move)
        self.active.take_over(other.active, move)
        self.policy.take_over(other.policy, move)
        if self.summary is not None and other.summary is not None:
            self.summary.take_over(other.summary, move)
        self.objects.take_over(other.objects, move)
        self.formulas.take_over(other.formulas, move)
        self._young, self._young_before_ns = move.young.copy(), now_ns
        if other._young is not None:
            self._young |= move.moved(other._young, False)

    def _young_in(self, window: WindowBlock) -> Mask | None:
        """Return the tags of which a window had been published before they began."""
        if self._young is None or window.late:
            return None
        if window.start >= self._young_before_ns:
            self._young = None
        return self._young

    def _after(self, windows: list[WindowBlock]) -> ClosedWindows:
        closed = ClosedWindows()
        for window in windows:
            found = self.anomalies.evaluate(window)
            self.active.record(found)
            closed.events += found
            self.observer.window(window)
            young = self._young_in(window)
            if young is not None and self.kept_windows is not None and young.any():
                self.kept_windows.forget(window.start)
            chosen = self.policy.select(window, young, self._active() if self.policy.needs_active else None)
            kept = self.kept_windows
            numbers = [numbers for one in chosen if len(numbers := self._numbers(one))]
            closed.windows += numbers if kept is None else [kept.published(one) for one in numbers]
            if self.summary is not None:
                closed.summaries += self._summarised(self.summary.add(window))
        if self.summary is not None:
            closed.summaries += self._summarised(self.summary.pop_supplement())
        return closed

    def _active(self) -> Mask:
        """Return of which tags an alarm or an anomaly is active, or came and went since this was last called."""
        active = np.zeros(self.published.size, np.bool_)
        active[self.active.tags] = True
        active[self.alarms.tags_active()] = True
        active[list(self._touched)] = True
        self._touched.clear()
        return active

    def _summarised(self, summaries: list[WindowBlock]) -> list[WindowBlock]:
        """Show completed summaries to the observer, and return what is to be published of them."""
        for summary in summaries:
            self.observer.summary(summary)
        return [self._summary(summary) for summary in summaries] if self.publishes_summaries else []

    def _summary(self, summary: WindowBlock) -> WindowBlock:
        numbers = self._numbers(summary)
        return numbers if self.kept_summaries is None else self.kept_summaries.published(numbers)

    def _numbers(self, window: WindowBlock) -> WindowBlock:
        """Return the window without the rows of tags that are not published, or have shown objects and no number in it."""
        if not self.objects.without_number.any() and self.published.all():
            return window
        return window.take(self.published[window.tag] & ((window.used > 0) | ~self.objects.without_number[window.tag]))


def _stale_after(table: TagTable, window: WindowConfig) -> Times:
    """Return the age from which a tag is stale, int64[tags] in ns: three missed polls, but at least three windows."""
    interval = np.array([tag.interval_ns for tag in table.tags], np.int64)
    return np.where(interval > 0, _MISSED_POLLS * np.maximum(interval, window.length) + window.grace, 0)
