"""Answers of a broker that lies: what can be decoded and means nothing ends in NotConnected, and in nothing else."""

import io
from random import Random
from typing import Any

import pytest
from aiokafka.protocol.metadata import MetadataResponse_v1, MetadataResponse_v5
from aiokafka.protocol.produce import ProduceResponse_v8

from gateway.core.errors import NotConnected
from gateway.sinks.kafka import cluster as cluster_module
from gateway.sinks.kafka.cluster import Cluster
from gateway.sinks.kafka.connection import MALFORMED, Access

METADATA_1 = MetadataResponse_v1([(1, "127.0.0.1", 9092, None)], 1, [(0, "t", False, [(0, 0, 1, [1], [1])])])
METADATA_5 = MetadataResponse_v5(0, [(1, "127.0.0.1", 9092, None)], "c", 1, [(0, "t", False, [(0, 0, 1, [1], [1], [])])])
PRODUCED = ProduceResponse_v8([("t", [(0, 0, 5, -1, 0, [], None)])], 0)
CASES = 3000


class Lying:
    """A connection whose answers are given."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def connected(self) -> bool:
        return True

    async def ask(self, request: Any) -> Any:
        return self.answer


def mutated(content: bytes, random: Random) -> bytes:
    body = bytearray(content)
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(body))
        kind = random.randrange(3)
        if kind == 0:
            body[at] = random.randrange(256)
        elif kind == 1:
            body[at : at + 4] = random.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
        else:
            del body[at : at + random.randrange(1, 5)]
    return bytes(body)


@pytest.mark.parametrize("answer", [METADATA_1, METADATA_5, PRODUCED], ids=["metadata 1", "metadata 5", "produce 8"])
async def test_no_answer_is_a_bug(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    random, understood, refused = Random(7), 0, 0
    for _ in range(CASES):
        try:
            decoded = type(answer).decode(io.BytesIO(mutated(answer.encode(), random)))
        except MALFORMED:
            continue  # the connection ends with it
        cluster = Cluster([("127.0.0.1", 9092)], Access("gw", 1.0))

        async def lying(host: str, port: int, access: Access, said: Any = decoded) -> Any:
            return Lying(said)

        monkeypatch.setattr(cluster_module, "connect", lying)
        try:
            if answer is PRODUCED:
                cluster._brokers[1] = ("127.0.0.1", 9092)
                codes = await cluster.produce(1, {("t", 0): b"x"}, 1.0)
                assert all(isinstance(code, int) for code in codes.values())
            else:
                await cluster.refresh(["t"])
                assert cluster.partitions("t") == sorted(cluster.partitions("t"))
            understood += 1
        except NotConnected:
            refused += 1
    assert understood
    assert refused


async def test_topics_that_nobody_asked_for_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    topics = [(0, f"t{number}", False, [(0, 0, 1, [1], [1])]) for number in range(9)]
    many = MetadataResponse_v1(METADATA_1.brokers, 1, topics)

    async def lying(host: str, port: int, access: Access) -> Any:
        return Lying(many)

    monkeypatch.setattr(cluster_module, "connect", lying)
    cluster = Cluster([("127.0.0.1", 9092)], Access("gw", 1.0))
    await cluster.refresh(["t3"])
    assert cluster.partitions("t3") == [0]
    assert not cluster.partitions("t4")
