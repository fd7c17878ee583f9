"""Losses that are not yet announced, one record per boot, topic and cause. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from gateway.core.messages import Loss
from gateway.outbox.records import LossKey, Row

THINNED: Final = "thinned"
"""Cause of messages whose content arrives in another one."""


def losses_of(rows: Iterable[Row], cause: str, detail: str = "") -> list[Loss]:
    """Return one loss per boot and topic for messages given up together.

    What merged windows stood for is named where nothing takes their place: all causes but `THINNED`.
    """
    spans: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        spans.setdefault((row.topic, row.boot), []).append(row)
    return [_loss_of(some, cause, detail) for some in spans.values()]


def _loss_of(rows: list[Row], cause: str, detail: str) -> Loss:
    """Return the loss of messages of one boot and topic."""
    first, last = min(row.seq for row in rows), max(row.seq for row in rows)
    start, end = min(row.start_ms for row in rows), max(row.end_ms for row in rows)
    windows = 0 if cause == THINNED else sum(row.windows for row in rows)
    from_seq = min(row.first_seq or row.seq for row in rows)
    more = (windows, from_seq) if windows > len(rows) else (0, 0)
    return Loss(rows[0].topic, rows[0].boot, first, last, len(rows), start, end, cause, detail, *more)


def merged(a: Loss, b: Loss) -> Loss:
    """Return both losses (same boot, topic, cause) in one, with the later detail."""
    windows = (a.windows or a.count) + (b.windows or b.count)
    from_seq = min(a.from_seq or a.first_seq, b.from_seq or b.first_seq)
    more = (windows, from_seq) if windows > a.count + b.count else (0, 0)
    return replace(
        a,
        first_seq=min(a.first_seq, b.first_seq),
        last_seq=max(a.last_seq, b.last_seq),
        count=a.count + b.count,
        start_ms=min(a.start_ms, b.start_ms),
        end_ms=max(a.end_ms, b.end_ms),
        detail=b.detail or a.detail,
        windows=more[0],
        from_seq=more[1],
    )


def key_of(loss: Loss) -> LossKey:
    """Return what losses are merged by."""
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
        self._superseded: set[LossKey] = set()

    def __bool__(self) -> bool:
        """There is something to announce."""
        return bool(self._pending)

    @property
    def unsaved(self) -> bool:
        """Return whether the store's copy is behind."""
        return bool(self._unsaved or self._superseded)

    def add(self, losses: Iterable[Loss], parked: bool = False) -> None:
        """Add losses. parked: not to be announced over this connection, as the sink refused such an announcement."""
        losses = list(losses)
        self.lost += sum(loss.count for loss in losses if loss.cause != THINNED)
        self.thinned += sum(loss.count for loss in losses if loss.cause == THINNED)
        self.announcements_lost(losses, parked)

    def announcements_lost(self, losses: Iterable[Loss], parked: bool = False) -> None:
        """Announce these losses again: they were announced in messages that will not arrive."""
        for loss in losses:
            self._merge(self._parked if parked else self._pending, loss)
            self._unsaved.add(key_of(loss))

    def found(self, losses: Iterable[Loss]) -> None:
        """Add losses that an opened database had kept."""
        for loss in losses:
            self._merge(self._pending, loss)
            self._superseded.discard(key_of(loss))

    def reconnected(self) -> None:
        """Announce parked losses over the new connection."""
        for loss in self._parked.values():
            self._merge(self._pending, loss)
        self._parked = {}

    def announce(self) -> list[Loss]:
        """Return all pending losses; from now on the store's copy of them may go."""
        losses = list(self._pending.values())
        self._superseded.update(self._pending)
        self._unsaved -= self._pending.keys()
        self._unsaved |= self._pending.keys() & self._parked.keys()
        self._pending = {}
        return losses

    def joined(self, losses: Iterable[Loss]) -> list[Loss]:
        """Return losses as they will stand after `add`, to be written together with what causes them."""
        known = ((self.whole(key_of(loss)), loss) for loss in losses)
        return [merged(old, loss) if old else loss for old, loss in known]

    def unsaved_losses(self) -> list[Loss]:
        """Return what the store's copy lacks."""
        return [loss for key in sorted(self._unsaved) if (loss := self.whole(key))]

    def superseded(self) -> list[LossKey]:
        """Return what the store's copy has and should not."""
        return sorted(self._superseded)

    def saved(self, losses: Iterable[Loss], superseded: Iterable[LossKey]) -> None:
        """Record that the store has written what `unsaved_losses` and `superseded` named."""
        for loss in losses:
            if self.whole(key_of(loss)) == loss:
                self._unsaved.discard(key_of(loss))
        self._superseded.difference_update(superseded)

    def store_lost(self) -> None:
        """Record that the store's copy is gone."""
        self._superseded.clear()
        self._unsaved.update(self._pending, self._parked)

    def whole(self, key: LossKey) -> Loss | None:
        """Return the loss of this key that is not yet announced."""
        pending, parked = self._pending.get(key), self._parked.get(key)
        return merged(parked, pending) if pending and parked else pending or parked

    @staticmethod
    def _merge(losses: dict[LossKey, Loss], loss: Loss) -> None:
        known = losses.get(key_of(loss))
        losses[key_of(loss)] = merged(known, loss) if known else loss
