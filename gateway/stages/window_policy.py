"""Which rows of windows are published: by exception, all, around events, or none."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np

from gateway.core.blocks import Mask, WindowBlock
from gateway.core.tag_move import TagMove
from gateway.core.tags import Tag, TagTable
from gateway.stages.around_events import AroundEvents
from gateway.stages.config import PublishConfig, TagPolicy
from gateway.stages.report_by_exception import ReportByException


class WindowPolicy:
    """The publish policy `publish.windows`. With `none` and `anomalous` summaries and events are all that always comes."""

    def __init__(self, report: ReportByException, around: AroundEvents | None, *, is_on: bool) -> None:
        """around: with `anomalous`; is_on: False with `none`."""
        self._report = report
        self._around = around
        self._is_on = is_on

    @classmethod
    def build(cls, table: TagTable, policies: Sequence[TagPolicy], publish: PublishConfig) -> Self:
        """Return the policy for a configuration. policies: one per tag id."""
        deadband = np.array([_deadband(policy, tag) for policy, tag in zip(policies, table.tags, strict=True)]).reshape(
            -1, 2
        )
        silence = np.array([policy.max_silence for policy in policies], np.int64)
        report = ReportByException(deadband[:, 0], deadband[:, 1], silence, every=publish.windows == "all")
        around = None
        if publish.windows == "anomalous":
            whole = publish.around == "device"
            around = AroundEvents(table, publish.pre_trigger, publish.post_trigger, whole_devices=whole)
        return cls(report, around, is_on=publish.windows != "none")

    @property
    def needs_active(self) -> bool:
        """Return whether `select` looks at what is active."""
        return self._around is not None

    def take_over(self, other: "WindowPolicy", move: TagMove) -> None:
        """Go on with what another one has sent of the tags that stay."""
        self._report.take_over(other._report, move)
        if self._around is not None and other._around is not None:
            self._around.take_over(other._around, move)

    def select(self, window: WindowBlock, young: Mask | None, active: Mask | None) -> list[WindowBlock]:
        """Return what to publish, the oldest first, without blocks that have no rows.

        young: bool[tags], those of which this window was published before they began: what they say now is a supplement.
        active: bool[tags], of which tags something is active, where `needs_active`.
        """
        if not self._is_on:
            return []
        if self._around is not None:
            assert active is not None
            chosen = self._around.select(window, active)
            return chosen if young is None else [part for one in chosen for part in _without(one, window, young)]
        chosen = [self._report.select(window, young)]
        if young is not None:
            chosen.append(replace(window.take(young & (window.count > 0)), late=True))
        return [one for one in chosen if len(one)]


def _deadband(policy: TagPolicy, tag: Tag) -> tuple[float, float]:
    """Return the deadband in units and as a part of the last value; percent of a range that is not known are none."""
    absolute, fraction, *of_range = policy.deadband
    lowest, highest = tag.range or (0.0, 0.0)
    return absolute + sum(of_range) * (highest - lowest), fraction


def _without(block: WindowBlock, window: WindowBlock, young: Mask) -> list[WindowBlock]:
    """Return a block whose young rows are a supplement, where it is the window that was published before."""
    if block.start != window.start or block.late:
        return [block]
    rows = young[block.tag]
    parts = [block.take(~rows), replace(block.take(rows & (block.count > 0)), late=True)]
    return [part for part in parts if len(part)]
