"""The sink's fake, shipped with the port: a far end in memory that takes, refuses and vanishes at a call of the test."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.errors import GatewayError, NotConnected
from gateway.core.ports.outbox import Delivery
from gateway.core.ports.sink import EndedBy, Ending


@dataclass(slots=True, eq=False)
class Taken:
    """One message that was handed over. future: what the publisher waits for."""

    delivery: Delivery
    future: asyncio.Future[None]


class FakeSink:
    """Keeps the contract of `core.ports.sink.Sink`. Every attribute may be set at any time."""

    def __init__(self) -> None:
        self.auto_ack = True
        self.refuse_open = ""
        """Reason why the next opens fail; empty accepts them."""
        self.never_live = False
        """Connections are accepted and never go live."""
        self.answers: list[GatewayError] = []
        """Errors for the next messages, one each."""
        self.limit = 4
        """Messages in flight for which there is room."""
        self.taken: list[Taken] = []
        self.opens = 0
        self.stop_reasons: list[str] = []
        """What orderly ends were given as reason, in order; empty where there was none."""
        self.breaks = 0
        """Connections that were aborted."""
        self._gone: asyncio.Future[Ending] | None = None
        self._is_live = asyncio.Event()
        self._answered = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether a connection stands."""
        return self._gone is not None and not self._gone.done()

    @property
    def waiting(self) -> list[Taken]:
        """What has no answer yet, oldest first."""
        return [taken for taken in self.taken if not taken.future.done()]

    async def open(self) -> None:
        await asyncio.sleep(0)
        if self.refuse_open:
            raise NotConnected(self.refuse_open)
        self.opens += 1
        self._gone = asyncio.get_running_loop().create_future()

    async def serve(self, on_live: Callable[[], None]) -> Ending:
        assert self._gone is not None
        if not self.never_live and self.is_open:
            on_live()
            self._is_live.set()
        return await asyncio.shield(self._gone)

    async def room(self) -> int:
        await self._is_live.wait()
        while len(self.waiting) >= self.limit:
            self._answered.clear()
            await self._answered.wait()
        return self.limit - len(self.waiting)

    def send(self, delivery: Delivery) -> asyncio.Future[None]:
        taken = Taken(delivery, asyncio.get_running_loop().create_future())
        taken.future.add_done_callback(lambda _: self._answered.set())
        if not self.is_open:
            self._fail(taken, NotConnected("not connected"))
            return taken.future
        self.taken.append(taken)
        if self.answers:
            self._fail(taken, self.answers.pop(0))
        elif self.auto_ack:
            taken.future.set_result(None)
        return taken.future

    async def close(self, *, abort: bool = False, stop_reason: str = "", within_s: float = 0.0) -> None:
        if not self.is_open:
            return
        if abort:
            self.breaks += 1
        else:
            self.stop_reasons.append(stop_reason)
        self.lose("closed", EndedBy.SINK)

    def ack(self, count: int = 1) -> None:
        """The oldest messages without an answer have arrived."""
        for taken in self.waiting[:count]:
            taken.future.set_result(None)

    def lose(self, reason: str, by: EndedBy = EndedBy.FAR_END) -> None:
        """The connection goes."""
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(Ending(reason, by))
            self._is_live.clear()
            for taken in self.waiting:
                self._fail(taken, NotConnected(reason))

    @staticmethod
    def _fail(taken: Taken, error: GatewayError) -> None:
        taken.future.set_exception(error)
        taken.future.exception()
