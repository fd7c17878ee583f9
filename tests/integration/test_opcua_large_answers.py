"""Answers that claim or hold too much, for every service: refused within a budget, and the event loop goes on meanwhile."""

import asyncio
import struct
import threading
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from asyncua.ua.uaerrors import UaError

from gateway.sources.opcua.client.bounded_session import BoundedSession
from gateway.sources.opcua.client.column_session import ColumnSession
from gateway.sources.opcua.client.decoding import decode_answer
from gateway.sources.opcua.client.receipt import Answer
from gateway.sources.opcua.client.transport import _find_servers, _get_endpoints
from gateway.sources.opcua.codec.bounds import MOST_ANSWER, MOST_AT_ONCE, Budget
from gateway.sources.opcua.codec.errors import TooLarge, WireError
from gateway.sources.opcua.codec.types.bounded_buffer import BoundedBuffer

MANY = struct.pack("<i", 2**31 - 1)
MILLION = struct.pack("<i", 1_000_000)
MOST_HELD_S = 0.1
"""CPU time between two turns of the loop; by that of its own thread, so other processes do not count."""
MOST_MEMORY = 64 * 2**20


class Client:
    """In place of asyncua's: every request has the same answer."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.protocol = SimpleNamespace(authentication_token=None)

    async def _send_request(self, *_: object, **__: object) -> Answer:
        return Answer(self._answer, budget=Budget(MOST_AT_ONCE))


def with_tail(response: Any, tail: bytes) -> bytes:
    """Put another end in place of an answer's last list, which is empty."""
    raw = struct_to_binary(response)
    assert raw[-4:] == bytes(4), "an empty list at its end"
    return raw[:-4] + tail


NODE = ua.NodeId(1)
SERVICES: dict[str, tuple[Any, Callable[[BoundedSession], Awaitable[Any]]]] = {
    "Browse": (ua.BrowseResponse(), lambda s: s.browse(ua.BrowseParameters())),
    "BrowseNext": (ua.BrowseNextResponse(), lambda s: s.browse_next(ua.BrowseNextParameters())),
    "Translate": (ua.TranslateBrowsePathsToNodeIdsResponse(), lambda s: s.translate_browsepaths_to_nodeids([])),
    "RegisterNodes": (ua.RegisterNodesResponse(), lambda s: s.register_nodes([NODE])),
    "Read": (ua.ReadResponse(), lambda s: s.read(ua.ReadParameters())),
    "Call": (ua.CallResponse(), lambda s: s.call([])),
    "CreateMonitoredItems": (
        ua.CreateMonitoredItemsResponse(),
        lambda s: s.create_monitored_items(ua.CreateMonitoredItemsParameters()),
    ),
    "DeleteMonitoredItems": (
        ua.DeleteMonitoredItemsResponse(),
        lambda s: s.delete_monitored_items(ua.DeleteMonitoredItemsParameters()),
    ),
    "ActivateSession": (ua.ActivateSessionResponse(), lambda s: s.activate_session(ua.ActivateSessionParameters())),
    "GetEndpoints": (ua.GetEndpointsResponse(), lambda s: _get_endpoints(s._client, ua.GetEndpointsParameters())),
    "FindServers": (ua.FindServersResponse(), lambda s: _find_servers(s._client, ua.FindServersParameters())),
}
TAILS = {
    "2^31 of what is not there": MANY,
    "a million of one byte each": MILLION + bytes(1_000_000),
    "texts of negative length": MANY + struct.pack("<i", -5) * 1000,
}


async def held_s(work: Awaitable[object], refusals: tuple[type[Exception], ...]) -> float:
    """Return for how long at most the loop had no turn, in its own CPU time, while the work is refused."""
    longest, begin, is_over = 0.0, time.thread_time(), False

    async def tick() -> None:
        nonlocal longest, begin
        while not is_over:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, begin = max(longest, now - begin), now
            await asyncio.sleep(0.001)
            begin = time.thread_time()

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.01)
    with pytest.raises(refusals):
        await work
    await asyncio.sleep(0.01)
    is_over = True
    await ticking
    return longest


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("service", SERVICES)
async def test_no_service_makes_more_of_an_answer_than_its_budget(service: str, tail: str) -> None:
    response, call = SERVICES[service]
    session = BoundedSession(Client(with_tail(response, TAILS[tail])))
    assert await held_s(call(session), (WireError, UaError)) < MOST_HELD_S


