"""The whole gateway in every layout, through an outage, as `gateway tail` sees it."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.integration.test_tail import Tail
from tests.support.line import Line, running_line
from tests.support.network import until

WANTED = {
    "parts": ("format: json", "plant/v1/#", "max_packet_size 2500"),
    "columns": ("format: columns+zstd", "plant/v1/#", ""),
    "cbor": ("format: cbor", "plant/v1/#", ""),
    "tag": ("layout: tag\n  retain: true\n  topic: '{site}/{device}/{tag}'\n  topic_fields: {site: b/h1}", "b/h1/#", ""),
    "sparkplug": ("layout: sparkplug", "spBv1.0/plant/#", ""),
}


def heard(line: Line) -> int:
    return len(line.subscriber.of(""))


@pytest.mark.parametrize("name", WANTED)
async def test_tail_proves_that_nothing_is_missing(tmp_path: Path, mosquitto: str, name: str) -> None:
    """Windows, an outage, the backlog: tail follows, decodes, and finds every number."""
    lines, topic, limit = WANTED[name]
    root = f"publish:\n  windows: all\n  {lines}\n"
    async with running_line(tmp_path, mosquitto, root=root, tags=40, proxied=True, broker_lines=limit) as line:
        tail = await Tail.start("--broker", line.broker.url, "--topic", topic, "--topic", "plant/v1/#")
        await tail.says("Connected to")
        many = 40 if name == "tag" else 1
        await more(line, 5 * many)
        line.proxy.refuse = True
        line.proxy.cut()
        polls = len(line.device.asks)
        await until(lambda: len(line.device.asks) > polls + 20, 30, "polls without the broker")
        line.proxy.refuse = False
        await more(line, 8 * many)
        assert await asyncio.to_thread(line.gateway.terminate) == 0  # the proxy passes its last messages on meanwhile
        if name == "sparkplug":
            await tail.says("DEATH")
        else:  # the last will of the outage said so before
            await tail.says("is offline", after="backlog")
        assert await tail.end(signal.SIGTERM) == 0, tail.text[-3000:]
    assert "Complete: " in tail.text
    assert "backlog" in tail.text
    assert "MALFORMED" not in tail.text
    if name == "parts":
        parts = [m for m in line.subscriber.of("/window") if "part" in m.payload]
        assert parts
        assert {m.payload["part"][1] for m in parts} != {1}
    if name == "tag":
        kept = line.subscriber.of("b/h1/press/t0")
        assert kept
        assert all(m.payload["stream"] == "plant/v1/test/press/window" for m in kept)


async def more(line: Line, count: int) -> None:
    target = heard(line) + count
    await until(lambda: heard(line) >= target, 60, f"{count} more messages; {line.gateway.log()[-2000:]}")
