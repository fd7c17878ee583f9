"""Servers for the process bench, in a process of their own: `python -m tests.bench.servers MODBUS_PORT OPCUA_PORT NODES`.

Modbus: every unit on one port, float32 registers with noise around a level; register pair 0 is the alarm tag, which
steps over its limit and back every second. OPC UA: NODES Doubles that change every second.
"""

import asyncio
import contextlib
import logging
import struct
import sys
import time

import numpy as np
from asyncua import Server, ua

ALARM_AT = 1000.0


class Registers:
    """A register image that is renewed every second."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(3)
        self._level = self._rng.uniform(10, 500, 5000)
        self.image = b""

    async def run(self) -> None:
        while True:
            values = self._level * (1 + self._rng.normal(0, 0.0005, self._level.size))
            self._level *= 1 + self._rng.normal(0, 0.0002, self._level.size)
            values[0] = ALARM_AT + (100 if int(time.time()) % 2 else -100)
            self.image = values.astype(">f4").tobytes()
            await asyncio.sleep(1 - time.time() % 1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(12)
                transaction, _, _, unit, function, start, count = struct.unpack(">HHHBBHH", head)
                body = self.image[2 * start : 2 * (start + count)]
                writer.write(struct.pack(">HHHBBB", transaction, 0, 3 + len(body), unit, function, len(body)) + body)
        writer.close()


async def opcua(port: int, nodes: int) -> None:
    """Serve and change `nodes` Doubles, ns=2;s=n0 and on."""
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/bench/")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    space = await server.register_namespace("bench")
    assert space == 2
    folder = await server.nodes.objects.add_folder(space, "bench")
    items = [await folder.add_variable(ua.NodeId(f"n{i}", space), f"n{i}", float(i)) for i in range(nodes)]
    rng = np.random.default_rng(4)
    async with server:
        print("ready", flush=True)
        while True:
            begin = time.monotonic()
            noise = rng.normal(0, 0.01, nodes)
            stamp = ua.uatypes.datetime.now(ua.uatypes.timezone.utc).replace(tzinfo=None)
            for i, item in enumerate(items):
                value = ua.DataValue(ua.Variant(float(i + noise[i]), ua.VariantType.Double), SourceTimestamp=stamp)
                await server.write_attribute_value(item.nodeid, value)
                if i % 100 == 99:
                    await asyncio.sleep(0)
            await asyncio.sleep(max(0.0, 1 - (time.monotonic() - begin)))


async def main(modbus_port: int, opcua_port: int, nodes: int) -> None:
    registers = Registers()
    async with await asyncio.start_server(registers.serve, "127.0.0.1", modbus_port):
        await asyncio.gather(registers.run(), opcua(opcua_port, nodes))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(main(*map(int, sys.argv[1:4])))
