"""The brokers of a cluster, and who leads which partition."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest

from gateway.core.errors import NotConnected
from gateway.sinks.kafka.batches import Partition
from gateway.sinks.kafka.connection import MALFORMED, Access, Connection, connect
from gateway.sinks.kafka.error_codes import STARTING, producer_refused

_ACKS_ALL: Final = -1
_END_OF_PORTS: Final = 65_536
_MOST_BROKERS: Final = 10_000
_MOST_PARTITIONS: Final = 100_000
_LONGEST_TRANSACTION_MS: Final = 2**31 - 1
_CLOSE_S: Final = 1.0
_START_PAUSES_S: Final = (0.1, 0.2, 0.4, 0.8, 1.6)
_UNKNOWN: Final = 3
"""Unknown topic or partition."""


class Cluster:
    """Connections to the brokers of a cluster, made when they are needed. The configured addresses stay in use."""

    def __init__(self, addresses: Sequence[tuple[str, int]], access: Access) -> None:
        """Connect nothing yet."""
        self._addresses = tuple(addresses)
        self._access = access
        self._brokers: dict[int, tuple[str, int]] = {}
        self._connections: dict[tuple[str, int], Connection] = {}
        self._leaders: dict[str, dict[int, int]] = {}
        """By topic: the broker that leads each partition."""
        self._connecting = asyncio.Lock()
        self._problems: dict[str, int] = {}
        """By topic: the error code of what is not to be had."""

    async def open(self) -> None:
        """Reach one broker and learn of the others. Raises NotConnected with the reason of each address."""
        await self.refresh(())

    async def producer_id(self) -> tuple[int, int]:
        """Return id and epoch of a new idempotent producer. Raises NotConnected."""
        code = 0
        for pause_s in _START_PAUSES_S:
            connection = await self._any()
            answer = await connection.ask(InitProducerIdRequest(None, _LONGEST_TRANSACTION_MS))
            if (code := answer.error_code) == 0:
                return int(answer.producer_id), int(answer.producer_epoch)
            if code not in STARTING:
                break
            await asyncio.sleep(pause_s)
        raise producer_refused(code)

    async def refresh(self, topics: Sequence[str]) -> None:
        """Learn anew where these topics are. Raises NotConnected where no broker answers."""
        connection = await self._any()
        answer = await connection.ask(MetadataRequest(list(topics)))
        try:
            self._learn(answer, frozenset(topics))
        except MALFORMED as error:  # a list that is none, a port that cannot be
            raise NotConnected(f"the broker has sent metadata that mean nothing ({error})") from None

    def _learn(self, answer: Any, asked: frozenset[str]) -> None:
        """Take over who the brokers are, and where the topics are that were asked for. Raises one of MALFORMED."""
        if len(answer.brokers) > _MOST_BROKERS:
            raise ValueError(f"{len(answer.brokers)} brokers; expected {_MOST_BROKERS} at most")
        brokers = {node: (host, port) for node, host, port, *_ in answer.brokers}
        for host, port in brokers.values():
            if not host or not 0 < port < _END_OF_PORTS:
                raise ValueError(f"{host!r}:{port} is no address of a broker")
        self._brokers = brokers
        for code, topic, *_, partitions in answer.topics:
            if topic not in asked:
                continue
            if code or not partitions or len(partitions) > _MOST_PARTITIONS:
                self._leaders.pop(topic, None)
                self._problems[topic] = code or _UNKNOWN
            else:
                self._leaders[topic] = {partition: leader for _, partition, leader, *_ in partitions}
                self._problems.pop(topic, None)

    @property
    def is_connected(self) -> bool:
        """Return whether a connection to any broker stands."""
        return any(connection.connected() for connection in self._connections.values())

    @property
    def peer_certificate(self) -> bytes:
        """Return the certificate of a broker, DER; empty without TLS, or without a connection."""
        return next((one.peer_certificate for one in self._connections.values() if one.connected()), b"")

    def partitions(self, topic: str) -> list[int]:
        """Return the partitions of a topic, ascending; none where it is not known."""
        return sorted(self._leaders.get(topic, ()))

    def leader(self, topic: str, partition: int) -> int | None:
        """Return the broker that leads a partition, None where there is none now."""
        leader = self._leaders.get(topic, {}).get(partition, -1)
        return leader if leader in self._brokers else None

    def problem(self, topic: str) -> int:
        """Return the error code that the cluster has for a topic, 0 for none."""
        return self._problems.get(topic, 0)

    async def produce(self, broker: int, contents: Mapping[Partition, bytes], within_s: float) -> dict[Partition, int]:
        """Have a broker append a batch to each partition; return the error code of each.

        within_s: longest wait of the broker for its followers. Raises NotConnected.
        """
        if broker not in self._brokers:
            raise NotConnected(f"broker {broker} is not in the cluster any more")
        by_topic: dict[str, list[tuple[int, bytes]]] = {}
        for (topic, number), content in contents.items():
            by_topic.setdefault(topic, []).append((number, content))
        connection = await self._connection(self._brokers[broker])
        answer = await connection.ask(ProduceRequest(None, _ACKS_ALL, int(within_s * 1000), list(by_topic.items())))
        try:
            return {(topic, number): code for topic, partitions in answer.topics for number, code, *_ in partitions}
        except MALFORMED as error:
            raise NotConnected(f"the broker has sent an answer that means nothing ({error})") from None

    async def close(self) -> None:
        """Close all connections, within a second."""
        closing = [connection.close() for connection in self._connections.values()]
        self._connections.clear()
        waiting = [future for future in closing if future is not None]
        if waiting:
            await asyncio.wait(waiting, timeout=_CLOSE_S)

    async def _any(self) -> Connection:
        """Return a connection to any broker: one that stands, else one to a known broker, else to a configured address."""
        for connection in self._connections.values():
            if connection.connected():
                return connection
        places = list(dict.fromkeys((*self._brokers.values(), *self._addresses)))
        reasons: list[NotConnected] = []
        for place in places:
            try:
                return await self._connection(place)
            except NotConnected as error:
                reasons.append(error)
        security = next((error.security for error in reasons if error.security), None)
        raise NotConnected("; ".join(dict.fromkeys(map(str, reasons))), security=security)

    async def _connection(self, place: tuple[str, int]) -> Connection:
        async with self._connecting:  # who asks meanwhile gets the same one
            connection = self._connections.get(place)
            if connection is None or not connection.connected():
                connection = self._connections[place] = await connect(*place, self._access)
            return connection
