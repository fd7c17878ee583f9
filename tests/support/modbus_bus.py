"""A two-wire bus made of pseudo-terminals, and the units on it: pymodbus's server, libmodbus, or a script."""

import asyncio
import os
import shutil
import subprocess
import time
import tty
from collections.abc import Callable
from pathlib import Path

from pymodbus.framer import FramerType
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

SOURCE = Path(__file__).parents[1] / "c" / "modbus_server.c"


def device(unit: int) -> SimDevice:
    """1000 registers that hold their address plus 1000 x unit, 1000 bits of their parity."""
    bits = [SimData(0, values=[bool(place & 1) for place in range(1000)], datatype=DataType.BITS)]
    words = [SimData(0, values=[place + 1000 * unit for place in range(1000)], datatype=DataType.REGISTERS)]
    return SimDevice(unit, simdata=(bits, bits, words, words))


def compiled(folder: Path) -> Path | None:
    """The libmodbus server, built; None where there is no compiler or no libmodbus."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    binary = folder / "modbus_server"
    command = [compiler, "-O1", "-o", str(binary), str(SOURCE), "-I/usr/include/modbus", "-lmodbus"]
    return binary if subprocess.run(command, capture_output=True, check=False).returncode == 0 else None


class Bus:
    """`async with Bus() as bus`: what the gateway writes to `bus.path` reaches every unit, what they write reaches it.

    heard: (monotonic time, bytes) of everything that the gateway sent. echo: the gateway hears itself, too.
    """

    def __init__(self, *, echo: bool = False) -> None:
        self.echo = echo
        self.heard: list[tuple[float, bytes]] = []
        self.script: Callable[[bytes], None] = lambda request: None
        self._gateway, self.path = terminal()
        self._slave = _KEPT[-1]
        self._units: list[tuple[int, int]] = []
        self._servers: list[ModbusSerialServer] = []
        self._processes: list[subprocess.Popen[str]] = []

    async def __aenter__(self) -> "Bus":
        asyncio.get_running_loop().add_reader(self._gateway, self._from_gateway)
        return self

    async def __aexit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for server in self._servers:
            await server.shutdown()
        for process in self._processes:
            process.kill()
            process.communicate()
        self.unplug()
        for _, master in self._units:
            loop.remove_reader(master)
            os.close(master)

    def _from_gateway(self) -> None:
        data = os.read(self._gateway, 4096)
        self.heard.append((time.monotonic(), data))
        if self.echo:
            os.write(self._gateway, data)
        for only, master in self._units:
            if only in (0, data[0]):
                os.write(master, data)
        self.script(data)

    def unplug(self) -> None:
        """Pull the gateway's adapter out."""
        if self._gateway >= 0:
            asyncio.get_running_loop().remove_reader(self._gateway)
            os.close(self._gateway)
            _KEPT.remove(self._slave)
            os.close(self._slave)
            self._gateway = -1

    def say(self, data: bytes) -> None:
        """Put bytes on the bus for the gateway."""
        if self._gateway >= 0:
            os.write(self._gateway, data)

    def _plug(self, only: int = 0) -> str:
        """One more place on the bus; only: hears nothing but frames that begin with this byte."""
        master, path = terminal()
        self._units.append((only, master))
        asyncio.get_running_loop().add_reader(master, lambda: self.say(os.read(master, 4096)))
        return path

    async def add_pymodbus(self, unit: int, framer: FramerType = FramerType.RTU) -> None:
        """pymodbus's own server as a unit. In 3.16 it answers exception 4 for units that it does not have."""
        path = self._plug(unit if framer is FramerType.RTU else 0)
        server = ModbusSerialServer(device(unit), framer=framer, port=path)
        await server.serve_forever(background=True)
        self._servers.append(server)

    async def add_libmodbus(self, unit: int, binary: Path) -> subprocess.Popen[str]:
        """libmodbus, in a process of its own, as a unit. It takes what follows a request to another unit for that
        unit's reply, so it would miss what follows a request to a dead one."""
        command = [str(binary), "rtu", self._plug(unit), "19200", str(unit)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._processes.append(process)
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "ready\n"
        return process


def terminal() -> tuple[int, str]:
    """Master end and path of a pseudo-terminal that changes nothing."""
    master, slave = os.openpty()
    tty.setraw(slave)
    path = os.ttyname(slave)
    _KEPT.append(slave)  # a terminal that nobody holds open hangs up
    return master, path


_KEPT: list[int] = []
