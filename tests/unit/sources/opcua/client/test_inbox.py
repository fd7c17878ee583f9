"""Notifications of several devices in one session."""

import asyncio
from collections import deque

import numpy as np
import pytest

from gateway.core.errors import NotConnected
from gateway.sources.opcua.client.inbox import ORPHANED_S, Inbox, Inboxes
from gateway.sources.opcua.client.publish_loop import Notification
from gateway.sources.opcua.codec.data_values import columns_without_values
from gateway.sources.opcua.codec.errors import WireError
from gateway.sources.opcua.port.traffic import Traffic
from tests.support.clock import ManualClock


class Server:
    """Answers publish requests with what it is given."""

    def __init__(self) -> None:
        self.answers: deque[Notification | Exception] = deque()
        self.numbers: dict[int, int] = {}

    def say(self, subscription: int, values: int = 1, *, skipped: int = 0) -> None:
        number = self.numbers[subscription] = self.numbers.get(subscription, 0) + 1 + skipped
        changes = [columns_without_values(np.arange(values).tolist(), 0)]
        self.answers.append(Notification(subscription, number, False, 0, changes=changes))

    async def publish_once(self, acks):
        while not self.answers:
            await asyncio.sleep(0)
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def republish_once(self, subscription, sequence):
        raise WireError("never asked")


class Bench:
    """Two devices with a subscription each, 1 and 2."""

    def __init__(self, most: int = 100) -> None:
        self.server, self.clock, self.deleted = Server(), ManualClock(), []
        self.inboxes = Inboxes(self.server, self.clock, "plc", self.delete)
        self.devices = [Inbox(Traffic(), most), Inbox(Traffic(), most)]
        for subscription, inbox in enumerate(self.devices, 1):
            self.inboxes.claim(subscription, inbox)

    async def delete(self, subscription):
        self.deleted.append(subscription)

    async def next(self, device: int) -> Notification:
        async with asyncio.timeout(5):
            return await self.inboxes.next(self.devices[device])


@pytest.fixture
async def bench():
    made = Bench()
    yield made
    await made.inboxes.close()


async def test_each_device_gets_its_own_in_order_whoever_waits(bench):
    for subscription in (2, 1, 2, 1):
        bench.server.say(subscription)
    assert [(await bench.next(0)).sequence for _ in range(2)] == [1, 2]
    assert [(await bench.next(1)).subscription for _ in range(2)] == [2, 2]


async def test_both_may_wait_at_the_same_time(bench):
    waiting = [asyncio.create_task(bench.next(device)) for device in (0, 1)]
    await asyncio.sleep(0)
    bench.server.say(2)
    bench.server.say(1)
    assert [one.subscription for one in await asyncio.gather(*waiting)] == [1, 2]


async def test_what_overflows_for_a_slow_device_is_lost_for_it_alone_and_the_newest_stays(bench):
    for _ in range(5):
        bench.server.say(1, values=40)
    bench.server.say(2)
    assert (await bench.next(1)).lost == 0
    kept = [await bench.next(0) for _ in range(2)]
    assert [(one.sequence, one.lost) for one in kept] == [(4, 3), (5, 0)]


async def test_what_cannot_be_decoded_is_counted_for_the_device_whose_it_is(bench):
    undecoded = WireError("nonsense")
    undecoded.subscription = 2
    bench.server.say(2)
    bench.server.answers.append(undecoded)
    bench.server.say(2, skipped=1)
    bench.server.say(1)
    assert (await bench.next(0)).lost == 0
    assert [(await bench.next(1)).lost for _ in range(2)] == [0, 1]
    assert [inbox.traffic.undecoded for inbox in bench.devices] == [0, 1]


async def test_what_comes_before_its_subscription_is_known_waits_and_what_nobody_claims_is_deleted(bench):
    bench.server.say(3)
    bench.server.say(4)
    bench.server.say(1)
    await bench.next(0)
    late = Inbox(Traffic())
    bench.inboxes.claim(3, late)
    assert late.pop().subscription == 3
    await bench.clock.advance(ORPHANED_S + 1)
    bench.server.say(4)
    bench.server.say(1)
    await bench.next(0)
    await asyncio.sleep(0)
    assert bench.deleted == [4]


async def test_a_device_that_leaves_takes_its_subscriptions(bench):
    assert bench.inboxes.release(bench.devices[0]) == [1]
    bench.server.say(1)
    bench.server.say(2)
    assert (await bench.next(1)).subscription == 2
    assert bench.devices[0].pop() is None


async def test_a_lost_connection_is_lost_for_all_who_wait(bench):
    waiting = [asyncio.create_task(bench.next(device)) for device in (0, 1)]
    await asyncio.sleep(0)
    bench.server.answers.append(NotConnected("gone"))
    for task in waiting:
        with pytest.raises(NotConnected, match="gone"):
            await task
