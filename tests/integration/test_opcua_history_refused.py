"""Servers that will not, or cannot, tell of the past: it is told in words, live values go on, and what can be had is had."""

import asyncio
import sys

import pytest
from asyncua import ua

from gateway.sources.opcua.source.history.backfill import REFUSED
from gateway.sources.opcua.status.explanation import explained
from gateway.sources.opcua.tools.history_check import NONE_KEPT
from tests.support.opcua_field import in_the_field
from tests.support.opcua_mangler import DROP, Mangler
from tests.support.opcua_server import AsyncuaServer

NODES = [f"ns=2;s=v{i}" for i in range(5)]
UNSUPPORTED, SERVICE_UNSUPPORTED, DENIED, TOO_MANY, INTERNAL = 0x80720000, 0x800B0000, 0x801F0000, 0x80100000, 0x80020000


async def a_gap(field, server, mangler):
    """Values 1 to 9 of every node while the connection is away, and 10 when it is back."""
    await field.until(lambda: all(field.values[i] for i in range(5)))
    mangler.cut()
    await field.until(lambda: bool(field.downs))
    await server.forget()
    for k in range(1, 11):
        for i in range(5):
            await server.write(i, float(k))
    await field.until(lambda: all(field.values[i][-1] == 10.0 for i in range(5)))


def told(field):
    return [event.payload() for event in field.events if event.kind == "history"]


def refusing(judge):
    """Refuses requests for history as `judge` says of the nodes they name."""

    def request(message):
        if not isinstance(message, ua.HistoryReadRequest):
            return None
        return judge([node.NodeId.Identifier for node in message.Parameters.NodesToRead])

    return request


@pytest.mark.parametrize("status", [UNSUPPORTED, SERVICE_UNSUPPORTED, DENIED, INTERNAL])
async def test_a_refusal_as_a_whole_is_told_once_in_words(port, status):
    async with AsyncuaServer(port, 5) as server, Mangler(port) as mangler:
        await server.historize(*range(5))
        mangler.request = refusing(lambda nodes: status)
        async with in_the_field(mangler.url, NODES, history=True, queue_size=100, interval="100ms") as field:
            await a_gap(field, server, mangler)
            await field.until(lambda: bool(told(field)))
            (detail,) = told(field)
            assert (detail["refused"], detail["samples"]) == (5, 0)
            await field.until(lambda: any(REFUSED in state.reason for state in field.states))
            assert field.source.stats()[0]["history_refused"] == 5
            await server.write(0, 11.0)
            await field.until(lambda: field.values[0][-1] == 11.0)
            assert len(field.downs) == 1, "it costs no connection"


async def test_a_node_that_breaks_each_call_costs_only_itself(port):
    async with AsyncuaServer(port, 5) as server, Mangler(port) as mangler:
        await server.historize(*range(5))
        mangler.request = refusing(lambda nodes: INTERNAL if "v2" in nodes else None)
        async with in_the_field(mangler.url, NODES, history=True, queue_size=100, interval="100ms") as field:
            await a_gap(field, server, mangler)
            await field.until(lambda: bool(told(field)))
            assert told(field)[0]["refused"] == 1
            for i in (0, 1, 3, 4):
                assert sorted(field.past[i]) == [float(k) for k in range(1, 10)]
            assert 2 not in field.past


async def test_too_many_nodes_in_a_call_are_split(port):
    async with AsyncuaServer(port, 5) as server, Mangler(port) as mangler:
        await server.historize(*range(5))
        mangler.request = refusing(lambda nodes: TOO_MANY if len(nodes) > 2 else None)
        async with in_the_field(mangler.url, NODES, history=True, queue_size=100, interval="100ms") as field:
            await a_gap(field, server, mangler)
            await field.until(lambda: bool(told(field)))
            assert "refused" not in told(field)[0]
            for i in range(5):
                assert sorted(field.past[i]) == [float(k) for k in range(1, 10)]


async def test_an_archive_that_does_not_answer_costs_no_connection(port):
    async with AsyncuaServer(port, 5) as server, Mangler(port) as mangler:
        await server.historize(*range(5))
        mangler.request = refusing(lambda nodes: DROP)
        device = {"history": True, "queue_size": 100, "interval": "100ms", "timeout": "1s"}
        async with in_the_field(mangler.url, NODES, **device) as field:
            await a_gap(field, server, mangler)
            before = len(field.downs)
            await field.until(lambda: bool(told(field)))
            assert "BadTimeout" in told(field)[0]["reason"]
            assert len(field.downs) == before


async def test_a_command_says_whose_history_cannot_be_read(port, tmp_path):
    """v0 is kept, v1 is kept and refused, v2 is not kept."""
    async with AsyncuaServer(port, 3) as server, Mangler(port) as mangler:
        await server.historize(0, 1)
        mangler.response = deny_second
        (tmp_path / "devices").mkdir()
        (tmp_path / "gateway.yaml").write_text("name: test\nmqtt: {url: mqtt://127.0.0.1}\n")
        tags = "".join(f"  - {{name: t{i}, node: ns=2;s=v{i}}}\n" for i in range(3))
        text = f"protocol: opcua\nurl: {mangler.url}\nsecurity: none\nhistory: true\ntags:\n{tags}"
        (tmp_path / "devices" / "plc.yaml").write_text(text)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "read", "plc", "--config", str(tmp_path),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, errors = await process.communicate()
        assert process.returncode == 0
        told = errors.decode()
        assert f"history of t1: {explained(DENIED)}" in told
        assert f"history of t2: {NONE_KEPT}" in told
        assert "t0" not in told


def deny_second(message):
    """The second node's history is refused in an answer to many."""
    if isinstance(message, ua.HistoryReadResponse):
        message.Results[1].StatusCode = ua.StatusCode(DENIED)
