"""Detectors over the tags that have chosen them, and the events of what they find."""

from collections.abc import Mapping, Sequence

import numpy as np

from gateway.core.blocks import WindowBlock
from gateway.core.events.process import Anomaly
from gateway.core.ports.detector import AnyDetectorPlugin, DetectionContext, Detector, Transitions
from gateway.core.tags import TagTable
from gateway.stages.detector_choice import DetectorChoice


def build_detectors(
    choices: Sequence[Sequence[DetectorChoice]], plugins: Mapping[str, AnyDetectorPlugin], context: DetectionContext
) -> dict[str, Detector]:
    """Return one detector for each name that a tag has chosen. choices: one entry per tag id.

    Raises KeyError for a name that is not among the plug-ins, and ValidationError for settings that do not fit.
    """
    detectors = {}
    for name in dict.fromkeys(choice.name for of_tag in choices for choice in of_tag):
        chosen = [(tag, choice.settings) for tag, of_tag in enumerate(choices) for choice in of_tag if choice.name == name]
        plugin = plugins[name]
        models = {settings: plugin.settings_model.model_validate(dict(settings)) for settings in {s for _, s in chosen}}
        tags = np.array([tag for tag, _ in chosen], np.uint32)
        detectors[name] = plugin.build(tags, [models[settings] for _, settings in chosen], context)
    return detectors


class Anomalies:
    """The detectors of a gateway.

    Attributes:
        detectors: by name; one may be replaced between two windows.
    """

    def __init__(self, table: TagTable, detectors: dict[str, Detector]) -> None:
        self.detectors = detectors
        self._table = table

    def evaluate(self, window: WindowBlock) -> list[Anomaly]:
        """Return the anomalies that begin or end with a closed window, one detector after the other."""
        return [
            event
            for name, detector in self.detectors.items()
            if len(found := detector.evaluate(window))
            for event in self._events(name, window.start + window.length, found)
        ]

    def _events(self, name: str, time_ns: int, found: Transitions) -> list[Anomaly]:
        columns = (found.tag, found.active, found.value, found.score, found.expected)
        return [
            Anomaly(
                time_ns=time_ns,
                device=self._table.tags[tag].device,
                tag=tag,
                state="active" if active else "cleared",
                detector=name,
                value=value,
                score=round(score, 2),
                expected=expected,
            )
            for tag, active, value, score, expected in zip(*(column.tolist() for column in columns), strict=True)
        ]
