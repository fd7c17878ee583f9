"""Several sinks in one gateway, of which some are dead: none delays another, none costs another a message."""

import asyncio
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from tests.support.network import until
from tests.support.two_brokers import Plant, running_plant

TWO = """
sinks:
  - {{name: a, kind: mqtt, url: "{a}", timeout: 30s}}
  - {{name: b, kind: mqtt, url: "{b}", timeout: 2s}}
"""
THREE = (
    TWO
    + """  - {{name: c, kind: mqtt, url: "mqtt://127.0.0.1:1", streams: [events, summaries]}}
"""
)
KILLS = int(os.environ.get("GATEWAY_SINK_KILLS", "3"))
FILE_OF_B = "outbox@b.db"


def rows(path: Path) -> int:
    """How many messages a file has."""
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return db.execute("SELECT sum(messages) FROM total").fetchone()[0]
    return 0  # there is none, or it is being made


def is_whole(plant: Plant, *names: str) -> None:
    """Every subscriber can prove that it has everything, and that nothing was lost for it."""
    for name in names:
        report = plant.proof(name)
        assert report.complete, (name, report)
        assert not report.losses, (name, report.losses)


async def test_a_dead_sink_gets_all_when_it_comes_and_the_other_has_everything_at_once(tmp_path, mosquitto):
    async with running_plant(tmp_path, mosquitto, TWO) as plant:
        await plant.start("a")
        await plant.more("a", 3)
        await until(lambda: rows(tmp_path / FILE_OF_B) > 3, 20, plant.gateway.log)
        assert all(not m.payload["hist"] for m in plant.got("a", "/press/window")[1:]), "b is no reason to be late"
        await plant.start("b")
        await plant.in_step("b", "a")
        await until(lambda: any(not m.payload["hist"] for m in plant.got("b", "/press/window")), 20, plant.gateway.log)
        await until(lambda: not rows(tmp_path / FILE_OF_B), 30, plant.gateway.log)
        assert await asyncio.to_thread(plant.gateway.terminate) == 0
        await plant.in_step("a", "b")
        is_whole(plant, "a", "b")
        await until(lambda: {m.topic for m in plant.got("a")} == {m.topic for m in plant.got("b")}, 20, "the same topics")
        assert not rows(tmp_path / FILE_OF_B)
        last = plant.subscribers["b"].of("/status")[-1].payload
        assert last["state"] == "offline"
        states = [m.payload["sinks"] for m in plant.subscribers["a"].of("/status") if "sinks" in m.payload]
        assert {"a": {"state": "connected"}, "b": {"state": "away"}} in states
        assert {"a": {"state": "connected"}, "b": {"state": "connected"}} in states


async def test_kills_with_three_sinks_of_which_one_is_dead_cost_no_committed_message(tmp_path, mosquitto):
    async with running_plant(tmp_path, mosquitto, THREE) as plant:
        await plant.start("a")
        await plant.start("b")
        for turn in range(KILLS):
            await plant.more("a", 2)
            await plant.more("b", 1)
            if turn % 3 == 1:
                plant.brokers["b"].kill()
                await plant.more("a", 2)
            await asyncio.to_thread(plant.gateway.kill)
            if turn % 3 == 1:
                await plant.brokers["b"].start()
            plant.gateway.start()
        await plant.more("a", 2)
        await plant.more("b", 2)
        for name in ("a", "b"):
            await until(lambda n=name: plant.proof(n).sound, 30, lambda n=name: f"{n} {plant.proof(n)}")
        assert await asyncio.to_thread(plant.gateway.terminate) == 0

        def stops() -> list[dict[str, object]]:
            return [m.payload for m in plant.got("b", "test/event") if m.payload["kind"] == "unclean_stop"]

        await until(lambda: len({m["previous"] for m in stops()}) == KILLS, 30, lambda: f"{stops()}")
        events = stops()
        assert len({(m["boot"], m["previous"]) for m in events}) == len(
            {(m["boot"], m["previous"], m["seq"]) for m in events}
        ), "each run says it once, whatever the number of files that know it"


