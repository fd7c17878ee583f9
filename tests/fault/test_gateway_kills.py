"""SIGKILL at random moments while windows flow and the broker comes and goes.

`GATEWAY_KILLS=200 pytest tests/fault/test_gateway_kills.py` is the whole run; by default as many kills as fit 90 seconds.
"""

import asyncio
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.audit.ledger import Ledger, Report
from gateway.outbox.database.inspect import inspection
from tests.support.line import Line, running_line
from tests.support.network import until

KILLS = int(os.environ.get("GATEWAY_KILLS", "24"))
BOUND_MS = 2500
"""Window and grace and commit interval, as the gateway says in `unclean_stop`."""


@dataclass(frozen=True, slots=True)
class Life:
    """One run of the gateway, wall times in ms: its start, its first poll, and its end."""

    started_ms: float
    polled_ms: float
    killed_ms: float


async def broker_comes_and_goes(line: Line, chance: random.Random, over: asyncio.Event) -> None:
    """Until it is over, and then the broker runs: cuts, half-open connections, refusals, restarts, quiet times between."""
    while not over.is_set():
        await asyncio.sleep(chance.uniform(0.5, 4))
        match chance.choice(("cut", "half-open", "refuse", "restart")):
            case "cut":
                line.proxy.cut()
            case "half-open":
                line.proxy.stall()
                await asyncio.sleep(chance.uniform(0.2, 4))
                line.proxy.cut()
                line.proxy.flow()
            case "refuse":
                line.proxy.refuse = True
                line.proxy.cut()
                await asyncio.sleep(chance.uniform(0.2, 3))
                line.proxy.refuse = False
            case "restart":
                await asyncio.to_thread(line.broker.stop)
                await asyncio.sleep(chance.uniform(0.2, 2))
                await line.broker.start()


async def one_life(line: Line, chance: random.Random, started_ms: float) -> Life:
    """From the first poll of the running gateway to its death."""
    asks = len(line.device.asks)
    try:  # a start takes half a minute where many others want the processor
        await until(lambda: len(line.device.asks) > asks, 120, "a poll")
    except AssertionError as error:
        assert line.gateway.process is not None
        raise AssertionError(f"{error}; exit code {line.gateway.process.poll()}; {line.gateway.log()[-3000:]}") from None
    polled_ms = time.time() * 1000
    await asyncio.sleep(chance.uniform(0, 4))
    await asyncio.to_thread(line.gateway.kill)
    return Life(started_ms, polled_ms, time.time() * 1000)


def proof(line: Line) -> Report:
    """What a subscriber can say of everything that it has got."""
    ledger = Ledger(from_start=True)
    for m in line.subscriber.of(""):
        if not m.topic.endswith("/status"):
            ledger.add(m.topic, m.payload, is_repeated=m.dup, is_kept=m.retain)
    return ledger.report()


async def many_lives(line: Line, chance: random.Random, count: int) -> list[Life]:
    """One after the other; at the end the gateway runs."""
    lives = [await one_life(line, chance, 0)]
    while len(lives) < count:
        await until(lambda: not line.device.open_connections, 10, "a poll that was on its way is not one of the next life")
        line.gateway.start()
        lives.append(await one_life(line, chance, lives[-1].killed_ms))
    line.gateway.start()
    return lives


def missing_ms(line: Line, lives: list[Life]) -> list[float]:
    """For each life how much of its end never came: from the end of its last window, or its first poll, to its death.

    The name of a boot begins with the time of its start, in hexadecimal ms."""
    ends: dict[str, int] = {}
    for m in line.windows():
        ends[m.payload["boot"]] = max(ends.get(m.payload["boot"], 0), m.payload["ts"] + m.payload["dur"])
    missing = []
    for life in lives:
        mine = [end for boot, end in ends.items() if life.started_ms < int(boot[:11], 16) < life.polled_ms]
        missing.append(life.killed_ms - max(mine, default=life.polled_ms))
    return missing


@pytest.mark.timeout(60 + 12 * KILLS)
async def test_kills_at_random_moments_cost_no_more_than_the_promise_and_are_reported(
    tmp_path: Path, mosquitto: str
) -> None:
    """Per kill the open window and one commit interval at most, no gap or repetition without a reason, nothing stuck."""
    chance = random.Random(20261121)
    async with running_line(tmp_path, mosquitto, proxied=True) as line:
        over = asyncio.Event()
        weather = asyncio.create_task(broker_comes_and_goes(line, chance, over))
        try:
            lives = await many_lives(line, chance, KILLS)
            assert not weather.done(), weather
        finally:
            over.set()  # to its end: a broker that is cancelled half way into its stop stops all the same
            await weather
        line.proxy.refuse = False
        line.proxy.flow()
        line.proxy.cut()
        if not line.broker.running:
            await line.broker.start()
        await line.more_windows(5, 60)
        with inspection(tmp_path / "outbox.db") as look:
            stuck = sum(count for count, _ in look.totals().values())
        report = proof(line)
        lost = missing_ms(line, lives)
        reported = {m.payload["previous"] for m in line.subscriber.of("/test/event") if m.payload["kind"] == "unclean_stop"}
        boots = list(dict.fromkeys(m.payload["boot"] for m in line.windows()))
        uncertain = sum(row.uncertain for row in report.rows)
        print(  # the figures of the whole run
            f"{KILLS} kills, {len(line.windows())} windows of {len(boots)} boots; missing per kill: median "
            f"{sorted(lost)[len(lost) // 2]:.0f} ms, most {max(lost):.0f} ms; reported {len(reported)}; "
            f"missing inside {sum(row.missing for row in report.rows)}, of these uncertain {uncertain}; "
            f"repeated {sum(row.duplicates for row in report.rows)}, without a reason "
            f"{sum(row.unexplained_duplicates for row in report.rows)}; waiting at the end {stuck}"
        )
        late = [(life, ms) for life, ms in zip(lives, lost, strict=True) if ms > BOUND_MS]
        assert not late, (
            late,
            [(m.payload["boot"], m.payload["ts"]) for m in line.windows()],
            line.gateway.log()[-200_000:],
        )
        assert report.complete, [row for row in report.rows if not row.complete]
        assert set(boots[:-1]) <= reported, "every boot that left windows and was killed is reported"
        assert stuck < 5
