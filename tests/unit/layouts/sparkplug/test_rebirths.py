"""Requests for births: the first ones are granted at once, a storm of them is damped, none is forgotten."""

import asyncio

import pytest

from gateway.layouts.sparkplug.rebirths import RebirthRequests
from gateway.layouts.sparkplug.wire import DataType, is_commanded, new_payload
from tests.support.clock import ManualClock, settle


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.births: list[float] = []
        self.requests = RebirthRequests(self.clock, self.send)

    def send(self) -> None:
        """The publisher, woken."""
        if self.requests.is_due:
            self.births.append(self.clock.monotonic())
            self.requests.sent()


async def test_a_storm_of_requests_leads_to_few_births_and_the_last_request_is_granted() -> None:
    bench = Bench()
    begin = bench.clock.monotonic()
    waking = asyncio.ensure_future(bench.requests.wake_when_due())
    for _ in range(60):
        for _ in range(200):
            bench.requests.add()
        await bench.clock.advance(1)
    last = bench.clock.monotonic()
    await bench.clock.advance(20)
    assert len(bench.births) <= 3 + 60 / 10 + 1
    assert bench.births[:3] == [begin] * 3, "the first ones at once"
    assert bench.births[-1] >= last - 1, "after the last request"
    assert bench.requests.merged > 11_000
    waking.cancel()


async def test_a_request_now_and_then_is_granted_at_once() -> None:
    bench = Bench()
    for n in range(1, 10):
        bench.requests.add()
        await settle()
        assert len(bench.births) == n
        await bench.clock.advance(11)


def command(name: str = "Node Control/Rebirth", value: bool = True, *, before: int = 0) -> bytes:
    payload = new_payload(timestamp=1)
    for _ in range(before):
        payload.metrics.add(name="other", datatype=DataType.BOOLEAN, boolean_value=True)
    payload.metrics.add(name=name, datatype=DataType.BOOLEAN, boolean_value=value)
    return payload.SerializeToString()


def test_a_command_is_found_among_the_first_metrics_only() -> None:
    assert is_commanded(command(), "Node Control/Rebirth")
    assert is_commanded(command(before=99), "Node Control/Rebirth")
    assert not is_commanded(command(before=100), "Node Control/Rebirth")
    assert not is_commanded(command(value=False), "Node Control/Rebirth")
    assert not is_commanded(command("Node Control/Reboot"), "Node Control/Rebirth")


@pytest.mark.parametrize("payload", [b"\x12\x00" * 400_000, b"\xff", b"\x12\x05\x0a"])
def test_what_is_too_large_or_no_payload_is_no_command(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"64|not a Sparkplug payload|command of"):
        is_commanded(payload, "Node Control/Rebirth")
