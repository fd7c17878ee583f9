"""Publish requests, their order and acknowledgements, on a fake service."""

import asyncio
from collections import deque

import pytest

from gateway.core.errors import NotConnected
from gateway.sources.opcua.client.publish_loop import IN_FLIGHT, Notification, PublishLoop
from gateway.sources.opcua.codec.errors import WireError
from gateway.sources.opcua.port.errors import ServiceFault
from gateway.sources.opcua.port.traffic import Traffic
from tests.support.clock import ManualClock, settle

SUBSCRIPTION = 7


class Server:
    """A subscription that numbers what it says and holds it until it is acknowledged."""

    def __init__(self) -> None:
        self.number = 0
        self.held: dict[int, Notification] = {}
        self.acks: list[tuple[int, int]] = []
        self.asked_again: list[int] = []
        self.refuses_republish: Exception | None = None
        self.open_requests = 0
        self.traffic = Traffic()
        self._answers: deque[Notification | Exception] = deque()

    def say(self, *, swallowed: bool = False, held: bool = True) -> None:
        """The next notification; swallowed ones never reach the client."""
        self.number += 1
        told = Notification(SUBSCRIPTION, self.number, False, 0)
        if held:
            self.held[self.number] = told
        if not swallowed:
            self.answer(Notification(SUBSCRIPTION, self.number, False, 0, available=sorted(self.held)))

    def keepalive(self) -> None:
        self.answer(Notification(SUBSCRIPTION, self.number + 1, True, 0, available=sorted(self.held)))

    def answer(self, answer: Notification | Exception) -> None:
        self._answers.append(answer)

    async def publish_once(self, acks):
        for ack in acks:
            self.acks.append(ack)
            self.held.pop(ack[1], None)
        self.open_requests += 1
        try:
            while not self._answers:
                await asyncio.sleep(0)
        finally:
            self.open_requests -= 1
        answer = self._answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def republish_once(self, subscription, sequence):
        self.asked_again.append(sequence)
        if self.refuses_republish:
            raise self.refuses_republish
        if sequence not in self.held:
            raise ServiceFault(0x807B0000)
        return Notification(0, sequence, False, 0)


@pytest.fixture
def server():
    return Server()


@pytest.fixture
async def publishing(server):
    made = PublishLoop(server, ManualClock(), "plc", lambda _: server.traffic)
    yield made
    await made.close()


async def take(publishing, count):
    async with asyncio.timeout(5):
        return [await publishing.next() for _ in range(count)]


async def test_missing_notifications_are_had_again_before_later_ones(server, publishing):
    for swallowed in (False, True, True, False):
        server.say(swallowed=swallowed)
    told = await take(publishing, 4)
    assert [(one.sequence, one.lost, one.again) for one in told] == [
        (1, 0, False),
        (2, 0, True),
        (3, 0, True),
        (4, 0, False),
    ]
    assert {one.subscription for one in told} == {SUBSCRIPTION}
    assert server.traffic.republished == 2


async def test_only_what_the_server_no_longer_holds_is_lost(server, publishing):
    server.say()
    server.say(swallowed=True, held=False)
    server.say(swallowed=True)
    server.say()
    assert [(one.sequence, one.lost) for one in await take(publishing, 3)] == [(1, 0), (3, 0), (4, 1)]
    assert server.asked_again == [3]


async def test_everything_is_acknowledged_exactly_once(server, publishing):
    for swallowed in (False, True, False, True, False):
        server.say(swallowed=swallowed)
    await take(publishing, 5)
    server.say()
    await take(publishing, 1)
    server.keepalive()
    await take(publishing, 1)
    server.keepalive()
    await take(publishing, 1)
    assert sorted(server.acks) == [(SUBSCRIPTION, number) for number in range(1, 7)]
    assert not server.held


async def test_acknowledgements_of_a_failed_request_are_sent_again(server, publishing):
    server.say()
    await take(publishing, 1)
    server.answer(ServiceFault(0x800A0000))
    server.keepalive()
    server.keepalive()
    await take(publishing, 2)
    server.keepalive()
    await take(publishing, 1)
    assert (SUBSCRIPTION, 1) in server.acks


async def test_the_last_notification_is_missed_by_the_keepalive_that_follows(server, publishing):
    server.say()
    server.say(swallowed=True)
    server.keepalive()
    assert [(one.sequence, one.is_keepalive, one.lost) for one in await take(publishing, 3)] == [
        (1, False, 0), (2, False, 0), (3, True, 0),
    ]  # fmt: skip
    server.say()
    assert [(one.sequence, one.lost) for one in await take(publishing, 1)] == [(3, 0)]


@pytest.mark.parametrize("refusal", [ServiceFault(0x807B0000), WireError("rubbish")])
async def test_what_cannot_be_had_again_is_counted_and_acknowledged(server, publishing, refusal):
    server.refuses_republish = refusal
    for swallowed in (False, True, False):
        server.say(swallowed=swallowed)
    assert [(one.sequence, one.lost) for one in await take(publishing, 2)] == [(1, 0), (3, 1)]
    server.keepalive()
    server.keepalive()
    await take(publishing, 2)
    assert (SUBSCRIPTION, 2) in server.acks


