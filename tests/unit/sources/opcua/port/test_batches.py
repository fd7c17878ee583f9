"""Service calls split by what the server takes."""

import pytest

from gateway.sources.opcua.port.adaptive_timeout import BatchLimit
from gateway.sources.opcua.port.batches import Batches
from gateway.sources.opcua.port.errors import ServiceFault

TOO_MANY = 0x80100000
TOO_BUSY = 0x80EE0000


class Server:
    """Takes `limit` items per call and doubles them; a call that contains `poison` is refused."""

    def __init__(self, limit: int, poison: int = -1, fault: int = TOO_MANY) -> None:
        self.limit, self.poison, self.fault = limit, poison, fault
        self.calls: list[int] = []

    async def call(self, items):
        self.calls.append(len(items))
        if len(items) > self.limit:
            raise ServiceFault(self.fault)
        if self.poison in items:
            raise ServiceFault(TOO_BUSY)
        return [2 * item for item in items]


def refused(items, status):
    return [status] * len(items)


async def run(batches, server, count):
    return [r for results in await batches.run(range(count), server.call, refused) for r in results]


async def test_calls_are_split_and_results_keep_their_order():
    server = Server(10)
    assert await run(Batches(10), server, 25) == [2 * i for i in range(25)]
    assert server.calls == [10, 10, 5]


async def test_a_limit_that_was_not_stated_is_learnt_once():
    server, batches = Server(7), Batches(100)
    assert await run(batches, server, 40) == [2 * i for i in range(40)]
    first = len(server.calls)
    await run(batches, server, 40)
    assert batches.size == 5
    assert server.calls[first:] == [5] * 8


async def test_a_server_that_takes_one_item_is_served_one_by_one():
    assert await run(Batches(100), Server(1), 9) == [2 * i for i in range(9)]


async def test_too_much_even_for_one_item_costs_that_item():
    server = Server(0)
    assert await run(Batches(4), server, 3) == [TOO_MANY] * 3


async def test_another_fault_costs_its_own_call_alone():
    assert await run(Batches(2), Server(10, poison=3), 6) == [0, 2, TOO_BUSY, TOO_BUSY, 8, 10]


async def test_nothing_asked_nothing_called():
    server = Server(10)
    assert await run(Batches(10), server, 0) == []
    assert server.calls == []


@pytest.mark.parametrize("fault", [0x80080000, 0x80B80000, 0x80B90000, 0x80800000])
async def test_a_call_that_is_too_large_is_halved_and_later_calls_grow_again(fault):
    """Encoding limits, request, response and message too large: one large value must not make all calls small for ever."""
    server, batches = Server(100, fault=fault), Batches(64)
    server.limit = 4
    assert await run(batches, server, 20) == [2 * i for i in range(20)]
    assert batches.size == 4
    server.limit = 100
    assert await run(batches, server, 2000) == [2 * i for i in range(2000)]
    assert batches.size == 64
    assert max(server.calls) == 64


async def test_too_many_operations_are_too_many_for_ever():
    server, batches = Server(4), Batches(64)
    await run(batches, server, 2000)
    server.limit = 100
    await run(batches, server, 2000)
    assert batches.size == 4


async def test_a_slow_server_is_asked_for_less_at_once_and_a_quick_one_for_more():
    time_s, took_s = 0.0, 0.001
    server = Server(100)

    async def call(items):
        nonlocal time_s
        time_s += took_s * len(items)
        return await server.call(items)

    batches = Batches(40, BatchLimit(10, 0.055, lambda: time_s))
    results = await batches.run(range(100), call, refused)
    assert [one for some in results for one in some] == [2 * i for i in range(100)]
    assert server.calls == [10, 20, 40, 30]
    took_s = 0.01
    await batches.run(range(80), call, refused)
    assert server.calls[4:] == [40, 20, 10, 5, 5]


BAD_INTERNAL = 0x80020000


class Poisoned(Server):
    """Fails at every call with one of these, or at all calls while `ill`."""

    def __init__(self, *poison: int) -> None:
        super().__init__(1000)
        self.poisons = set(poison)
        self.ill = False

    async def call(self, items):
        self.calls.append(len(items))
        if self.ill or not self.poisons.isdisjoint(items):
            raise ServiceFault(BAD_INTERNAL)
        return [2 * item for item in items]


async def test_what_one_item_brings_down_costs_that_item_alone():
    server = Poisoned(3, 250, 499)
    expected = [BAD_INTERNAL if one in server.poisons else 2 * one for one in range(500)]
    assert await run(Batches(500), server, 500) == expected
    assert len(server.calls) <= 3 * 20 + 1


async def test_each_call_is_searched_by_itself_and_results_keep_their_order():
    server = Poisoned(0, 13)
    results = await run(Batches(10), server, 30)
    assert results == [BAD_INTERNAL if one in (0, 13) else 2 * one for one in range(30)]


async def test_a_server_that_fails_at_everything_is_searched_ever_less():
    server, batches = Poisoned(), Batches(100)
    server.ill = True
    for _ in range(200):
        assert await run(batches, server, 100) == [BAD_INTERNAL] * 100
    assert len(server.calls) < 200 + 8 * 25
    server.ill = False
    assert await run(batches, server, 100) == [2 * one for one in range(100)]


async def test_a_search_that_found_somebody_is_made_again_at_once():
    server, batches = Poisoned(7), Batches(100)
    for _ in range(3):
        results = await run(batches, server, 100)
        assert results.count(BAD_INTERNAL) == 1
