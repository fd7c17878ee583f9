"""What an outbox holds against what it has declared: per (boot, topic) nothing may be both there and lost. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.core.interval_set import Spans, size
from gateway.core.messages import Loss


@dataclass(frozen=True, slots=True)
class Holding:
    """One topic within one boot. held: messages there; first, last: their span. declared: messages declared lost or merged.

    overlaps: spans declared lost as a whole that are there all the same; too_many: declared beyond what is missing in their
    spans. holes: spans that are neither there nor declared: delivered, in flight, or given to a damaged file. merged_before:
    of the declared, merged into others that were lost afterwards.
    """

    boot: str
    topic: str
    held: int
    first: int
    last: int
    declared: int
    overlaps: tuple[tuple[int, int], ...]
    too_many: int
    holes: tuple[tuple[int, int], ...]
    merged_before: int = 0

    @property
    def sound(self) -> bool:
        """Nothing is both there and declared lost."""
        return not self.overlaps and not self.too_many


def holdings(there: dict[tuple[str, str], Spans], losses: Iterable[Loss]) -> list[Holding]:
    """One row per (boot, topic) that something is there or declared of, sorted."""
    declared: dict[tuple[str, str], list[Loss]] = {}
    for loss in losses:
        declared.setdefault((loss.boot, loss.topic), []).append(loss)
    return [
        _holding(boot, topic, there.get((boot, topic), Spans()), declared.get((boot, topic), []))
        for boot, topic in sorted(there.keys() | declared.keys())
    ]


def _holding(boot: str, topic: str, held: Spans, losses: list[Loss]) -> Holding:
    known = Spans(held)
    overlaps: list[tuple[int, int]] = []
    too_many = 0
    for loss in sorted(losses, key=lambda x: x.last_seq):
        if loss.count >= loss.last_seq - loss.first_seq + 1:
            overlaps += held.common(loss.first_seq, loss.last_seq)
            known.add(loss.first_seq, loss.last_seq)
        else:
            too_many += max(0, loss.count - size(held.gaps(loss.first_seq, loss.last_seq)))
    for loss in sorted(losses, key=lambda x: x.last_seq):
        if loss.count < loss.last_seq - loss.first_seq + 1:
            known.fill(loss.first_seq, loss.last_seq, loss.count)
    numbers = [n for span in held for n in span]
    edges = numbers + [n for loss in losses for n in (loss.first_seq, loss.last_seq)]
    return Holding(
        boot,
        topic,
        held=len(held),
        first=min(numbers, default=0),
        last=max(numbers, default=0),
        declared=sum(loss.count for loss in losses),
        overlaps=tuple(overlaps),
        too_many=too_many,
        holes=tuple(known.gaps(min(edges), max(edges))),
        merged_before=sum(max(0, loss.windows - loss.count) for loss in losses),
    )
