"""The sink over HTTP: messages are gathered while a request is on its way, and go together in the next."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from gateway.core.errors import NotConnected, Permanent, Retryable
from gateway.core.messages import Message
from gateway.core.ports.outbox import Delivery
from gateway.core.ports.sink import EndedBy, Ending
from gateway.core.wait_first import first
from gateway.sinks.access.certificates import Certificate
from gateway.sinks.access.gathering import Gathering, Pending
from gateway.sinks.influx.client import Answer, InfluxClient, Verdict
from gateway.sinks.influx.config import InfluxConfig
from gateway.sinks.influx.lines import Line, lines_of

_MOST_BATCH_BYTES: Final = 1 << 20
_LONGEST_QUIET_S: Final = 10.0


class InfluxSink:
    """A `core.ports.sink.Sink`."""

    def __init__(self, config: InfluxConfig, gateway: str, agent: str, document: Callable[[Message], bytes]) -> None:
        """Connect nothing yet. agent: the name in requests. document: a message as JSON with an object per tag."""
        self._document = document
        self._gateway = gateway
        self._prefix = config.prefix
        self._quiet_s = min(config.timeout / 1e9, _LONGEST_QUIET_S)
        self._client = InfluxClient(config, agent)
        self._gathering = Gathering(config.in_flight, config.batch, _MOST_BATCH_BYTES)
        self._closed = asyncio.Event()

    @property
    def certificates(self) -> Sequence[Certificate]:
        """Return the server's certificate and the gateway's own. Reads a file; may be called on a thread."""
        return self._client.certificates

    async def open(self) -> None:
        """See that the server is there and lets the gateway in. Raises NotConnected."""
        self._closed.clear()
        await self._client.close()
        await self._client.open()

    async def serve(self, on_live: Callable[[], None]) -> Ending:
        """Go live, and write until no answer comes."""
        on_live()
        self._gathering.begin()
        ending = await first(self._write(), self._until_closed())
        self._gathering.end(ending.reason)
        return ending

    async def room(self) -> int:
        """Wait until messages may be sent; return for how many."""
        return await self._gathering.room()

    def send(self, delivery: Delivery) -> "asyncio.Future[None]":
        """Hand over a message; it has arrived when the server has taken all of its lines."""
        return self._gathering.add(delivery)

    async def close(self, *, abort: bool = False, stop_reason: str = "", within_s: float = 0.0) -> None:
        """Disconnect; what was not taken ends with NotConnected."""
        self._closed.set()
        self._gathering.end(stop_reason or "closed")
        await self._client.close()

    async def _until_closed(self) -> Ending:
        await self._closed.wait()
        return Ending("closed", EndedBy.SINK)

    async def _write(self) -> Ending:
        try:
            while True:
                batch = await self._next()
                if batch:
                    await self._send([(pending, self._lines(pending)) for pending in batch])
                else:
                    await self._client.probe()  # a server that has gone is noticed without messages, too
        except NotConnected as error:
            return Ending(str(error))

    async def _next(self) -> list[Pending]:
        """Return the next batch, or nothing after a while without messages."""
        try:
            async with asyncio.timeout(self._quiet_s):
                return await self._gathering.next()
        except TimeoutError:
            return []

    def _lines(self, pending: Pending) -> list[Line]:
        try:
            return lines_of(pending.message, self._document(pending.message), self._gateway, self._prefix, hist=pending.hist)
        except (ValueError, LookupError, TypeError, AttributeError):
            pending.end(Permanent("the message is not as the contract says"))
            return []

    async def _send(self, messages: Sequence[tuple[Pending, list[Line]]]) -> None:
        """Write messages; where some lines are the reason that a request is refused, find them by halves."""
        lines = [line for _, own in messages for _, line in own]
        answer = await self._client.write("\n".join(lines).encode()) if lines else Answer(Verdict.TAKEN, "")
        self._client.admitted(answer)
        match answer.verdict:
            case Verdict.TAKEN:
                for pending, _ in messages:
                    self._gathering.accepted(pending)
            case Verdict.LATER:
                for pending, _ in messages:
                    pending.end(Retryable(f"the server takes nothing now: {answer.reason}"))
            case _ if len(messages) > 1:
                middle = len(messages) // 2
                await self._send(messages[:middle])
                await self._send(messages[middle:])
            case _:
                await self._send_what_goes(*messages[0], answer)

    async def _send_what_goes(self, pending: Pending, lines: list[Line], answer: Answer) -> None:
        """Write the lines of a message that the server takes, and refuse the message with the tags of the others."""
        middle = len(lines) // 2
        bad: list[Line] = [] if len(lines) > 1 else list(lines)
        halves = [lines[:middle], lines[middle:]] if len(lines) > 1 else []
        while halves:
            part = halves.pop()
            said = await self._client.write("\n".join(line for _, line in part).encode())
            self._client.admitted(said)
            if said.verdict is Verdict.LATER:
                pending.end(Retryable(f"the server takes nothing now: {said.reason}"))
                return
            if said.verdict is not Verdict.TAKEN and len(part) == 1:
                bad += part
                answer = said
            elif said.verdict is not Verdict.TAKEN:
                halves += [part[: len(part) // 2], part[len(part) // 2 :]]
        if not bad:  # all of them together were too large, or what was wrong has passed
            self._gathering.accepted(pending)
            return
        arrived = len(lines) - len(bad)
        names = ", ".join(sorted(tag for tag, _ in bad if tag))
        which = f"tag {names}: " if names else ""
        others = f"; the other {arrived} tags have arrived" if arrived else ""
        self._gathering.refused(pending, f"the server refuses {which}{answer.reason}{others}", is_partly=arrived > 0)
