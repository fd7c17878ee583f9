"""Outboxes of several sinks: what happens to the file of one costs the others nothing, and each has its own account."""

import asyncio
import os
import random
from pathlib import Path

from gateway.core.events.delivery import OutboxStateChanged, SinkListChanged
from gateway.core.messages import Lane, Message
from gateway.outbox.records import Change
from gateway.outbox.sink_files import SinkFiles, SinkName, index_file, read_files, write_files
from tests.support.network import until
from tests.support.outbox_parts import Rig, message
from tests.support.outbox_set import SetRig
from tests.support.sqlite_disk import OK
from tests.support.sqlite_disk import disk as sqlite_disk

ABC = ("a", "b", "dead")
CUTS = int(os.environ.get("GATEWAY_SINK_CUTS", "30"))
Name = tuple[str, str, int]


def seqs(messages: list[Message]) -> list[int]:
    return [m.seq for m in messages if m.topic != "g/event"]


async def test_what_a_live_sink_confirms_in_time_is_never_written_for_it(tmp_path: Path) -> None:
    async with SetRig(tmp_path / "o.db", ABC) as rig:
        for name in ("a", "b"):
            rig.of[name].set_live(True)
        for seq in range(1, 51):
            rig.outbox.put(message(seq))
            for name in ("a", "b"):
                assert seqs(await rig.drain(name)) == [seq]
            await rig.advance(0.1)
        await rig.commit()
        assert rig.rows("dead") == 50
        assert rig.of["a"]._writer.store.commits == rig.of["b"]._writer.store.commits == 0
        assert rig.outbox.stats.messages == 50
        assert seqs(await rig.drain("dead")) == list(range(1, 51))


async def test_a_sink_gets_the_streams_of_its_choice(tmp_path: Path) -> None:
    async with SetRig(tmp_path / "o.db", ("a", "b"), streams={"b": frozenset({"events", "summaries"})}) as rig:
        for lane in Lane:
            rig.outbox.put(message(1, lane))
        assert {m.lane for m in await rig.drain("a")} == set(Lane)
        assert {m.lane for m in await rig.drain("b")} == {Lane.EVENT, Lane.SUMMARY}


async def test_above_the_ceiling_of_a_dead_sink_the_loss_is_its_own(tmp_path: Path) -> None:
    async with SetRig(tmp_path / "o.db", ABC, max_bytes="16MiB") as rig:
        for name in ("a", "b"):
            rig.of[name].set_live(True)
        for seq in range(1, 13_001):
            rig.outbox.put(message(seq, size=1000))
            if seq % 1000 == 0:
                for name in ("a", "b"):
                    assert len(await rig.drain(name)) == 1000
                await rig.commit()
        rig.of["dead"].set_live(True)
        await rig.commit()
        arrived = seqs(await rig.drain("dead"))
        (loss,) = rig.losses["dead"].encoded
        assert (loss.cause, loss.first_seq) == ("max_bytes", 1)
        assert arrived == list(range(loss.last_seq + 1, 13_001))
        assert rig.losses["a"].encoded == rig.losses["b"].encoded == []
        assert [rig.outbox.of_sinks()[name].lost for name in ABC] == [0, 0, loss.count]


async def test_a_full_disk_under_one_file_leaves_the_others_alone(tmp_path: Path) -> None:
    async with SetRig(tmp_path / "o.db", ABC) as rig:
        store = rig.of["dead"]._writer.store
        await rig.commit()
        await store._rows("PRAGMA query_only = ON")
        for seq in range(1, 101):
            rig.outbox.put(message(seq))
        await rig.commit()
        assert [event.state for event in rig.events if isinstance(event, OutboxStateChanged)] == ["refused"]
        assert rig.rows("a") == rig.rows("b") == 100
        assert rig.rows("dead") == 0
        assert rig.outbox.stats.refused.startswith("dead: ")
        await store._rows("PRAGMA query_only = OFF")
        await rig.commit()
        assert rig.outbox.stats.refused == ""
        for name in ABC:
            assert seqs(await rig.drain(name)) == list(range(1, 101))


