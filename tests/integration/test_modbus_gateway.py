"""The whole gateway on uvloop, a real broker, and a serial server whose units each fail in their own way."""

import asyncio
import struct
from pathlib import Path

from tests.support.gateway import GatewayProcess, Subscriber, write_config
from tests.support.modbus_server import Ask, ScriptedServer
from tests.support.mosquitto import Mosquitto
from tests.support.network import until

IMAGE = dict(
    enumerate(struct.unpack(">16H", struct.pack(">Qq8sf", 2**63 + 1, -(2**62) - 1, b"UPPM7-  ", 21.5) + b"\x80\x00\x00\x02"))
)
TAGS = """
  - {name: unsigned, address: 'holding:0', type: uint64}
  - {name: signed, address: 'holding:4', type: int64}
  - {name: text, address: 'holding:8', type: string, length: 8, byte_order: BADC}
  - {name: temperature, address: 'holding:12', type: float32}
  - {name: absent, address: 'holding:14', type: int16, not_available: 0x8000}
  - {name: mode, address: 'holding:15', labels: {1: stopped, 2: running}}
"""


async def units(ask: Ask, writer: asyncio.StreamWriter) -> None:
    """1 answers, 2 is not there (the server says so), 3 is busy for ever, 4 refuses register 14, 5 is silent."""
    places = range(ask.start, ask.start + ask.count)
    code = {2: 11, 3: 6}.get(ask.unit, 2 if ask.unit == 4 and 14 in places else 0)
    body = struct.pack(f">BB{ask.count}H", ask.function, 2 * ask.count, *(IMAGE.get(place, 0) for place in places))
    if ask.unit != 5:
        writer.write(ask.exception(code) if code else ask.frame(body))


async def test_each_unit_is_told_as_it_is_and_values_are_exact(tmp_path: Path, mosquitto: str, port: int) -> None:
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    await broker.start("max_queued_messages 100000")
    devices = "".join(f"  - {{name: unit{number}, unit: {number}}}\n" for number in range(1, 6))
    text = f"protocol: modbus\nurl: tcp://127.0.0.1:{port}\ninterval: 200ms\ntimeout: 200ms\ndevices:\n{devices}tags:{TAGS}"
    config = write_config(tmp_path, broker.url, [], root="publish:\n  windows: all\n", files={"units.yaml": text})
    subscriber = await asyncio.to_thread(lambda: Subscriber(broker.port).wait_ready())
    gateway = GatewayProcess(config)

    def states() -> dict[str, str]:
        newest = subscriber.of("/status")[-1:]
        return {name: one["state"] for name, one in newest[0].payload.get("devices", {}).items()} if newest else {}

    try:
        async with ScriptedServer(port, units):
            gateway.start()
            expected = {"unit1": "ok", "unit2": "down", "unit3": "degraded", "unit4": "degraded", "unit5": "down"}
            await until(lambda: states() == expected, 30, "the state of each unit")
            await until(lambda: len(subscriber.of("/unit1/window")) > 2, 20, "windows of unit 1")
            reasons = {
                name: one["reason"]
                for name, one in subscriber.of("/status")[-1].payload["devices"].items()
                if "reason" in one
            }
            assert "gateway target device failed to respond" in reasons["unit2"]
            assert "server device busy" in reasons["unit3"]
            assert "1 of 6 tags cannot be read: absent (illegal data address)" in reasons["unit4"]
            assert "no reply within 0.2 s" in reasons["unit5"]
            tags = subscriber.of("/unit1/window")[-1].payload["tags"]
            assert (tags["temperature"]["last"], tags["temperature"]["q"]) == (21.5, "good")
            assert (tags["absent"]["last"], tags["absent"]["reason"]) == (None, "not_available")
            told = {}
            for message in subscriber.of("/unit1/value"):
                told |= {name: one["value"] for name, one in message.payload["tags"].items()}
            assert told == {"unsigned": 2**63 + 1, "signed": -(2**62) - 1, "text": "PUMP-7", "mode": "running"}
            gateway.terminate()
    finally:
        gateway.kill()
        subscriber.close()
        broker.stop()
