"""Messages on their way to a sink, and what each answer means for the outbox."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, NoReturn

import structlog

from gateway.core import spans
from gateway.core.clock import Clock
from gateway.core.errors import NotConnected, Permanent, Postponed, Retryable
from gateway.core.log_throttle import LogThrottle
from gateway.core.ports.outbox import Deliveries, Delivery
from gateway.core.ports.sink import EndedBy, Ending, Sink
from gateway.runtime.held_up import HeldUp
from gateway.runtime.poison_messages import Action, PoisonMessages
from gateway.runtime.suspect_topics import SuspectTopics

log = structlog.get_logger("publisher")

_MOST_HELD_UP: Final = 200
_MOST_HELD_BACK: Final = 2_000
_MOST_HELD_BACK_BYTES: Final = 16 << 20
_KEPT_FOR_TRIALS: Final = 2
_LOOK_S: Final = 1.0


class InFlight:
    """Messages in flight over one sink; each delivery ends in exactly one ack, refuse or release.

    A refusal for now gives the message back and holds all sending up for a growing pause. By a far end that takes the
    others it holds up this message alone, and again and again it is a refusal for good (`PoisonMessages`). Messages on a
    topic for which the far end may end connections are held back (`SuspectTopics`), up to 2,000 of them and 16 MiB.
    """

    def __init__(
        self,
        sink: Sink,
        deliveries: Deliveries,
        clock: Clock,
        delays: Callable[[], Iterator[float]],
        tries: int,
    ) -> None:
        """Begin with nothing in flight.

        delays: of the pauses after refusals for now, seconds. tries: failures of a message while others pass, before it is
        set aside.
        """
        self._sink = sink
        self._deliveries = deliveries
        self._clock = clock
        self._delays = delays
        self._poison = PoisonMessages(tries)
        self._topics = SuspectTopics(tries)
        self._pauses: Iterator[float] | None = None
        self._resume_at = 0.0
        self._open: dict[Delivery, None] = {}
        self._flying: dict[asyncio.Future[None], Delivery] = {}
        self._held_up = HeldUp()
        self._turn = asyncio.Lock()
        self._departing: set[asyncio.Task[None]] = set()
        self._landed = asyncio.Event()
        self._log_throttle = LogThrottle(clock)
        self.sent = self.acked = self.refused = self.released = 0
        self._acked_before = 0
        self.was_explained = False
        """The last connection was of use, and it is known which message has ended it."""

    async def send(self, delivery: Delivery) -> None:
        """Hand a delivery to the sink; one that is held up, later (`retry`).

        Takes the delivery over at once, and keeps it when cancelled: `release_all` gives it back.
        """
        self._open[delivery] = None
        if self._topics.is_suspect(delivery.message.topic):
            if not self._held_back(delivery):
                await self._depart(delivery)
        elif self._may_hold_back and self._poison.delay_s(delivery.message, self._clock.monotonic()):
            self._held_up.add(delivery)
        else:
            await self._depart(delivery)

    def _held_back(self, delivery: Delivery) -> bool:
        """Hold a message of a suspected topic back, or refuse it; return whether either was done."""
        message = delivery.message
        verdict = self._topics.verdict(message, self._clock.monotonic())
        if verdict and self._held_up.count(message.topic) >= _KEPT_FOR_TRIALS:
            self._refuse(delivery, verdict)
        elif self._may_hold_back:
            self._held_up.add(delivery)
        elif self._topics.blame_of(message.topic) >= _KEPT_FOR_TRIALS:
            self._refuse(delivery, f"{message.topic} ends connections, and no more of it can be held back")
        else:
            return False
        return True

    async def retry(self) -> NoReturn:
        """Send what was held up when its time has come; never returns."""
        while True:
            await self._clock.sleep(_LOOK_S)
            self._refuse_what_is_judged()
            for delivery in self._next_tries():
                await self.room()
                self._held_up.remove(delivery)
                await self._depart(delivery)

    def _next_tries(self) -> list[Delivery]:
        """Return what may be sent now of what is held up: of a suspected topic one message, those with most blame last."""
        now = self._clock.monotonic()
        free: list[Delivery] = []
        trials: dict[str, Delivery] = {}
        for delivery in self._held_up:
            message = delivery.message
            if self._topics.is_suspect(message.topic):
                other = trials.get(message.topic)
                if self._topics.may_try(message, now) and (other is None or self._topics.was_culprit(other.message)):
                    trials[message.topic] = delivery
            elif not self._poison.delay_s(message, now):
                free.append(delivery)
        return [*free, *sorted(trials.values(), key=lambda one: self._topics.rank(one.message.topic))]

    def _refuse_what_is_judged(self) -> None:
        now = self._clock.monotonic()
        kept: Counter[str] = Counter()
        for delivery in list(self._held_up):
            topic = delivery.message.topic
            if not self._topics.is_suspect(topic) or not (verdict := self._topics.verdict(delivery.message, now)):
                continue
            kept[topic] += 1
            if kept[topic] > _KEPT_FOR_TRIALS:
                self._held_up.remove(delivery)
                self._refuse(delivery, verdict)

    async def _depart(self, delivery: Delivery) -> None:
        if not self._must_be_alone(delivery) and not self._turn.locked():
            self._launch(delivery)  # nearly always, and three times as fast
            return
        # a task of its own: one who stops waiting for it, to disconnect, still leaves it in its turn
        departing = asyncio.create_task(self._depart_in_turn(delivery), name="a message sent alone")
        self._departing.add(departing)
        departing.add_done_callback(self._departing.discard)
        await asyncio.shield(departing)

    async def _depart_in_turn(self, delivery: Delivery) -> None:
        async with self._turn:
            is_alone = self._must_be_alone(delivery)
            if is_alone:
                await self._all_landed()
            self._launch(delivery)
            if is_alone:
                await self._all_landed()

    def _must_be_alone(self, delivery: Delivery) -> bool:
        return self._topics.is_suspect(delivery.message.topic) or self._poison.must_be_alone(delivery.message)

    async def room(self) -> int:
        """Wait until something may be sent; return for about how many deliveries there is room."""
        await self.pause_over()
        return await self._sink.room()

    async def pause_over(self) -> None:
        """Wait for the end of the pause after a refusal for now."""
        while (pause_s := self._resume_at - self._clock.monotonic()) > 0:
            await self._clock.sleep(pause_s)

    async def emptied(self) -> None:
        """Wait until every message that was sent has left, and nothing is in flight."""
        await asyncio.gather(*self._departing)
        await self._all_landed()

    def release_all(self, ending: Ending | None) -> None:
        """Release what was in flight, since the connection is gone; late answers do not count any more.

        ending: None where this side has ended it.
        """
        self.was_explained = False
        if ending is not None and ending.by is EndedBy.FAR_END:
            self._blame(ending)
        self._acked_before = self.acked
        for departing in self._departing:
            departing.cancel()
        lost = list(self._open)
        self._open.clear()
        self._flying.clear()
        self._held_up.clear()
        self._poison.reconnected()
        self.release(lost)

    def _blame(self, ending: Ending) -> None:
        deliveries = list(self._flying.values())
        now = self._clock.monotonic()
        is_alone = len(deliveries) == 1 and not ending.had_more
        self._topics.ended([delivery.message for delivery in deliveries], now, ending.reason, alone=is_alone)
        self.was_explained = is_alone and self.acked > self._acked_before
        if self._poison.disconnected([delivery.message for delivery in deliveries], now, alone=is_alone):
            record = self._poison.record(deliveries[0].message, now)
            self._refuse(deliveries[0], f"sending it ended the connection {record}; at last: {ending.reason}")

    def release(self, deliveries: list[Delivery]) -> None:
        """Give messages back to the outbox."""
        self.released += len(deliveries)
        self._deliveries.release(deliveries)

    async def _all_landed(self) -> None:
        while self._flying:
            self._landed.clear()
            await self._landed.wait()

    def _launch(self, delivery: Delivery) -> None:
        self.sent += 1
        future = self._sink.send(delivery)
        self._flying[future] = delivery
        future.add_done_callback(self._on_answer)
        if spans.is_followed():
            self._time(future, delivery.message.topic)

    def _time(self, future: "asyncio.Future[None]", topic: str) -> None:
        begun_s = self._clock.monotonic()

        def report(ended: "asyncio.Future[None]") -> None:
            error = ended.exception()
            spans.report_slow("deliver", self._clock.monotonic() - begun_s, str(error or ""), topic=topic)

        future.add_done_callback(report)

    def _on_answer(self, future: "asyncio.Future[None]") -> None:
        error = future.exception()
        if isinstance(error, NotConnected):
            return  # the end of the connection has taken it back, or will
        delivery = self._flying.pop(future, None)
        if delivery is None:
            return  # taken back already
        self._landed.set()
        if error is None:
            self._accepted(delivery)
        elif isinstance(error, Permanent):
            self._refuse(delivery, str(error))
        elif isinstance(error, Postponed):
            self._postpone(delivery, str(error))
        elif isinstance(error, Retryable):
            self._refused_for_now(delivery, str(error))
        else:
            raise error

    def _accepted(self, delivery: Delivery) -> None:
        self._pauses = None
        self.acked += 1
        del self._open[delivery]
        self._poison.accepted(delivery.message)
        self._topics.accepted(delivery.message)
        self._deliveries.ack(delivery)

    def _refuse(self, delivery: Delivery, reason: str) -> None:
        self.refused += 1
        if self._log_throttle.is_due("refused", "refused"):
            log.warning("message refused for good", topic=delivery.message.topic, reason=reason, refused=self.refused)
        del self._open[delivery]
        self._deliveries.refuse(delivery, reason)

    def _refused_for_now(self, delivery: Delivery, reason: str) -> None:
        now = self._clock.monotonic()
        action = self._poison.refused(delivery.message, now)
        if action is Action.SET_ASIDE:
            self._refuse(delivery, f"{reason}, {self._poison.record(delivery.message, now)}")
        elif action is Action.HOLD and len(self._held_up) < _MOST_HELD_UP:
            self._hold_up(delivery, reason)
        else:
            self._pause(delivery, reason, now)

    def _hold_up(self, delivery: Delivery, reason: str) -> None:
        if self._log_throttle.is_due("alone", "retry"):
            log.warning("message refused while others pass", topic=delivery.message.topic, reason=reason)
        delivery.live = False  # some of its packets may have arrived
        self._held_up.add(delivery)

    def _postpone(self, delivery: Delivery, reason: str) -> None:
        if self._may_hold_back:
            self._poison.postpone(delivery.message, self._clock.monotonic())
            delivery.live = False  # some of its packets may have arrived
            self._held_up.add(delivery)
        else:
            self._refuse(delivery, f"{reason}, and no more can be held back")

    @property
    def _may_hold_back(self) -> bool:
        return len(self._held_up) < _MOST_HELD_BACK and self._held_up.bytes < _MOST_HELD_BACK_BYTES

    def _pause(self, delivery: Delivery, reason: str, now: float) -> None:
        if now >= self._resume_at:  # one pause for all that were in flight together
            self._pauses = self._pauses or self._delays()
            self._resume_at = now + next(self._pauses)
        if self._log_throttle.is_due("later", "retry"):
            log.warning("message refused for now", topic=delivery.message.topic, reason=reason)
        del self._open[delivery]
        self.release([delivery])
