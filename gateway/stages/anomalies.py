"""Detectors over the tags that have chosen them, and the events of what they find."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import numpy as np

from gateway.core.blocks import Rows, TagIds, WindowBlock
from gateway.core.events.process import Anomaly
from gateway.core.ports.detector import AnyDetectorPlugin, DetectionContext, Detector, DetectorState, Transitions
from gateway.core.tag_move import TagMove
from gateway.core.tags import TagTable
from gateway.stages.detector_choice import DetectorChoice

_SEVERITY: Final = 400
"""Of detectors that say nothing of it."""
_COMMON: Final = "most tags at once: look at communication and clock first"


def build_detectors(
    choices: Sequence[Sequence[DetectorChoice]], plugins: Mapping[str, AnyDetectorPlugin], context: DetectionContext
) -> dict[str, Detector]:
    """Return one detector for each name that a tag has chosen. choices: one entry per tag id.

    Raises KeyError for a name that is not among the plug-ins, and ValidationError for settings that do not fit.
    """
    detectors: dict[str, Detector] = {}
    for name in dict.fromkeys(choice.name for of_tag in choices for choice in of_tag):
        chosen = [(tag, choice.settings) for tag, of_tag in enumerate(choices) for choice in of_tag if choice.name == name]
        plugin = plugins[name]
        models = {settings: plugin.settings_model.model_validate(dict(settings)) for settings in {s for _, s in chosen}}
        tags = np.array([tag for tag, _ in chosen], np.uint32)
        detectors[name] = plugin.build(tags, [models[settings] for _, settings in chosen], context)
    return detectors


def watched_tags(choices: Sequence[Sequence[DetectorChoice]]) -> dict[str, TagIds]:
    """Return the tags of each detector that `build_detectors` makes of the same choices, ascending."""
    tags: dict[str, list[int]] = {}
    for tag, of_tag in enumerate(choices):
        for choice in of_tag:
            tags.setdefault(choice.name, []).append(tag)
    return {name: np.array(own, np.uint32) for name, own in tags.items()}


class Anomalies:
    """The detectors of a gateway.

    Attributes:
        detectors: by name; one may be replaced between two windows.
    """

    def __init__(self, table: TagTable, detectors: dict[str, Detector], tags: Mapping[str, TagIds] | None = None) -> None:
        """tags: those of each detector, ascending; without them nothing can be taken over."""
        self.detectors = detectors
        self.tags = tags or {}
        self._table = table

    def take_over(self, other: "Anomalies", move: TagMove) -> None:
        """Go on with what the detectors of another one have learnt, for tags that mean the same."""
        order = np.argsort(move.learnt_old, kind="stable")
        old, new = move.learnt_old[order], move.learnt_new[order]
        for name, tags in other.tags.items():
            known = np.isin(tags, old)
            own = self.tags.get(name, tags[:0])
            if np.array_equal(own, tags) and known.all() and np.array_equal(new[np.searchsorted(old, tags)], tags):
                # To copy a KiB for each tag would hold the loop for a second at 100,000 tags.
                self.detectors[name] = other.detectors[name]
            elif own.size:
                state = other.detectors[name].state()
                self.restore(name, {key: column[known] for key, column in state.items()}, new[np.isin(old, tags)])

    def restore(self, name: str, state: DetectorState, tags: Rows) -> None:
        """Have a detector go on with what was learnt before. tags: the tag ids of the rows of `state`.

        What it does not watch any more, or was learnt by another kind of detector, is left out.
        """
        own = self.tags.get(name, np.empty(0, np.uint32))
        watched = np.isin(tags, own)
        if watched.any():
            with suppress(ValueError):
                rows = np.searchsorted(own, tags[watched])
                self.detectors[name].restore({key: column[watched] for key, column in state.items()}, rows)

    def evaluate(self, window: WindowBlock) -> list[Anomaly]:
        """Return the anomalies that begin or end with a closed window, one detector after the other."""
        return [
            event
            for name, detector in self.detectors.items()
            if len(found := detector.evaluate(window))
            for event in self._events(name, window.start + window.length, found)
        ]

    def _events(self, name: str, time_ns: int, found: Transitions) -> list[Anomaly]:
        size = len(found)
        time = np.full(size, time_ns) if found.time is None else found.time
        severity = np.full(size, _SEVERITY) if found.severity is None else found.severity
        rebased = np.zeros(size, np.bool_) if found.rebased is None else found.rebased
        columns = (found.tag, found.active, found.value, found.score, found.expected, time, severity, rebased)
        return [
            Anomaly(
                time_ns=when,
                device=self._table.tags[tag].device,
                tag=tag,
                state="active" if active else "cleared",
                detector=name,
                severity=severe,
                value=value,
                score=round(score, 2),
                expected=expected,
                causes=causes or None,
                rebased=rebased or None,
            )
            for (tag, active, value, score, expected, when, severe, rebased), causes in zip(
                zip(*(column.tolist() for column in columns), strict=True), self._causes(found), strict=True
            )
        ]

    def _causes(self, found: Transitions) -> Sequence[tuple[str, ...]]:
        """Return the words of each row: those of the detector, or the names of the tags that take part with their shares."""
        if not found.shares:
            return found.causes or [()] * len(found)
        common = np.zeros(len(found), np.bool_) if found.common is None else found.common
        return [
            (*((_COMMON,) if at_once else ()), *(f"{self._table.tags[tag].name} {share:.0%}" for tag, share in shares))[:3]
            for shares, at_once in zip(found.shares, common.tolist(), strict=True)
        ]
