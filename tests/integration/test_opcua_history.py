"""Gaps are filled from real servers' histories."""

import asyncio
import time

import numpy as np
import pytest
from asyncua import ua

from gateway.core.clock import SystemClock
from gateway.stages.windows import Windows
from tests.support.opcua_field import in_the_field
from tests.support.opcua_server import AsyncuaServer, NodeServer
from tests.support.outbox_parts import Rig
from tests.support.proxy import Proxy

NODES = [f"ns=2;s=v{i}" for i in range(3)]


async def test_a_gap_is_filled_from_asyncuas_history(port):
    async with AsyncuaServer(port, 3) as server, Proxy(port) as proxy:
        await server.historize(0, 1, most_at_once=4)
        async with in_the_field(f"opc.tcp://127.0.0.1:{proxy.port}", NODES, history=True, queue_size=50) as field:
            await write_live(field, server, 1, 6)
            proxy.refuse = True
            proxy.cut()
            await field.until(lambda: bool(field.downs))
            await server.forget()
            for k in range(6, 40):
                for i in range(3):
                    await server.write(i, float(k))
            proxy.refuse = False
            await field.until(lambda: field.values[0][-1] == 39.0)
            await write_live(field, server, 40, 45)
            await field.until(lambda: [event.kind for event in field.events] == ["history"])
            for i in (0, 1):
                assert sorted(field.values[i] + field.past[i]) == [float(k) for k in range(45)]
                assert field.past[i] == [float(k) for k in range(6, 39)]
            assert 2 not in field.past
            detail = field.events[0].payload()
            assert (detail["samples"], detail["nodes"], detail["without_history"], detail["truncated"]) == (66, 2, 1, 0)


async def write_live(field, server, begin, end):
    await field.until(lambda: all(field.values[i] for i in range(3)))
    for k in range(begin, end):
        for i in range(3):
            await server.write(i, float(k))
        await field.until(lambda k=k: all(field.values[i] and field.values[i][-1] == k for i in range(3)))


async def test_no_more_is_read_back_than_allowed(port):
    async with AsyncuaServer(port, 3) as server, Proxy(port) as proxy:
        await server.historize(0)
        url = f"opc.tcp://127.0.0.1:{proxy.port}"
        async with in_the_field(url, NODES, history=True, history_samples=5) as field:
            await write_live(field, server, 1, 3)
            proxy.refuse = True
            proxy.cut()
            await field.until(lambda: bool(field.downs))
            await server.forget()
            for k in range(3, 30):
                await server.write(0, float(k))
            proxy.refuse = False
            await field.until(lambda: bool(field.events))
            assert field.past[0] == [3.0, 4.0, 5.0, 6.0, 7.0]
            assert field.events[0].truncated == 1


async def test_a_gap_is_filled_from_a_foreign_servers_history(node, port, store):
    server = NodeServer(node, port, store, count=12, period=100, history=2000)
    names = [f"ns=1;s=v{i}" for i in range(12)]
    async with server, Proxy(port) as proxy:
        url = f"opc.tcp://127.0.0.1:{proxy.port}/test"
        async with in_the_field(url, names, history=True, queue_size=100, session_timeout="1s") as field:
            await field.until(lambda: len(field.values[11]) > 10)
            proxy.refuse = True
            proxy.cut()
            await field.until(lambda: len(field.downs) > 60)  # more than three seconds: the session has ended
            proxy.refuse = False
            await field.until(lambda: any(event.kind == "history" for event in field.events))
            for i in (0, 1, 2, 3, 5, 6):
                everything = sorted(field.values[i] + field.past[i])[2:]  # the first two: sampling has only begun
                assert field.past[i], f"v{i}"
                assert everything == [everything[0] + k for k in range(len(everything))], f"v{i}"


