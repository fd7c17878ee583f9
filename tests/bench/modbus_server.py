"""A Modbus TCP server that costs as little as Python can: `python -m tests.bench.modbus_server PORT [moving]`.

Every unit, every register pair a float32; whole requests at a time, several in one piece of the stream too. `moving`: noise,
another value at every request. Prints "ready".
"""

import asyncio
import struct
import sys
from itertools import count

import numpy as np
import uvloop

_IMAGE = np.arange(32768, dtype=">f4").tobytes()
_REQUEST = struct.Struct(">HHHBBHH")


_NOISE = np.random.default_rng(1).normal(100, 1, 32768).astype(">f4").tobytes()
_turn = count()


def _body(start: int, registers: int) -> bytes:
    return _IMAGE[2 * start : 2 * (start + registers)]


def _moving(start: int, registers: int) -> bytes:
    at = 4 * (start // 2 + next(_turn) % 16384)
    return _NOISE[at : at + 2 * registers]


class _Server(asyncio.Protocol):
    body = staticmethod(_body)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        whole = len(data) - len(data) % 12
        self._rest = data[whole:]
        out = []
        for transaction, _, _, unit, function, start, registers in _REQUEST.iter_unpack(data[:whole]):
            body = self.body(start, registers)
            out.append(struct.pack(">HHHBBB", transaction, 0, 3 + len(body), unit, function, len(body)) + body)
        self._transport.write(b"".join(out))  # type: ignore[attr-defined]


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if "moving" in sys.argv:
        _Server.body = staticmethod(_moving)
    uvloop.run(main(int(sys.argv[1])))
