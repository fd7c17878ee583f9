"""While the disk takes nothing, what is at stake is told: at once, with the next start, and by a stop that loses."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.audit.ledger import Ledger, Row
from tests.support.line import QUEUES, Line, running_line
from tests.support.network import until


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program has the database, as a backup or a person with a shell would."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA busy_timeout = 5000")
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


def ledger_of(line: Line) -> Ledger:
    ledger = Ledger(from_start=True)
    for m in line.subscriber.messages:
        if not m.retain and m.topic.endswith(("/window", "/summary", "/event")):
            ledger.add(m.topic, m.payload)
    return ledger


async def polls(line: Line, seconds: float) -> None:
    asks = len(line.device.asks)
    await until(lambda: len(line.device.asks) > asks + 5 * seconds, 30 + seconds, f"{seconds} s of polls")


async def events(line: Line, kind: str, count: int = 1) -> list[dict]:
    def found() -> list[dict]:
        return [m.payload for m in line.subscriber.of("/test/event") if m.payload["kind"] == kind]

    await until(lambda: len(found()) >= count, 20, f"{count} events {kind}; log: {line.gateway.log()[-1500:]}")
    return found()


async def test_a_refusing_disk_is_told_at_once_and_a_crash_with_what_it_cost(tmp_path: Path, mosquitto: str) -> None:
    async with running_line(tmp_path, mosquitto) as line:
        await line.more_windows(2)
        boot = line.windows()[0].payload["boot"]
        with locked(tmp_path / "outbox.db"):
            line.broker.pause()  # nothing is acknowledged, so all of it has to be written
            await until(lambda: "state=refused" in line.gateway.log(), 20, "the refusal is known")
            line.broker.resume()
            await until(lambda: line.subscriber.of("/status")[-1].payload.get("outbox"), 10, "the status says so")
            status = line.subscriber.of("/status")[-1].payload["outbox"]
            refused = next(e for e in await events(line, "outbox") if e["state"] == "refused")
            assert status == {"refused": refused["reason"], "memory_since": refused["since"]}
            assert abs(refused["since"] - time.time() * 1000) < 30_000
            line.broker.stop()
            began = time.monotonic()
            await polls(line, 5)
            lost_s = time.monotonic() - began
            line.gateway.kill()
        await line.broker.start(QUEUES)
        line.gateway.start()
        await line.more_windows(3)
        (unclean,) = await events(line, "unclean_stop")
        assert unclean["previous"] == boot
        assert unclean["bound_ms"] >= lost_s * 1000, "as much as was in memory only"
        assert not [row for row in ledger_of(line).report().rows if row.missing > row.explained + row.uncertain]
        await until(lambda: not line.subscriber.of("/status")[-1].payload.get("outbox"), 10, "the status is as usual")


async def test_a_stop_that_loses_messages_declares_them_with_the_next_start(tmp_path: Path, mosquitto: str) -> None:
    async with running_line(tmp_path, mosquitto) as line:
        await line.more_windows(2)
        boot = line.windows()[0].payload["boot"]
        with locked(tmp_path / "outbox.db"):
            line.broker.stop()
            await polls(line, 4)
            assert await asyncio.to_thread(line.gateway.terminate) == 3
        await line.broker.start(QUEUES)
        line.gateway.start()
        await line.more_windows(3)

        def lost() -> int:
            return sum(e["count"] for e in declared() if e["topic"].endswith("/press/window"))

        def declared() -> list[dict]:
            found = (m.payload for m in line.subscriber.of("/test/event"))
            found = [*found, *(m.payload for m in line.subscriber.of("/press/event"))]
            return [e for e in found if e["kind"] == "loss" and e["of_boot"] == boot]

        await until(lambda: lost() >= 3, 20, f"records of the windows lost: {declared()}")
        losses = declared()
        assert {e["cause"] for e in losses} == {"memory"}
        assert all("lost with a stop" in e["detail"] for e in losses)

        def unexplained() -> list[Row]:  # records come one by one, and each topic has its own
            return [row for row in ledger_of(line).report().rows if row.missing > row.explained]

        await until(lambda: not unexplained(), 10, "a record for everything that was lost")
        assert await asyncio.to_thread(line.gateway.terminate) == 0
        before = len(losses)
        line.gateway.start()
        await line.more_windows(2)
        assert len(declared()) == before, "declared once"


@pytest.mark.parametrize("end", ["kill", "terminate"])
async def test_a_crash_is_told_though_the_next_start_cannot_read_the_outbox(
    tmp_path: Path, mosquitto: str, end: str
) -> None:
    """Whatever becomes of the run in between: it says nothing, and marks nothing as known."""
    async with running_line(tmp_path, mosquitto) as line:
        await line.more_windows(2)
        first = line.windows()[0].payload["boot"]
        line.gateway.kill()
        with locked(tmp_path / "outbox.db"):
            line.gateway.start()
            await line.more_windows(2)
            second = line.windows()[-1].payload["boot"]
            assert second != first
            await asyncio.to_thread(getattr(line.gateway, end))
        line.gateway.start()
        told = {e["previous"] for e in await events(line, "unclean_stop", 2 if end == "kill" else 1)}
        assert told == {first, second} if end == "kill" else {first}
        await line.more_windows(2)
        assert await asyncio.to_thread(line.gateway.terminate) == 0
        count = len(await events(line, "unclean_stop"))
        line.gateway.start()
        await line.more_windows(2)
        assert len(await events(line, "unclean_stop")) == count, "told once"


async def test_a_crash_is_told_as_soon_as_the_outbox_can_be_read(tmp_path: Path, mosquitto: str) -> None:
    async with running_line(tmp_path, mosquitto) as line:
        await line.more_windows(2)
        first = line.windows()[0].payload["boot"]
        line.gateway.kill()
        with locked(tmp_path / "outbox.db"):
            line.gateway.start()
            await line.more_windows(2)
            assert not [m for m in line.subscriber.of("/test/event") if m.payload["kind"] == "unclean_stop"]
        (unclean,) = await events(line, "unclean_stop")
        assert (unclean["previous"], unclean["boot"]) == (first, line.windows()[-1].payload["boot"])