async def test_an_answer_with_another_number_is_not_taken(server, publishing):
    async def empty(subscription, sequence):
        return Notification(0, 0, True, 0)

    server.republish_once = empty
    for swallowed in (False, True, False):
        server.say(swallowed=swallowed)
    assert [(one.sequence, one.lost) for one in await take(publishing, 2)] == [(1, 0), (3, 1)]


async def test_a_server_without_republish_is_asked_once(server, publishing):
    server.refuses_republish = ServiceFault(0x800B0000)
    for swallowed in (False, True, True, False, True, False):
        server.say(swallowed=swallowed)
    assert sum(one.lost for one in await take(publishing, 3)) == 3
    assert server.asked_again == [2]


async def test_an_undecodable_notification_is_had_again(server, publishing):
    server.say()
    server.say(swallowed=True)
    server.answer(WireError("rubbish"))
    server.say()
    assert [one.sequence for one in await take(publishing, 3)] == [1, 2, 3]


async def test_fewer_requests_are_kept_in_flight_where_the_server_wants_fewer(server, publishing):
    reader = asyncio.create_task(publishing.next())
    await settle()
    assert server.open_requests == IN_FLIGHT
    server.answer(ServiceFault(0x80780000))
    await settle()
    assert server.open_requests == IN_FLIGHT - 1
    server.say()
    assert (await reader).sequence == 1


async def test_a_server_that_wants_fewer_now_and_then_does_not_lose_us(server, publishing):
    """At the least of one request a refusal counts only when nothing was answered since the last one."""
    for _ in range(8):
        server.say()
        server.answer(ServiceFault(0x80780000))
    for _ in range(150):
        server.say()
    told = await take(publishing, 158)
    assert [one.sequence for one in told] == list(range(1, 159))
    assert publishing._in_flight > 1, "more are tried again after a while"


async def test_a_server_that_takes_no_request_at_all_has_lost_us(server, publishing):
    for _ in range(IN_FLIGHT):
        server.answer(ServiceFault(0x80780000))
    with pytest.raises(NotConnected, match="BadTooManyPublishRequests"):
        await take(publishing, 1)


async def test_what_came_before_the_loss_is_told_before_it(server, publishing):
    server.say()
    server.say()
    server.answer(NotConnected("gone"))
    assert [one.sequence for one in await take(publishing, 2)] == [1, 2]
    with pytest.raises(NotConnected, match="gone"):
        await take(publishing, 1)


async def test_close_leaves_no_request_behind(server, publishing):
    reader = asyncio.create_task(publishing.next())
    await settle()
    reader.cancel()
    await publishing.close()
    await settle()
    assert server.open_requests == 0


async def test_a_request_that_was_passed_by_is_replaced(server, publishing):
    """A server that swallows a request, or its answer, must not starve us of requests in flight."""
    waits = server.publish_once

    async def swallow(acks):
        await asyncio.Event().wait()

    server.publish_once = swallow
    first = asyncio.create_task(publishing.next())
    await settle()
    first.cancel()
    server.publish_once = waits
    assert server.open_requests == 0
    for task in list(publishing._requests)[1:]:  # two of the three had their answers after all
        task.cancel()
        del publishing._requests[task]
    for _ in range(6):
        server.say()
    assert [one.sequence for one in await take(publishing, 6)] == [1, 2, 3, 4, 5, 6]
    after = asyncio.create_task(publishing.next())
    await settle()
    assert server.open_requests == IN_FLIGHT
    after.cancel()


async def test_delays_are_measured_by_both_clocks(server, publishing):
    now_ns = ManualClock(monotonic_s=0).now_ns()
    told = Notification(SUBSCRIPTION, 1, False, now_ns + 2_000_000, now_ns - 30_000_000, received_ns=now_ns)
    server.answer(told)
    await take(publishing, 1)
    assert (server.traffic.delay_ms, server.traffic.clock_ms) == (30.0, 2.0)


async def test_what_was_had_again_survives_a_connection_that_ends_in_between(server, publishing):
    """asyncua's server, for one, repeats a notification once and forgets it."""
    for swallowed in (True, True, True, False):
        server.say(swallowed=swallowed)
    repeat, asked = server.republish_once, asyncio.Event()

    async def once(subscription, sequence):
        if sequence == 3 and not asked.is_set():
            asked.set()
            await asyncio.sleep(3600)
        told = await repeat(subscription, sequence)
        del server.held[sequence]
        return told

    server.republish_once = once
    reader = asyncio.create_task(take(publishing, 4))
    await asyncio.wait_for(asked.wait(), 5)
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    told = await take(publishing, 4)
    assert [(one.sequence, one.lost, one.again) for one in told] == [(1, 0, True), (2, 0, True), (3, 0, True), (4, 0, False)]
