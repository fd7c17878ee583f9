"""An embedded MQTT 5 broker: rumqttd from the extra `demo`, as a child process on loopback.

`python -m gateway.demo.broker FILE` is that child. It has a session of its own, so that Ctrl-C reaches only the demo and
the broker still receives the gateway's last messages; it ends when its standard input closes, so it never outlives the demo.
"""

import asyncio
import contextlib
import os
import sys
import threading
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from gateway import DISTRIBUTION
from gateway.core.errors import GatewayError
from gateway.demo.ports import require_free

_LARGEST_PAYLOAD_BYTES: Final = 1 << 20
"""rumqttd's own 20 kB would be too small: it drops the connection at a larger message."""

_READY_S: Final = 10.0
_STOP_S: Final = 3.0
_TOML: Final = """\
id = 0
[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 8388608
max_segment_count = 4
[v5.1]
name = "v5-1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = {payload}
max_inflight_count = 200
dynamic_filters = true
"""


class BrokerMissing(GatewayError):
    """The extra with the embedded broker is not installed. The message says how to get it."""


class BrokerFailed(GatewayError):
    """The embedded broker ended or did not listen in time."""


class EmbeddedBroker:
    """MQTT 5 on 127.0.0.1:port, no TLS, no passwords, nothing kept on disk.

    Use: `async with`, which raises BrokerFailed, PortTaken.
    """

    def __init__(self, port: int, folder: Path) -> None:
        """Prepare it. folder: where its configuration is written. Raises BrokerMissing."""
        if find_spec("iotcore") is None:
            raise BrokerMissing(
                "the embedded MQTT broker is not installed; install it with: "
                f"{sys.executable} -m pip install '{DISTRIBUTION}[demo]' "
                "(in a checkout: make demo, or pip install -e '.[demo]')"
            )
        self._port = port
        self._file = folder / "broker.toml"
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        require_free(self._port)
        self._file.write_text(_TOML.format(port=self._port, payload=_LARGEST_PAYLOAD_BYTES))
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.demo.broker", str(self._file),
            stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True,
        )  # fmt: skip
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._stop)  # on cancellation, too: nobody else would end the process
            try:
                async with asyncio.timeout(_READY_S):
                    await self._listening(self._process)
            except TimeoutError:
                raise BrokerFailed(f"the embedded broker did not listen within {_READY_S:g} s") from None
            stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def _listening(self, process: Process) -> None:
        while True:
            if process.returncode is not None:
                raise BrokerFailed(f"the embedded broker ended with code {process.returncode}")
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.close()
                return
            await asyncio.sleep(0.05)

    async def _stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _serve(file: str) -> None:
    from iotcore.iotcore import IotCoreBroker

    threading.Thread(target=_end_with_parent, daemon=True).start()
    IotCoreBroker(config_path=file).run_forever()


if __name__ == "__main__":
    _serve(sys.argv[1])
