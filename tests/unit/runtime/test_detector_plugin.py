"""Another detector is one file and one line in `plugins.py`."""

from pathlib import Path

import orjson
import pytest

from gateway.app.compose import GatewayParts
from gateway.core.errors import ConfigError
from gateway.core.messages import Message
from gateway.plugins import DETECTORS
from gateway.runtime.reload_requests import ReloadRequests
from gateway.settings import load
from tests.support.blocks import GOOD, SECOND, block_of
from tests.support.clock import ManualClock
from tests.support.detectors import JumpPlugin
from tests.support.oracle import Sample

DEVICE = """\
protocol: modbus
url: tcp://127.0.0.1:1
tags:
  - name: a
    address: holding:1
    anomaly: [{jump: {step: 3}}, {ewma: {threshold: 1000}}]
  - {name: b, address: holding:2}
"""


def write(folder: Path) -> Path:
    (folder / "devices").mkdir()
    (folder / "gateway.yaml").write_text("name: g\n")
    (folder / "devices" / "press.yaml").write_text(DEVICE)
    return folder


async def test_a_detector_of_ones_own_runs_in_the_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DETECTORS, "jump", JumpPlugin())
    clock = ManualClock(1_700_000_040 * SECOND)
    parts, messages = GatewayParts(load(write(tmp_path)), clock, ReloadRequests()), list[Message]()
    monkeypatch.setattr(parts.outbox, "put", messages.append)
    for value in (1.0, 2.0, 9.0, 9.5):
        parts.pipeline.push(block_of([Sample(tag, clock.now_ns(), value, GOOD) for tag in (0, 1)]))
        await clock.advance(1)
    parts.pipeline.flush()
    events = [orjson.loads(message.payload) for message in messages if message.topic.endswith("press/event")]
    assert [(e["tag"], e["detector"], e["state"], e["value"], e["score"], e["expected"]) for e in events] == [
        ("a", "jump", "active", 9.0, 2.33, 2.0),
        ("a", "jump", "cleared", 9.5, 0.17, 9.0),
    ]
    assert parts.pipeline.event_log.counts == {"anomaly": 2}


def test_without_the_line_it_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"press.yaml:6.*'jump' is not a known detector \(expected one of own_range, joint, ewma\)"
    ):
        load(write(tmp_path))
