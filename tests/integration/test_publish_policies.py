"""What `publish.windows` says is what a subscriber gets, from a whole gateway."""

import asyncio
import struct
from pathlib import Path

from tests.support.line import running_line
from tests.support.modbus_server import Ask
from tests.support.network import until

ROOT = "publish: {windows: anomalous, around: device, pre_trigger: 3s, post_trigger: 1s}\ndefaults: {anomaly: 'off'}\n"


LEVEL = "tags: [{name: level, address: 'holding:100', type: float32, hi: 5}]"


class Level:
    """A device whose float registers all have one value."""

    value = 1.0

    async def answer(self, ask: Ask, writer: asyncio.StreamWriter) -> None:
        payload = struct.pack(">f", self.value) * (ask.count // 2)
        writer.write(ask.frame(bytes((ask.function, len(payload))) + payload))


async def test_windows_come_around_an_alarm_and_begin_before_it(tmp_path: Path, mosquitto: str) -> None:
    """Nothing before it but events; then the seconds before it, in order, and those while it lasts."""
    level = Level()
    async with running_line(tmp_path, mosquitto, root=ROOT, extra=LEVEL) as line:
        line.device.script = level.answer
        await until(lambda: len(line.device.asks) > 60, 40, "some seconds of polling")
        assert line.windows() == []
        level.value = 9.0
        alarms = lambda: [m.payload for m in line.subscriber.of("/press/event") if m.payload["kind"] == "alarm"]  # noqa: E731
        await until(alarms, 20, "the alarm")
        alarm = alarms()[0]
        await until(lambda: any(m.payload["ts"] > alarm["ts"] for m in line.windows()), 20, "windows after it")
        starts = [m.payload["ts"] for m in line.windows()]
        assert starts == sorted(starts)
        assert alarm["ts"] - 5000 <= starts[0] <= alarm["ts"] - 1000
        assert all(set(m.payload["tags"]) == set(line.windows()[0].payload["tags"]) for m in line.windows())
