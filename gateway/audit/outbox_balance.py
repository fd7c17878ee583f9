"""Compare the messages in an outbox with its loss records: per (boot, topic) no message may be both there and lost. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.core.interval_set import IntervalSet, size
from gateway.core.messages import Loss


@dataclass(frozen=True, slots=True)
class Balance:
    """The messages of one topic within one boot against the losses that were declared of them."""

    boot: str
    """The run of the gateway that made them."""
    topic: str
    """Their topic."""
    held: int
    """Messages in the outbox."""
    first: int
    """Their smallest number, 0 without any."""
    last: int
    """Their greatest number, 0 without any."""
    declared: int
    """Messages declared lost or merged."""
    overlaps: tuple[tuple[int, int], ...]
    """Spans that were declared lost as a whole although they are in the outbox."""
    too_many: int
    """Messages declared lost beyond those that are missing in their spans."""
    holes: tuple[tuple[int, int], ...]
    """Spans that are neither in the outbox nor declared: delivered, in flight, or in a damaged file."""
    merged_before: int = 0
    """Of the declared, those that had been merged into others that were lost afterwards."""

    @property
    def sound(self) -> bool:
        """Return whether no message is both there and declared lost."""
        return not self.overlaps and not self.too_many


def balances(held: dict[tuple[str, str], IntervalSet], losses: Iterable[Loss]) -> list[Balance]:
    """Return the balance of each (boot, topic) that has messages or losses, sorted. held: the numbers in the outbox."""
    declared: dict[tuple[str, str], list[Loss]] = {}
    for loss in losses:
        declared.setdefault((loss.boot, loss.topic), []).append(loss)
    return [
        _balance(boot, topic, held.get((boot, topic), IntervalSet()), declared.get((boot, topic), []))
        for boot, topic in sorted(held.keys() | declared.keys())
    ]


def _balance(boot: str, topic: str, held: IntervalSet, losses: list[Loss]) -> Balance:
    known = IntervalSet(held)
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
    return Balance(
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