async def test_a_broker_that_answers_nothing_makes_no_message_late_at_the_other(tmp_path, mosquitto):
    async with running_plant(tmp_path, mosquitto, TWO) as plant:
        await plant.start("a")
        await plant.start("b")
        await plant.more("b", 1)
        plant.brokers["b"].pause()
        before = len(plant.got("a", "/press/window"))
        await plant.more("a", 4)
        assert not any(m.payload["hist"] for m in plant.got("a", "/press/window")[before:])
        plant.brokers["b"].resume()
        await plant.in_step("b", "a")
        await until(lambda: not rows(tmp_path / FILE_OF_B), 30, plant.gateway.log)
        assert await asyncio.to_thread(plant.gateway.terminate) == 0
        await plant.in_step("a", "b")
        is_whole(plant, "a", "b")


async def test_what_one_broker_refuses_is_declared_lost_for_its_sink_only(tmp_path, mosquitto):
    (tmp_path / "acl").write_text("topic readwrite #\ntopic deny plant/v1/test/press/window\n")
    async with running_plant(tmp_path, mosquitto, TWO) as plant:
        await plant.start("a")
        await plant.start("b", f"acl_file {tmp_path / 'acl'}")
        await until(lambda: plant.got("b", "sink-b/event"), 40, plant.gateway.log)
        await plant.more("a", 2)
        assert await asyncio.to_thread(plant.gateway.terminate) == 0
        record = plant.got("b", "sink-b/event")[0].payload
        assert record["kind"] == "loss"
        assert record["sink"] == "b"
        assert record["cause"] == "refused"
        assert record["topic"] == "plant/v1/test/press/window"
        assert not plant.got("a", "sink-b/event")
        assert not plant.got("b", "/press/window")
        is_whole(plant, "a")
        assert plant.proof("b").complete


async def test_sinks_come_go_and_change_their_names(tmp_path, mosquitto):
    one = 'mqtt: {{url: "{b}", timeout: 2s}}'
    async with running_plant(tmp_path, mosquitto, one) as plant:
        await until(lambda: rows(tmp_path / "outbox.db") > 2, 40, plant.gateway.log)
        assert await asyncio.to_thread(plant.gateway.terminate) == 0
        waiting = rows(tmp_path / "outbox.db")
        plant.configure("""
sinks:
  - {{name: a, kind: mqtt, url: "{a}", begin: backlog}}
  - {{name: b, kind: mqtt, url: "{b}", was: mqtt}}
""")
        await plant.start("a")
        plant.gateway.start()
        await plant.more("a", waiting, "")

        def changed() -> dict[str, dict[str, object]]:
            return {m.payload["state"]: m.payload for m in plant.got("a", "test/event") if m.payload["kind"] == "sink"}

        await until(lambda: {"added", "renamed"} <= changed().keys(), 30, plant.gateway.log)
        changes = changed()
        assert changes["renamed"]["sink"] == "b"
        assert changes["renamed"]["was"] == "mqtt"
        assert changes["added"]["sink"] == "a"
        assert changes["added"]["messages"] == waiting
        await until(lambda: not rows(tmp_path / "outbox@a.db"), 30, plant.gateway.log)
        assert await asyncio.to_thread(plant.gateway.terminate) == 0
        is_whole(plant, "a")
        left = rows(tmp_path / "outbox.db")
        assert left > waiting, "b has the file that mqtt had"
        plant.configure('sinks: [{{name: a, kind: mqtt, url: "{a}"}}]')
        plant.gateway.start()
        await until(lambda: '"b"' not in (tmp_path / "outbox.db.sinks").read_text(), 40, plant.gateway.log)
        await until(
            lambda: any(m.payload.get("state") == "removed" for m in plant.got("a", "test/event")), 20, plant.gateway.log
        )
        removed = next(m.payload for m in plant.got("a", "test/event") if m.payload.get("state") == "removed")
        assert removed["sink"] == "b"
        assert removed["messages"] == left
        assert await asyncio.to_thread(plant.gateway.terminate) == 0
        assert not rows(tmp_path / "outbox.db")
        is_whole(plant, "a")