async def test_a_million_diagnostics_take_no_memory_to_speak_of() -> None:
    session = BoundedSession(Client(with_tail(ua.BrowseResponse(), TAILS["a million of one byte each"])))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            await session.browse(ua.BrowseParameters())
        assert tracemalloc.get_traced_memory()[1] < 2 * MOST_MEMORY, "as traced: the tracer's own is in it"
    finally:
        tracemalloc.stop()


def published(variant: bytes, *, event: bool) -> bytes:
    """A notification with one value, or with one event that has it as its only field."""
    notification: Any = ua.NotificationMessage(SequenceNumber=1)
    response = ua.PublishResponse()
    response.Parameters.NotificationMessage = notification
    head = struct_to_binary(response)[:-12]  # without NotificationData, Results and DiagnosticInfos
    if event:
        kind, body = 916, struct.pack("<iIi", 1, 0, 1) + variant
    else:
        kind, body = 811, struct.pack("<iIB", 1, 0, 1) + variant + bytes(4)
    return head + struct.pack("<iBBHBi", 1, 1, 0, kind, 1, len(body)) + body + bytes(8)


VARIANTS = {
    "four million booleans": bytes([0x81]) + struct.pack("<i", 4_000_000) + bytes(4_000_000),
    "2^31 nulls": bytes([0x80]) + MANY,
    "a million null extension objects": bytes([0x96]) + MILLION + bytes(3_000_000),
    "a million diagnostics": bytes([0x99]) + MILLION + bytes(1_000_000),
    "a false shape": bytes([0xC6]) + struct.pack("<ii", 1, 5) + struct.pack("<iiii", 3, 2, 46_340, 46_340),
    "5 MiB of text": bytes([12]) + struct.pack("<i", 5 * 2**20) + b"a" * (5 * 2**20),
}


@pytest.mark.parametrize("what", VARIANTS)
async def test_a_value_that_is_too_large_costs_only_itself(what: str) -> None:
    """Its status says why; the value behind it is what it is."""
    first, second = VARIANTS[what], b"\x0b" + struct.pack("<d", 1.5)
    body = struct.pack("<i", 2) + struct.pack("<IB", 0, 1) + first + struct.pack("<IB", 1, 1) + second + bytes(4)
    raw = published(first, event=False)
    at = raw.index(struct.pack("<BBHB", 1, 0, 811, 1))
    session = ColumnSession(Client(raw[: at + 5] + struct.pack("<i", len(body)) + body + bytes(8)))
    notification = await session.publish_once([])
    (columns,) = notification.changes
    assert [status >> 16 for status in columns.status.tolist()] == [0x8007 if what == "a false shape" else 0x8008, 0]
    assert columns.number.tolist()[1] == 1.5
    assert columns.objects[0] is None


@pytest.mark.parametrize("what", VARIANTS)
async def test_a_field_of_an_event_that_is_too_large_is_null(what: str) -> None:
    session = ColumnSession(Client(published(VARIANTS[what], event=True)))
    longest = []

    async def publish() -> None:
        (event,) = (await session.publish_once([])).events
        longest.append((event.notifier, list(event.values)))
        raise TooLarge  # so that the time is that of all of it

    assert await held_s(publish(), (TooLarge,)) < MOST_HELD_S
    assert longest == [(0, [None])]


async def test_a_cancelled_call_ends_its_thread_soon() -> None:
    begun, ended = asyncio.Event(), []
    loop = asyncio.get_running_loop()

    def read(buffer: BoundedBuffer) -> None:
        loop.call_soon_threadsafe(begun.set)
        try:
            while True:
                buffer.budget.spend(0)
                time.sleep(0.001)
        finally:
            ended.append(True)

    answer = BoundedBuffer(bytes(100_000), budget=Budget(MOST_AT_ONCE))
    task = asyncio.create_task(decode_answer(answer, read, MOST_ANSWER))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(1000):
        if ended:
            return
        await asyncio.sleep(0.005)
    raise AssertionError("the thread goes on")


async def test_what_is_short_but_claims_much_is_decoded_once_more_on_a_thread() -> None:
    """10,000 references in 30 kB are legal, and too many for the loop."""
    threads = []
    answer = BoundedBuffer(bytes(10_000), budget=Budget(MOST_AT_ONCE))

    def read(buffer: BoundedBuffer) -> int:
        threads.append(threading.current_thread() is threading.main_thread())
        return sum(len(buffer.read(1)) for _ in range(5_000))

    assert await decode_answer(answer, read) == 5_000
    assert threads == [True, False]