async def test_a_damaged_file_costs_its_own_sink_what_it_had(tmp_path: Path) -> None:
    async with SetRig(tmp_path / "o.db", ABC, "b0") as rig:
        for seq in range(1, 1001):
            rig.outbox.put(message(seq, boot="b0", size=1000))
    with rig.files.paths["b"].open("r+b") as file:
        file.seek(rig.files.paths["b"].stat().st_size // 8192 * 4096)
        file.write(random.Random(1).randbytes(50_000))
    async with SetRig(tmp_path / "o.db", ABC, "b1") as rig:
        for name in ABC:
            rig.of[name].set_live(True)
        await rig.commit()
        for name in ("a", "dead"):
            assert seqs(await rig.drain(name)) == list(range(1, 1001))
            assert not rig.losses[name].encoded
        arrived: list[int] = []
        for _ in range(5):  # what can be read is copied, then the loss of the rest is declared
            arrived += seqs(await rig.drain("b"))
            await rig.commit()
        lost = sum(loss.count for loss in rig.losses["b"].encoded)
        assert 0 < lost < 1000
        assert len(set(arrived)) == len(arrived) == 1000 - lost


class Committed:
    """What must be in a file: `before` the transaction that is being written, or `after` it."""

    def __init__(self, rig: SetRig, name: str) -> None:
        self.before: dict[int, Name] = {}
        self.after: dict[int, Name] = {}
        store = rig.of[name]._writer.store
        self._commit = store.commit
        store.commit = self.commit  # type: ignore[method-assign]

    async def commit(self, change: Change) -> None:
        after = dict(self.before)
        for gone in change.deletes:
            after.pop(gone.id)
        for entry in change.inserts:
            after[entry.id] = (entry.message.boot, entry.message.topic, entry.message.seq)
        self.after = after
        await self._commit(change)
        self.before = after


async def test_after_power_cuts_each_file_has_all_that_was_committed_for_its_sink(tmp_path: Path) -> None:
    chance = random.Random(16)
    taken: list[tuple[Path, dict[str, tuple[set[Name], set[Name]]]]] = []
    with sqlite_disk() as under:
        async with SetRig(tmp_path / "o.db", ABC) as rig:
            committed = {name: Committed(rig, name) for name in ABC}
            share = 0.0

            def at(operation: str) -> int:
                if chance.random() < share and len(taken) < CUTS:
                    folder = tmp_path / f"cut{len(taken)}"
                    known = {n: (set(one.before.values()), set(one.after.values())) for n, one in committed.items()}
                    under.power_cut(folder, chance)
                    later = {n: set(one.after.values()) for n, one in committed.items()}
                    taken.append((folder, {n: (before, after | later[n]) for n, (before, after) in known.items()}))
                return OK

            under.before = at
            seq = 0
            while len(taken) < CUTS:
                for name in ("a", "b"):
                    rig.of[name].set_live(chance.random() < 0.7)
                for _ in range(chance.randrange(1, 30)):
                    seq += 1
                    rig.outbox.put(message(seq, chance.choice(list(Lane)), size=chance.randrange(60, 3000)))
                for name in ("a", "b"):
                    if rig.of[name]._writer.live and rig.of[name].stats.messages:
                        for delivery in await rig.of[name].fetch(40):
                            rig.of[name].ack(delivery)
                share = 0.05
                await rig.commit()
    for folder, known in taken:
        for name, (before, after) in known.items():
            async with Rig(folder / rig.files.paths[name].name, "later") as one:
                found = {(m.boot, m.topic, m.seq) for m in await one.drain()}
                assert found in (before, after), name
                assert one.events == []


async def test_a_removed_sink_gives_its_files_free_once_the_record_is_safe(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    async with SetRig(path, ABC, "b0") as rig:
        for seq in range(1, 31):
            rig.outbox.put(message(seq, boot="b0"))
    async with SetRig(path, ("b",), "b1") as rig:
        rig.of["b"].set_live(True)

        def is_done() -> bool:
            return {"a", "dead"}.isdisjoint(_names(path))

        for _ in range(60):
            if is_done():
                break
            await rig.advance(0.5)
            await asyncio.sleep(0.01)
        await until(is_done, 10, lambda: f"{rig.events}")
        removed = {e.sink: e.messages for e in rig.events if isinstance(e, SinkListChanged) and e.state == "removed"}
        assert removed == {"a": 30, "dead": 30}
        assert seqs(await rig.drain("b")) == list(range(1, 31))
        assert rig.first.stats.messages == 0
    assert not list(tmp_path.glob("o@dead.db*"))
    async with SetRig(path, ("b", "new"), "b2") as rig:
        assert rig.files.paths["new"] == path, "the first file is nobody's, and free"


def _names(path: Path) -> set[str]:
    text = index_file(path).read_text()
    return {name for name in ("a", "b", "dead") if f'"{name}"' in text}


async def test_a_new_sink_begins_with_the_backlog_of_another_or_without(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    async with SetRig(path, ("a",), "b0") as rig:
        for seq in range(1, 41):
            rig.outbox.put(message(seq, Lane.EVENT if seq % 4 == 0 else Lane.WINDOW, boot="b0"))
    sinks = (SinkName("now", was="a"), SinkName("all", begins_with_backlog=True), SinkName("late"))
    async with SetRig(path, sinks, "b1", streams={"all": frozenset({"events"})}) as rig:
        await rig.commit()
        changes = {e.sink: (e.state, e.messages) for e in rig.events if isinstance(e, SinkListChanged)}
        assert changes["all"] == ("added", 10)
        assert changes["late"] == ("added", 0)
        assert changes["now"][0] == "renamed"
        assert sorted(seqs(await rig.drain("now"))) == list(range(1, 41))
        assert seqs(await rig.drain("all")) == list(range(4, 41, 4))
        assert seqs(await rig.drain("late")) == []


async def test_an_earlier_run_that_crashed_is_reported_once(tmp_path: Path) -> None:
    async with SetRig(tmp_path / "o.db", ABC, "b0") as rig:
        await rig.commit()
        await rig._stop()
        for outbox in rig.of.values():
            await outbox.close(clean=False)
    async with SetRig(tmp_path / "o.db", ABC, "b1") as rig:
        assert [run.boot for run in rig.unclean] == ["b0"]


async def test_watermarks_stay_in_the_first_file_whoever_has_it(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    async with SetRig(path, ("a", "b"), "b0") as rig:
        rig.outbox.watermarks.put("press", b"17")
        await rig.advance(3.0)
        assert rig.outbox.watermarks.is_durable("press")
    async with SetRig(path, ("b",), "b1") as rig:
        found = rig.outbox.watermarks.load("press")
        assert found is not None
        assert (found.value, found.is_certain) == (b"17", True)
    async with SetRig(path, ("b", "c"), "b2") as rig:
        found = rig.outbox.watermarks.load("press")
        assert found is not None
        assert (found.value, found.is_certain) == (b"17", True)


async def test_a_copy_that_was_cut_short_begins_again(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    async with SetRig(path, ("a",), "b0") as rig:
        for seq in range(1, 41):
            rig.outbox.put(message(seq, boot="b0"))
    async with Rig(tmp_path / "o@n.db", "b0") as half:
        for seq in range(1, 6):
            half.outbox.put(message(seq, boot="b0"))
    write_files(path, SinkFiles({"a": "o.db", "n": "o@n.db"}, frozenset({"n"})))
    async with SetRig(path, ("a", SinkName("n", begins_with_backlog=True)), "b1") as rig:
        assert seqs(await rig.drain("n")) == list(range(1, 41))
        assert not read_files(path, "mqtt").filling
