"""The shipped maps of real devices (gateway/templates), through the whole gateway, from devices that answer as those do."""

import asyncio
import struct
from pathlib import Path
from typing import Any

from asyncua import Node, Server, ua

from tests.support.gateway import GatewayProcess, Subscriber, write_config
from tests.support.modbus_server import Ask, ScriptedServer
from tests.support.mosquitto import Mosquitto
from tests.support.network import free_port, until
from tests.support.opcua_server import AsyncuaServer

NOT_THERE = 0x8000
INVERTER = {
    40072: [1063, 355, 354, 354, 0xFFFE],  # A, its phases, A_SF -2
    40080: [2301, 2298, 2305, 0xFFFF],  # phase voltages, V_SF -1
    40084: [2447, 0, 5001, 0xFFFE, 2450, 0, 0xFFF1, 0, 9990, 0xFFFE],  # W, Hz, VA, VAr -15, PF
    40094: [0x0012, 0xD687, 1, 512, 0xFFFE, 6210, 0xFFFF, 2530, 0, 412, 0, 0, 0, 0xFFFF],  # WH, DC side, cabinet, Tmp_SF -1
    40108: [4, 0, 0x0000, 0x0180],  # MPPT; over temperature and over frequency
}
TEXTS = {40000: b"SunS", 40004: b"Fronius", 40020: b"Symo 5.0-3-M", 40052: b"31245678"}
METER = {0: 230.5, 2: 229.25, 4: 231.0, 6: 1.5, 8: 4.25, 10: 2.0, 52: 1812.5, 70: 50.02, 72: 1234.5, 74: 34.25, 342: 1268.75}
PLC = {
    '"Line"."Temperature"': 71.5, '"Line"."Pressure"': 5.25, '"Line"."Cycles"': 17, '"Line"."Running"': True,
    '"Line"."Recipe"."Name"': "A-17", '"Line"."Zones"[1]."Actual"': 180.0, '"Line"."Zones"[2]."Actual"': 176.5,
    '"Line"."Good"': 95, '"Line"."Bad"': 5,
}  # fmt: skip


def inverter_words() -> dict[int, int]:
    words = {start + at: word for start, some in INVERTER.items() for at, word in enumerate(some)}
    words |= {40070: 103, 40071: 50}
    for start, text in TEXTS.items():
        padded = text.ljust(4 if start == 40000 else 32, b"\0")
        words |= {start + at: word for at, (word,) in enumerate(struct.iter_unpack(">H", padded))}
    return words


def meter_words() -> dict[int, int]:
    pairs = {start: struct.unpack(">HH", struct.pack(">f", value)) for start, value in METER.items()}
    return {start + at: word for start, pair in pairs.items() for at, word in enumerate(pair)}


class Registers:
    """A device with these registers, all others 0."""

    def __init__(self, words: dict[int, int]) -> None:
        self._words = words

    async def __call__(self, ask: Ask, writer: asyncio.StreamWriter) -> None:
        words = [self._words.get(at, 0) for at in range(ask.start, ask.start + ask.count)]
        writer.write(ask.frame(struct.pack(f">BB{ask.count}H", ask.function, 2 * ask.count, *words)))


class Plc(AsyncuaServer):
    """The symbolic names of an S7-1500, in its namespace 3."""

    async def fill(self, server: Server, line: Node) -> None:
        for name, value in PLC.items():
            await line.add_variable(ua.NodeId(name, 3), name, value)


async def test_three_maps_of_real_devices(tmp_path: Path, mosquitto: str) -> None:
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    await broker.start("max_queued_messages 100000")
    ports = [free_port() for _ in range(3)]
    files = {
        "inverter.yaml": f"template: inverters/sunspec-three-phase.yaml\nurl: tcp://127.0.0.1:{ports[0]}\nunit: 126\n",
        "meter.yaml": f"template: meters/eastron-sdm630.yaml\nurl: tcp://127.0.0.1:{ports[1]}\n",
        "plc.yaml": f"template: plcs/s7-1500.yaml\nurl: opc.tcp://127.0.0.1:{ports[2]}\nsecurity: none\n",
    }
    config = write_config(tmp_path, broker.url, [], root="publish:\n  windows: all\n", files=files)
    plc = Plc(ports[2])
    plc.namespaces_before = ("urn:siemens",)
    async with (
        ScriptedServer(ports[0], Registers(inverter_words())),
        ScriptedServer(ports[1], Registers(meter_words())),
        plc,
    ):
        with Subscriber(broker.port) as subscriber, GatewayProcess(config) as gateway:

            def newest(device: str, tag: str) -> Any:
                rows = [
                    row
                    for kind in ("window", "value")
                    for m in subscriber.of(f"/{device}/{kind}")
                    if (row := m.payload["tags"].get(tag))
                ]
                return rows[-1] if rows else None

            await until(lambda: newest("inverter", "W") and newest("meter", "balance") and newest("plc", "yield"), 60, "all")
            await until(lambda: newest("plc", "yield")["q"] == newest("meter", "balance")["q"] == "good", 30, "good values")
            assert await asyncio.to_thread(gateway.terminate) == 0
        inverter = {
            tag: newest("inverter", tag)["last"] for tag in ("A", "AphA", "PhVphC", "W", "Hz", "VAr", "PF", "WH", "DCV")
        }
        assert inverter == {
            "A": 10.63, "AphA": 3.55, "PhVphC": 230.5, "W": 2447.0, "Hz": 50.01, "VAr": -15.0, "PF": 99.9,
            "WH": 0x12D687 * 10.0, "DCV": 621.0,
        }  # fmt: skip
        assert newest("inverter", "TmpCab")["last"] == 41.2
        assert newest("inverter", "manufacturer")["value"] == "Fronius"
        assert newest("inverter", "SunS")["value"] == "SunS"
        assert newest("inverter", "St")["value"] == "MPPT"
        assert newest("inverter", "Evt1")["value"] == ["over temperature", "over frequency"]
        assert newest("inverter", "W_raw") is None
        assert newest("meter", "L2_voltage")["last"] == 229.25
        assert newest("meter", "balance")["last"] == 1200.25
        assert newest("meter", "unbalance")["last"] == 2.75
        assert newest("plc", "yield")["last"] == 95.0
        assert newest("plc", "spread")["last"] == 3.5
        assert newest("plc", "recipe")["value"] == "A-17"
        assert newest("plc", "zone_1")["last"] == 180.0
    broker.stop()
