"""Losses that are not yet announced, one record per boot, topic and cause. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, Protocol

from gateway.core.messages import Loss
from gateway.outbox.records import LossKey

THINNED: Final = "thinned"
"""Cause of messages whose content arrives in another one."""


class Numbered(Protocol):
    """What a loss must know of a message."""

    @property
    def topic(self) -> str: ...
    @property
    def boot(self) -> str: ...
    @property
    def seq(self) -> int: ...
    @property
    def start_ms(self) -> int: ...
    @property
    def end_ms(self) -> int: ...


def losses_of(messages: Iterable[Numbered], cause: str, detail: str = "") -> list[Loss]:
    """One loss per boot and topic for messages given up together."""
    spans: dict[tuple[str, str], list[int]] = {}
    for m in messages:
        span = spans.setdefault((m.topic, m.boot), [m.seq, m.seq, 0, m.start_ms, m.end_ms])
        span[0], span[1] = min(span[0], m.seq), max(span[1], m.seq)
        span[2] += 1
        span[3], span[4] = min(span[3], m.start_ms), max(span[4], m.end_ms)
    return [
        Loss(topic, boot, first, last, count, start, end, cause, detail)
        for (topic, boot), (first, last, count, start, end) in spans.items()
    ]


def merged(a: Loss, b: Loss) -> Loss:
    """Both losses (same boot, topic, cause) in one; the later detail counts."""
    return replace(
        a,
        first_seq=min(a.first_seq, b.first_seq),
        last_seq=max(a.last_seq, b.last_seq),
        count=a.count + b.count,
        start_ms=min(a.start_ms, b.start_ms),
        end_ms=max(a.end_ms, b.end_ms),
        detail=b.detail or a.detail,
    )


def key_of(loss: Loss) -> LossKey:
    """What losses are merged by."""
    return loss.boot, loss.topic, loss.cause


class LossLedger:
    """Losses between the moment of dropping and their announcement; the store keeps a copy.

    While nobody listens they are merged, so a long outage ends in one record per topic and cause, not in thousands.
    """

    def __init__(self) -> None:
        self.lost = 0
        self.thinned = 0
        self._pending: dict[LossKey, Loss] = {}
        self._parked: dict[LossKey, Loss] = {}
        self._unsaved: set[LossKey] = set()
        self._settled: set[LossKey] = set()

    def __bool__(self) -> bool:
        """There is something to announce."""
        return bool(self._pending)

    @property
    def unsaved(self) -> bool:
        """The store's copy is behind."""
        return bool(self._unsaved or self._settled)

    def add(self, losses: Iterable[Loss], parked: bool = False) -> None:
        """Note losses. parked: not to be announced over this connection (the broker refused such an announcement)."""
        losses = list(losses)
        self.lost += sum(loss.count for loss in losses if loss.cause != THINNED)
        self.thinned += sum(loss.count for loss in losses if loss.cause == THINNED)
        self.announcements_lost(losses, parked)

    def announcements_lost(self, losses: Iterable[Loss], parked: bool = False) -> None:
        """These losses were announced in messages that will not arrive: they are to be announced again."""
        for loss in losses:
            self._merge(self._parked if parked else self._pending, loss)
            self._unsaved.add(key_of(loss))

    def found(self, losses: Iterable[Loss]) -> None:
        """Losses that an opened database had kept."""
        for loss in losses:
            self._merge(self._pending, loss)
            self._settled.discard(key_of(loss))

    def reconnected(self) -> None:
        """Parked losses get another try."""
        for loss in self._parked.values():
            self._merge(self._pending, loss)
        self._parked = {}

    def announce(self) -> list[Loss]:
        """All pending losses; from now on the store's copy of them may go."""
        losses = list(self._pending.values())
        self._settled.update(self._pending)
        self._unsaved -= self._pending.keys()
        self._unsaved |= self._pending.keys() & self._parked.keys()
        self._pending = {}
        return losses

    def joined(self, losses: Iterable[Loss]) -> list[Loss]:
        """Losses as they will stand after `add`, for writing them together with what causes them."""
        known = ((self._whole(key_of(loss)), loss) for loss in losses)
        return [merged(old, loss) if old else loss for old, loss in known]

    def unsaved_losses(self) -> list[Loss]:
        """What the store's copy lacks."""
        return [loss for key in sorted(self._unsaved) if (loss := self._whole(key))]

    def settled(self) -> list[LossKey]:
        """What the store's copy has too much."""
        return sorted(self._settled)

    def saved(self, losses: Iterable[Loss], settled: Iterable[LossKey]) -> None:
        """The store has written what `unsaved_losses` and `settled` named."""
        for loss in losses:
            if self._whole(key_of(loss)) == loss:
                self._unsaved.discard(key_of(loss))
        self._settled.difference_update(settled)

    def store_lost(self) -> None:
        """The store's copy is gone."""
        self._settled.clear()
        self._unsaved.update(self._pending, self._parked)

    def _whole(self, key: LossKey) -> Loss | None:
        pending, parked = self._pending.get(key), self._parked.get(key)
        return merged(parked, pending) if pending and parked else pending or parked

    @staticmethod
    def _merge(losses: dict[LossKey, Loss], loss: Loss) -> None:
        known = losses.get(key_of(loss))
        losses[key_of(loss)] = merged(known, loss) if known else loss