async def test_the_windows_of_the_gap_come_late_and_count_every_sample(port):
    """From the server to the windows: nothing is counted twice, nothing is missing but the value in force itself."""
    async with AsyncuaServer(port, 1) as server, Proxy(port) as proxy:
        await server.historize(0)
        url = f"opc.tcp://127.0.0.1:{proxy.port}"
        async with in_the_field(url, NODES[:1], history=True, queue_size=100) as field:
            now = time.time_ns
            windows = Windows(1, 50_000_000, 10_000_000, np.zeros(1, np.int64), now())
            blocks = []
            push = field.push
            field.push = lambda block: (windows.push(block, now()), blocks.extend(windows.close(now())), push(block))
            await field.until(lambda: bool(field.values[0]))
            for k in range(1, 6):
                await server.write(0, float(k))
                await field.until(lambda k=k: field.values[0][-1] == k)
            proxy.refuse = True
            proxy.cut()
            await field.until(lambda: bool(field.downs))
            await server.forget()
            for k in range(6, 60):
                await server.write(0, float(k))
            written = now()

            def are_closed(written=written) -> bool:
                blocks.extend(windows.close(now()))
                return any(block.start > written for block in blocks)

            await field.until(are_closed)  # what is too recent is not late at all
            proxy.refuse = False
            await field.until(lambda: bool(field.events))
            blocks += windows.flush(now())
        assert field.past[0] == [float(k) for k in range(6, 59)]
        assert sum(int(block.count.sum()) for block in blocks if block.late) >= 53
        assert sum(int(block.count.sum()) for block in blocks) in {58, 59, 60}, "0 and 59 may be values in force only"


async def test_what_overflowed_the_servers_queues_is_read_back(port):
    """The session is taken over, but its queues hold two values per node only."""
    async with AsyncuaServer(port, 3) as server, Proxy(port) as proxy:
        await server.historize(0)
        url = f"opc.tcp://127.0.0.1:{proxy.port}"
        async with in_the_field(url, NODES, history=True, queue_size=2, interval="1s", silence="5min") as field:
            await field.until(lambda: all(field.values[i] for i in range(3)))
            proxy.refuse = True
            proxy.cut()
            await field.until(lambda: bool(field.downs))
            for k in range(1, 30):
                await server.write(0, float(k))
            proxy.refuse = False
            await field.until(lambda: bool(told(field, "history")))
            assert sorted(field.past[0] + field.values[0]) == [float(k) for k in range(30)]
            assert len(server.server.iserver._external_sessions) == 1


async def test_what_was_on_its_way_does_not_end_the_gap(port):
    """What the server published into the void is had again, what overflowed its queues later is read back."""
    async with AsyncuaServer(port, 3) as server, Proxy(port) as proxy:
        await server.historize(0)
        url = f"opc.tcp://127.0.0.1:{proxy.port}"
        async with in_the_field(url, NODES, history=True, queue_size=2, interval="100ms", silence="5min") as field:
            await field.until(lambda: all(field.values[i] for i in range(3)))
            proxy.refuse = True
            proxy.cut()
            await field.until(lambda: bool(field.downs))
            for k in range(1, 60):
                await server.write(0, float(k))
                await asyncio.sleep(0.05)
            proxy.refuse = False
            await field.until(lambda: bool(told(field, "history")))
            assert sorted(field.past[0] + field.values[0]) == [float(k) for k in range(60)]


def told(field, kind):
    return [event for event in field.events if event.kind == kind]


@pytest.mark.parametrize("while_away", [False, True])
async def test_a_restart_of_the_gateway_is_a_gap_as_well(port, tmp_path, while_away):
    """Stopped in order, with the connection up or down: every value comes once, live or from history."""
    async with AsyncuaServer(port, 3) as server, Proxy(port) as proxy:
        await server.historize(0, 1)
        device = {"history": True, "queue_size": 100}
        url = f"opc.tcp://127.0.0.1:{proxy.port}"
        got = []
        for run in range(3):
            async with (
                Rig(tmp_path / "outbox.db", f"b{run}", SystemClock()) as rig,
                in_the_field(url, NODES, watermarks=rig.outbox.watermarks, **device) as field,
            ):
                await field.until(
                    lambda run=run: all(field.values[i] and field.values[i][-1] == 20.0 * run for i in range(3))
                )
                if run:
                    await field.until(lambda: bool(told(field, "history")))
                await write_live(field, server, 20 * run + 1, 20 * run + 10)
                if while_away:
                    proxy.refuse = True
                    proxy.cut()
                    await field.until(lambda: bool(field.downs))
                got.append(field)
            for k in range(20 * run + 10, 20 * run + 21):
                for i in range(3):
                    await server.write(i, float(k))
            proxy.refuse = False
        for run, field in enumerate(got[1:], 1):
            begin = 20 * run - 10
            assert field.past[0] == field.past[1] == [float(k) for k in range(begin, begin + 10)]
            assert field.values[0] == [float(k) for k in range(20 * run, 20 * run + 10)]
            assert 2 not in field.past
            assert "skipped_ms" not in told(field, "history")[0].payload()


