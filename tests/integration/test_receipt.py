"""Times of receipt are those at which bytes came, whatever is done with them afterwards."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from asyncua import ua
from asyncua.crypto.security_policies import SecurityPolicyNone

from gateway.core.loop_watch import LATE_NS, LoopWatch
from gateway.core.quality import Quality
from gateway.core.tcp_info import received_ago_ns
from gateway.sources.opcua.client import column_session
from gateway.sources.opcua.client.decoding import decode_answer
from gateway.sources.opcua.client.receipt import stamp_by
from gateway.sources.opcua.client.transport import bind_transport
from gateway.sources.opcua.port.adaptive_timeout import AdaptiveTimeout
from tests.support.opcua_field import in_the_field
from tests.support.opcua_server import AsyncuaServer

S = 10**9
NODES: list[str] = ["ns=2;s=v0"]


@pytest.fixture
async def server(port: int):
    async with AsyncuaServer(port, 1) as running:
        yield running


@pytest.mark.parametrize("mode", ["subscribe", "poll"])
async def test_a_value_whose_decoding_takes_long_has_the_time_at_which_its_bytes_came(server, monkeypatch, mode):
    begun: dict[float, int] = {}

    async def slow(answer: Any, read: Any) -> Any:
        begun_ns = time.time_ns()
        decoded = await decode_answer(answer, read)
        columns = decoded[0] if isinstance(decoded, tuple) else next(iter(getattr(decoded, "changes", ())), None)
        if columns is not None and len(columns):
            begun.setdefault(float(columns.number[-1]), begun_ns)
        await asyncio.sleep(0.15)
        return decoded

    monkeypatch.setattr(column_session, "decode_answer", slow)
    async with in_the_field(server.url, NODES, mode=mode, times="gateway") as field:
        await field.until(lambda: bool(field.values[0]))
        await server.write(0, 7.0)
        await field.until(lambda: field.values[0][-1] == 7.0)
        at = field.values[0].index(7.0)
        assert field.times[0][at] <= begun[7.0]
        assert field.qualities[0][at] == Quality.GOOD


class _Loop:
    """A clock and a watch of a loop that has not turned for `stood_s` until now."""

    def __init__(self, stood_s: float) -> None:
        self.wall_ns = S
        now = [time.monotonic_ns()]
        self.watch = LoopWatch(lambda: now[0], lambda: now[0])
        self.watch.tick()
        self.watch.tick()
        now[0] += round(stood_s * S)
        self._now = now

    def now_ns(self) -> int:
        return self.wall_ns

    def turn(self) -> None:
        self._now[0] += S
        self.wall_ns += S
        self.watch.tick()
        self.watch.tick()


async def test_all_answers_of_one_buffer_have_its_receipt_also_where_the_last_are_processed_later(monkeypatch):
    loop: Any = _Loop(stood_s=1.5)
    client: Any = SimpleNamespace(
        uaclient=SimpleNamespace(
            security_policy=SecurityPolicyNone(), pre_request_hook=None, _on_transport_lost=None, _is_session_closing=None
        )
    )
    bind_transport(client, AdaptiveTimeout(1.0, time.monotonic), stamp_by(loop, loop.watch))
    protocol = client.uaclient._make_protocol()
    protocol.connection_made(SimpleNamespace(is_closing=lambda: False, pause_reading=int, resume_reading=int))
    answers = [asyncio.get_running_loop().create_future() for _ in range(3)]
    protocol._callbackmap.update(enumerate(answers, 1))
    monkeypatch.setattr("gateway.sources.opcua.client.transport.SLICE_S", -1.0)  # a turn of the loop after each chunk
    protocol._connection._check_incoming_chunk = lambda chunk: None
    came_ns = loop.now_ns()
    protocol.data_received(b"".join(chunk(number) for number in (1, 2, 3)))
    loop.turn()
    receipts = [(await answer).receipt for answer in answers]
    assert [receipt.wall_ns for receipt in receipts] == [came_ns] * 3
    assert all(receipt.late_ns > S for receipt in receipts), "they came while the loop stood still"
    assert receipts[0].late_since(receipts[0].elapsed_ns - LATE_NS) == 0
    assert receipts[0].late_since(receipts[0].elapsed_ns - S) == S


def chunk(request: int) -> bytes:
    """A message of one chunk without security."""
    body = b"\0" * 8
    head = ua.ua_binary.Primitives.UInt32
    size = 24 + len(body)
    return b"MSGF" + head.pack(size) + head.pack(0) + head.pack(0) + head.pack(request) + head.pack(request) + body


async def test_the_system_is_not_asked_for_an_age_while_later_bytes_wait():
    read: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    serving = await asyncio.start_server(lambda _, writer: read.put_nowait(writer), "127.0.0.1", 0)
    async with serving:
        reader, writer = await asyncio.open_connection(*serving.sockets[0].getsockname())
        peer = await read.get()
        peer.write(b"reply")
        await reader.readexactly(5)
        assert received_ago_ns(writer.transport) is not None
        writer.transport.pause_reading()
        peer.write(b"later")
        async with asyncio.timeout(10):
            while received_ago_ns(writer.transport) is not None:
                await asyncio.sleep(0.01)
        writer.close()
        peer.close()
