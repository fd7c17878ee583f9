"""The primary host's states: stamps from ahead of the clock, hosts of Sparkplug 2.2, sizes."""

import asyncio

import orjson
import pytest

from gateway.layouts.sparkplug.host import PrimaryHost
from tests.support.clock import ManualClock, settle

TOPIC, LEGACY = "spBv1.0/STATE/scada", "STATE/scada"
MINUTE_MS = 60_000


class Bench:
    def __init__(self, *, takes_legacy: bool = False) -> None:
        self.clock = ManualClock()
        self.host = PrimaryHost("scada", self.clock, takes_legacy=takes_legacy)

    def say(self, online: bool, ahead_ms: int = 0) -> None:
        stamp = self.clock.now_ns() // 1_000_000 + ahead_ms
        self.host.received(TOPIC, orjson.dumps({"online": online, "timestamp": stamp}))


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("ahead_ms", [6 * MINUTE_MS, 10**12, 2**62])
def test_a_state_from_the_far_future_changes_nothing_and_is_counted(online: bool, ahead_ms: int) -> None:
    """Neither does it stop delivery nor begin it, and what the host itself says later holds."""
    bench = Bench()
    bench.say(not online)
    bench.say(online, ahead_ms)
    assert bench.host.online is (not online)
    assert bench.host.ignored == 1
    bench.say(online, 1)
    assert bench.host.online is online


def test_a_host_whose_clock_is_a_little_ahead_is_believed() -> None:
    bench = Bench()
    bench.say(True, 4 * MINUTE_MS)
    assert bench.host.online


async def test_a_state_that_was_ahead_of_a_wrong_clock_of_ours_counts_once_the_clock_is_right() -> None:
    """A machine without a battery starts in the past; the state is retained and comes only once."""
    bench = Bench()
    waiting = asyncio.ensure_future(bench.host.until(True))
    bench.say(True, 10**11)
    await settle()
    await bench.clock.advance(5)
    assert not waiting.done()
    bench.clock.jump(10**8)
    await bench.clock.advance(2)
    assert waiting.done()
    assert bench.host.online


async def test_a_change_is_seen_at_once_while_a_state_from_ahead_waits() -> None:
    bench = Bench()
    waiting = asyncio.ensure_future(bench.host.until(True))
    bench.say(False, 10**11)
    await settle()
    bench.say(True)
    await settle()
    assert waiting.done()


def test_a_state_larger_than_any_state_is_not_read() -> None:
    bench = Bench()
    bench.host.received(TOPIC, b'{"online": true, "timestamp": 1, "x": "' + bytes(100_000).replace(b"\0", b"x") + b'"}')
    bench.host.received(TOPIC, b"[" * 1_000)
    assert not bench.host.online


def test_a_host_of_sparkplug_2_2_is_recognised_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.host.received(LEGACY, b"ONLINE")
    assert not bench.host.online
    assert "Sparkplug 2.2" in caplog.text
    assert "legacy_state" in caplog.text


def test_a_host_of_sparkplug_2_2_is_believed_where_that_is_set() -> None:
    bench = Bench(takes_legacy=True)
    bench.host.received(LEGACY, b"ONLINE")
    assert bench.host.online
    bench.host.received(LEGACY, b"nonsense")
    assert bench.host.online
    bench.host.received(LEGACY, b"OFFLINE")
    assert not bench.host.online
