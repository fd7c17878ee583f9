"""The sink over one connection: messages are gathered while a transaction is on its way, and go together in the next."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from gateway.core.errors import GatewayError, NotConnected, Retryable
from gateway.core.messages import Message
from gateway.core.ports.outbox import Delivery
from gateway.core.ports.sink import EndedBy, Ending
from gateway.sinks.access.certificates import Certificate
from gateway.sinks.access.gathering import Gathering, Pending
from gateway.sinks.access.streams import place_of
from gateway.sinks.postgres.config import PostgresConfig
from gateway.sinks.postgres.database import Database, Refused
from gateway.sinks.postgres.errors import Blame
from gateway.sinks.postgres.tables import MESSAGES, STREAMS

_MOST_BATCH_BYTES: Final = 4 << 20


class PostgresSink:
    """A `core.ports.sink.Sink`."""

    def __init__(self, config: PostgresConfig, gateway: str, client: str, document: Callable[[Message], bytes]) -> None:
        """Connect nothing yet.

        client: the name that the database shows for the connection. document: a message as JSON with an object per tag.
        """
        self._document = document
        self._gateway = gateway
        self._database = Database(config, gateway, client)
        self._gathering = Gathering(config.in_flight, config.batch, _MOST_BATCH_BYTES)
        self._closed = asyncio.Event()

    @property
    def certificates(self) -> Sequence[Certificate]:
        """Return the database's certificate and the gateway's own. Reads a file; may be called on a thread."""
        return self._database.certificates

    async def open(self) -> None:
        """Connect. Raises NotConnected."""
        self._closed.clear()
        await self._database.open()

    async def serve(self, on_live: Callable[[], None]) -> Ending:
        """Go live, and write until the connection ends."""
        on_live()
        self._gathering.begin()
        tasks = [
            asyncio.create_task(self._write(), name="postgres writer"),
            asyncio.create_task(self._lost(), name="postgres connection"),
            asyncio.create_task(self._until_closed(), name="postgres close"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            ending = next(task for task in tasks if task in done).result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._gathering.end(ending.reason)
        return ending

    async def room(self) -> int:
        """Wait until messages may be sent; return for how many."""
        return await self._gathering.room()

    def send(self, delivery: Delivery) -> "asyncio.Future[None]":
        """Hand over a message; it has arrived when the transaction with its rows is committed."""
        return self._gathering.add(delivery)

    async def close(self, *, abort: bool = False, stop_reason: str = "", within_s: float = 0.0) -> None:
        """Disconnect; what was not committed ends with NotConnected."""
        self._closed.set()
        self._gathering.end(stop_reason or "closed")
        await self._database.close()

    async def _lost(self) -> Ending:
        await self._database.lost.wait()
        return Ending("the database has ended the connection")

    async def _until_closed(self) -> Ending:
        await self._closed.wait()
        return Ending("closed", EndedBy.SINK)

    async def _write(self) -> Ending:
        try:
            while True:
                batch = await self._gathering.next()
                for table, messages in self._by_table(batch).items():
                    await self._insert(table, messages)
        except NotConnected as error:
            return Ending(str(error))

    def _by_table(self, batch: Sequence[Pending]) -> dict[str, list[Pending]]:
        by_table: dict[str, list[Pending]] = {}
        for pending in batch:
            stream = place_of(pending.message.topic, self._gateway).stream
            by_table.setdefault(STREAMS.get(stream, MESSAGES), []).append(pending)
        return by_table

    async def _insert(self, table: str, messages: Sequence[Pending]) -> None:
        """Write messages; where one of them is the reason that all are refused, find it by halves."""
        try:
            await self._database.insert(table, self._columns(messages))
        except Refused as refused:
            if refused.blame is Blame.BATCH:
                _end(messages, Retryable(f"the database does not take it now: {refused.reason}"))
            elif len(messages) > 1:
                middle = len(messages) // 2
                await self._insert(table, messages[:middle])
                await self._insert(table, messages[middle:])
            else:
                await self._insert_what_goes(table, messages[0], refused.reason)
            return
        for pending in messages:
            self._gathering.accepted(pending)

    async def _insert_what_goes(self, table: str, pending: Pending, reason: str) -> None:
        """Write the rows of a message that the database takes, and refuse the message with the names of the others."""
        tags = _tags_of(self._document(pending.message))
        bad: list[str] = []
        halves = [tags[: len(tags) // 2], tags[len(tags) // 2 :]] if len(tags) > 1 else []
        while halves:
            part = halves.pop()
            try:
                await self._database.insert(table, self._columns([pending]), part)
            except Refused as refused:
                if refused.blame is Blame.BATCH:
                    pending.end(Retryable(f"the database does not take it now: {refused.reason}"))
                    return
                if len(part) == 1:
                    bad += part
                else:
                    halves += [part[: len(part) // 2], part[len(part) // 2 :]]
        count = len(tags) - len(bad) if bad else 0
        arrived = f"; the other {count} tags have arrived" if count else ""
        names = f"tag {', '.join(sorted(bad))}: " if bad else ""
        self._gathering.refused(pending, f"the database refuses {names}{reason}{arrived}", is_partly=count > 0)

    def _columns(self, messages: Sequence[Pending]) -> list[list[Any]]:
        """Return one array per parameter of the statement."""
        rows = []
        for pending in messages:
            message = pending.message
            place = place_of(message.topic, self._gateway)
            body = self._document(message).decode()
            rows.append((message.boot, message.topic, message.seq, place.device, place.stream, pending.hist, body))
        return [list(column) for column in zip(*rows, strict=True)]


def _tags_of(payload: bytes) -> list[str]:
    tags = orjson.loads(payload).get("tags")
    return list(tags) if isinstance(tags, dict) else []


def _end(messages: Sequence[Pending], error: GatewayError | None) -> None:
    for pending in messages:
        pending.end(error)
