"""Sparkplug payloads between the gateway and Eclipse Tahu's own library: each reads what the other writes."""

import base64
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.core.events.gateway import Stall
from gateway.layouts.sparkplug.wire import read_payload
from tests.conftest import NODE
from tests.support.absent import NODE_PACKAGES, absent
from tests.support.blocks import SECOND, T0
from tests.unit.encoding.test_encoder import MS, block_of
from tests.unit.layouts.sparkplug.test_layout import Bench, rebirth

TYPES = {3: "Int32", 4: "Int64", 8: "UInt64", 9: "Float", 10: "Double", 11: "Boolean", 12: "String"}


@pytest.fixture(scope="module")
def tahu() -> Path:
    """The folder of the script, where its library can be found. Absent: skipped at home, an error in CI."""
    found = (
        shutil.which("node")
        and not subprocess.run(
            ["node", "-e", "require.resolve('sparkplug-payload')"], cwd=NODE, capture_output=True, check=False
        ).returncode
    )
    if not found:
        absent(NODE_PACKAGES)
    return NODE


def through(folder: Path, lines: Sequence[str]) -> list[str]:
    done = subprocess.run(
        ["node", "sparkplug.js"],
        cwd=folder,
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()


def payloads() -> list[bytes]:
    """Births, data of every type, events, deaths."""
    bench = Bench(summaries=True, statistics=True)
    node = bench.node
    packets = [node.will(), *node.births(2**28)]
    packets += node.packets(bench.window([0, 1, 2], last=[61.5, 0.1, 1.0]), hist=True, most_bytes=2**28)
    for value in ("Öl", 2**64 - 1, -(2**60), {"a": [1.5, None]}):
        packets += node.packets(bench.value(3, value), hist=False, most_bytes=2**28)
    (summary,) = bench.encoder.summaries(block_of([0, 1], length=60 * SECOND, std=float("nan")))
    packets += node.packets(summary, hist=False, most_bytes=2**28)
    packets += node.packets(bench.encoder.event(Stall(time_ns=T0, for_ms=4000)), hist=False, most_bytes=2**28)
    packets += node.death()
    for _ in range(130):
        node.numbered(packets[-2])
    return [node.numbered(packet).payload for packet in packets]


def test_tahu_reads_what_the_gateway_writes(tahu):
    """Field by field: names, aliases, types, values, times, flags, properties, sequence numbers beyond 127."""
    written = payloads()
    read = [json.loads(line) for line in through(tahu, [base64.b64encode(p).decode() for p in written])]
    assert len(read) == len(written) > 10
    for theirs, ours in zip(read, map(read_payload, written), strict=True):
        assert int(theirs["timestamp"]) == ours["timestamp"] == MS + 10_000
        assert ("seq" in theirs) == ("seq" in ours)
        assert int(theirs.get("seq", 0)) == ours.get("seq", 0)
        for metric, known in zip(theirs.get("metrics", []), ours["metrics"], strict=True):
            assert metric.get("name") == known.get("name")
            assert int(metric.get("alias", -1)) == known.get("alias", -1)
            assert int(metric["timestamp"]) == known["timestamp"]
            assert metric["type"] == TYPES[known["datatype"]]
            assert metric.get("isHistorical") == known.get("is_historical")
            assert metric.get("isTransient") == known.get("is_transient")
            assert exact(metric["value"], metric["type"]) == known["value"]
            properties = {key: exact(entry["value"], entry["type"]) for key, entry in metric.get("properties", {}).items()}
            assert properties == known.get("properties", {})


def exact(value: object, kind: str) -> object:
    return int(value) if kind in ("Int64", "UInt64") and value is not None else value


def test_the_gateway_reads_what_tahu_writes(tahu):
    """A command as hosts send it."""
    command = {
        "timestamp": 5,
        "metrics": [{"name": "Node Control/Rebirth", "type": "Boolean", "value": True, "timestamp": 5}],
    }
    (line,) = through(tahu, ["encode " + json.dumps(command)])
    body = read_payload(base64.b64decode(line))
    assert (body["metrics"][0]["name"], body["metrics"][0]["value"]) == ("Node Control/Rebirth", True)
    bench = Bench()
    bench.connect()
    for payload in (base64.b64decode(line), rebirth()):
        bench.node.received("spBv1.0/plant/NCMD/press-1", payload)
        assert len(bench.see(bench.node.changes(2**28))) == 3
