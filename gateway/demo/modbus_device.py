"""A simulated Modbus TCP device that has the tags of the configuration."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from gateway.demo.ports import LOOPBACK, require_free
from gateway.demo.quiet import quiet
from gateway.demo.registers import RegisterImage
from gateway.sources.modbus.config import ModbusDevice
from gateway.sources.modbus.tag import ModbusTag
from gateway.sources.modbus.types import Table

_PERIOD_S: Final = 0.1
_READ_CODES: Final[dict[Table, int]] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
"""Function codes (MODBUS Application Protocol 1.1b3, 6) by which pymodbus knows its four blocks."""

Values = Callable[[], Mapping[str, float]]
"""The value of each tag, by name, as of now."""


class SimulatedModbusDevice:
    """One unit on 127.0.0.1:port, its registers written anew every 100 ms. Use: `async with`. Raises PortTaken."""

    def __init__(self, config: ModbusDevice, tags: Sequence[ModbusTag], values: Values, port: int) -> None:
        """Prepare it. values: called every 100 ms on the event loop."""
        self._config = config
        self._image = RegisterImage(tags, config.byte_order)
        self._values = values
        self._address = LOOPBACK, port
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        require_free(self._address[1])
        self._image.update(self._values())
        # Constructed here: pymodbus wants a running loop.
        server = ModbusTcpServer(self._device(), address=self._address)
        async with AsyncExitStack() as stack:
            stack.enter_context(quiet("pymodbus"))
            await server.serve_forever(background=True)
            stack.push_async_callback(server.shutdown)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            updating = tasks.create_task(self._update(server), name="simulated modbus device")
            stack.callback(updating.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _device(self) -> SimDevice:
        tables = self._image.tables
        bits = [[SimData(0, values=[bool(v) for v in tables[t]], datatype=DataType.BITS)] for t in ("coil", "discrete")]
        words = [[SimData(0, values=list(tables[t]), datatype=DataType.REGISTERS)] for t in ("holding", "input")]
        return SimDevice(self._config.unit, simdata=(bits[0], bits[1], words[0], words[1]))

    async def _update(self, server: Any) -> None:
        while True:
            self._image.update(self._values())
            for table, words in self._image.tables.items():
                content = [bool(word) for word in words] if table in ("coil", "discrete") else list(words)
                await server.async_setValues(self._config.unit, _READ_CODES[table], 0, content)
            await asyncio.sleep(_PERIOD_S)