async def test_texts_labels_and_parts_are_read_back(port):
    """asyncua's server ignores index ranges, live and in history: live values are refused, whole ones of the past cut."""
    async with AsyncuaServer(port, 0) as server, Proxy(port) as proxy:
        for i, value in enumerate(("one", [0.0, 0.0, 0.0], 1)):
            await server.add(f"v{i}", value)
        multi = server.server.get_node("ns=2;s=v2")
        await multi.add_property(
            ua.NodeId("strings", 2), ua.QualifiedName("EnumStrings"), [ua.LocalizedText(t) for t in "abcde"]
        )
        await server.historize(0, 1, 2)
        nodes = ["ns=2;s=v0", {"node": "ns=2;s=v1", "index": "1:2"}, "ns=2;s=v2", {"node": "ns=2;s=v1", "element": 1}]
        async with in_the_field(f"opc.tcp://127.0.0.1:{proxy.port}", nodes, history=True) as field:
            await field.until(lambda: bool(field.texts[0] and field.texts[2] and field.values[3]))
            proxy.refuse = True
            proxy.cut()
            await field.until(lambda: bool(field.downs))
            await server.forget()
            for k, word in enumerate(("two", "three", "three", "four", "five")):
                await write(server, word, [k, k + 0.5, k + 1.0], k % 5)
            proxy.refuse = False
            await field.until(lambda: bool(told(field, "history")) and field.texts[0][-1] == "five")
            assert field.past_texts[0] == ["two", "three", "four"]
            assert field.past_texts[2] == ["a", "b", "c", "d"]
            assert field.past[3] == [0.5, 1.5, 2.5, 3.5]
            assert field.past_texts[1] == [[k + 0.5, k + 1.0] for k in range(4)]
            assert not field.texts[1]


async def write(server, word, array, number):
    await server.write(0, word)
    await server.write(1, [float(one) for one in array])
    await server.write(2, number)


async def test_parts_of_arrays_are_read_back_from_a_foreign_server(node, port, store):
    server = NodeServer(node, port, store, count=1, period=0, history=2000)
    nodes = [{"node": "ns=1;s=array", "index": "1:2"}, "ns=1;s=text", {"node": "ns=1;s=array", "index": 0}]
    async with server, Proxy(port) as proxy:
        url = f"opc.tcp://127.0.0.1:{proxy.port}/test"
        async with in_the_field(url, nodes, history=True, session_timeout="1s") as field:
            await field.until(lambda: bool(field.texts[0] and field.texts[1] and field.values[2]))
            proxy.refuse = True
            proxy.cut()
            await field.until(lambda: bool(field.downs))
            for k in range(1, 6):
                server.command(set="array", value=[10 * k, 10 * k + 1, 10 * k + 2])
                server.command(set="text", value=f"step {k}", type="String")
                await asyncio.sleep(0.05)
            await field.until(lambda: len(field.downs) > 60)  # more than three seconds: the session has ended
            proxy.refuse = False
            await field.until(lambda: bool(told(field, "history")))
            assert field.past_texts[0] == [[10.0 * k + 1, 10.0 * k + 2] for k in range(1, 5)]
            assert field.past_texts[1] == [f"step {k}" for k in range(1, 5)]
            assert field.past[2] == [10.0 * k for k in range(1, 5)]
