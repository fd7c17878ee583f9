"""The anomalies that are active, whatever the detector: so that their end can be told where their tag ends first."""

from collections.abc import Iterable
from dataclasses import replace

from gateway.core.blocks import TagIds
from gateway.core.events.process import Anomaly
from gateway.core.tag_move import TagMove


class ActiveAnomalies:
    """What began and has not ended."""

    def __init__(self) -> None:
        """Begin with none."""
        self._active: dict[tuple[str, int], Anomaly] = {}

    @property
    def tags(self) -> list[int]:
        """Return the tags with an active anomaly."""
        return [tag for _, tag in self._active]

    def record(self, events: Iterable[Anomaly]) -> None:
        """Take what a window has led to."""
        for event in events:
            key = event.detector, event.tag or 0
            if event.state == "active":
                self._active[key] = event
            else:
                self._active.pop(key, None)

    def end(self, tags: TagIds, now_ns: int) -> list[Anomaly]:
        """Return the end of every active anomaly of tags that are no more, without a value."""
        ended, nothing = set(tags.tolist()), float("nan")
        return [
            replace(event, time_ns=now_ns, state="cleared", value=nothing, score=nothing, expected=nothing)
            for (_, tag), event in self._active.items()
            if tag in ended
        ]

    def take_over(self, other: "ActiveAnomalies", move: TagMove) -> None:
        """Go on with those of tags that mean the same."""
        if not other._active:
            return
        place = dict(zip(move.learnt_old.tolist(), move.learnt_new.tolist(), strict=True))
        for (detector, tag), event in other._active.items():
            if tag in place:
                self._active[detector, place[tag]] = replace(event, tag=place[tag])
