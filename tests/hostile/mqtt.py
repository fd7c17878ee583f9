"""Brokers that attack: over TCP and over WebSocket. A real broker answers until then, so the session is a real one."""

import asyncio
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from websockets.frames import Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from gateway.layouts.sparkplug.wire import DataType, new_payload
from tests.support.listener import Listener

_BURST: Final = 65_536
_SESSION_BYTES: Final = 600
"""What the gateway sends before its session stands: CONNECT, SUBSCRIBE, births."""
COMMANDS: Final = "spBv1.0/plant/NCMD/test"

Flood = Callable[[asyncio.StreamWriter], Awaitable[None]]


def packet(first: int, body: bytes) -> bytes:
    """Return a control packet (MQTT 5.0, 2.1)."""
    length, left = b"", len(body)
    while True:
        left, digit = left >> 7, left & 0x7F
        length += bytes((digit | (0x80 if left else 0),))
        if not left:
            return bytes((first,)) + length + body


def message(topic: str, payload: bytes, properties: bytes = b"\0") -> bytes:
    """Return a PUBLISH at QoS 0."""
    return packet(0x30, struct.pack(">H", len(topic)) + topic.encode() + properties + payload)


def frame(opcode: int, data: bytes, *, final: bool = True) -> bytes:
    """Return a frame of a server (RFC 6455, 5.2)."""
    head = bytes(((0x80 if final else 0) | opcode,))
    if len(data) < 126:
        return head + bytes((len(data),)) + data
    return (
        head
        + (b"\x7e" + struct.pack(">H", len(data)) if len(data) < _BURST else b"\x7f" + struct.pack(">Q", len(data)))
        + data
    )


def _fill(piece: bytes) -> bytes:
    return piece * max(1, _BURST // len(piece))


def _user_properties() -> bytes:
    pairs = b"\x26\0\1a\0\1b" * 40_000
    return packet(0, pairs)[1:]  # the length is written as that of a packet


def rebirth() -> bytes:
    """Return a command that asks for births."""
    payload = new_payload(timestamp=1)
    payload.metrics.add(name="Node Control/Rebirth", datatype=DataType.BOOLEAN, boolean_value=True)
    return payload.SerializeToString()


_TCP: Final = {
    "commands of 9 KB": (b"", _fill(message(COMMANDS, bytes(9_000)))),
    "commands of 900 KB": (b"", message(COMMANDS, bytes(900_000))),
    "a packet of 256 MB": (b"\x30\xff\xff\xff\x7f", bytes(_BURST)),
    "rebirths": (b"", _fill(message(COMMANDS, rebirth()))),
    "messages that nobody wants": (b"", _fill(message("x", b"y"))),
    "forty thousand properties": (b"", message("x", b"", _user_properties())),
    "acknowledgements of nothing": (b"", _fill(b"\x40\x02\x12\x34")),
    "answers to no ping": (b"", _fill(b"\xd0\x00")),
    "acceptance again": (b"", _fill(b"\x20\x03\x00\x00\x00")),
    "zeros": (b"", bytes(_BURST)),
}
"""What is sent once, and what again and again."""
_INSIDE: Final = _fill(message("x", bytes(1000)))
_WEBSOCKET: Final = {
    "frames without limit": (b"", frame(2, _INSIDE)),
    "a frame of 2^62 bytes": (b"\x82\x7f" + struct.pack(">Q", 2**62), bytes(_BURST)),
    "a message in empty parts": (frame(2, b"", final=False), _fill(frame(0, b"", final=False))),
    "a message in large parts": (frame(2, b"", final=False), frame(0, bytes(_BURST), final=False)),
    "a packet of 256 MB in frames": (frame(2, b"\x30\xff\xff\xff\x7f"), frame(2, bytes(_BURST - 1))),
    "one byte in each frame": (b"", _fill(frame(2, b"\xd0") + frame(2, b"\0"))),
    "pings": (b"", _fill(frame(9, bytes(125)))),
    "empty frames": (b"", _fill(frame(2, b""))),
    "zeros": (b"", bytes(_BURST)),
}
_HANDSHAKE: Final = {
    "headers without end": (b"HTTP/1.1 101 Switching Protocols\r\n", _fill(b"a: b\r\n")),
    "a header line without end": (b"HTTP/1.1 101 Switching Protocols\r\na: ", b"b" * _BURST),
    "a body without end": (b"HTTP/1.1 500 No\r\n\r\n", bytes(_BURST)),
}


class Relay(Listener):
    """Passes bytes between the gateway and the real broker; an attack takes the broker's place."""

    def __init__(self, target: int, *, framed: bool) -> None:
        """framed: the gateway speaks WebSocket, which this broker does not."""
        super().__init__()
        self._target = target
        self._framed = framed
        self.attack: Flood | None = None
        self.at_once = False
        """The attack does not wait for the session."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, far_writer}
        wire = _WebSocketWire(writer) if self._framed else _Wire(writer)
        down = asyncio.create_task(self._pass(far_reader, wire))
        sent = 0
        try:
            while chunk := await reader.read(65_536):
                sent += len(chunk)
                if self.attack is not None and (self.at_once or sent > _SESSION_BYTES):
                    down.cancel()
                    await self.attack(writer)
                far_writer.write(wire.received(chunk))
        except OSError:
            pass  # the gateway hung up
        finally:
            down.cancel()
            self._writers -= {writer, far_writer}
            writer.transport.abort()
            far_writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, wire: "_Wire") -> None:
        with suppress(OSError):
            while chunk := await reader.read(65_536):
                wire.send(chunk)


class _Wire:
    """The gateway's connection, on which MQTT travels as it is."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def received(self, data: bytes) -> bytes:
        """Return what is for the broker."""
        return data

    def send(self, data: bytes) -> None:
        """Send what the broker said."""
        self._writer.write(data)


class _WebSocketWire(_Wire):
    """The same in frames."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        super().__init__(writer)
        self._protocol = ServerProtocol(subprotocols=[Subprotocol("mqtt")])

    def received(self, data: bytes) -> bytes:
        self._protocol.receive_data(data)
        found = b""
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._protocol.send_response(self._protocol.accept(event))
            elif isinstance(event, Frame):
                found += event.data
        self._flush()
        return found

    def send(self, data: bytes) -> None:
        self._protocol.send_binary(data)
        self._flush()

    def _flush(self) -> None:
        self._writer.write(b"".join(self._protocol.data_to_send()))


class BrokerPeer:
    """One attack of the broker. All of a door share its relay: a gateway has one broker."""

    _relay: Relay | None = None
    _users = 0

    def __init__(self, folder: Path, first: bytes, again: bytes, scheme: str, *, at_once: bool = False) -> None:
        self.reached = threading.Event()
        self._first, self._again = first, again
        self._scheme = scheme
        self._at_once = at_once

    async def start(self, broker: int) -> None:
        """Listen. broker: the port of the real one."""
        BrokerPeer._users += 1
        if BrokerPeer._relay is None:
            BrokerPeer._relay = Relay(broker, framed=self._scheme == "ws")
            await BrokerPeer._relay.__aenter__()

    async def stop(self) -> None:
        """End; the last one closes the relay."""
        BrokerPeer._users -= 1
        if not BrokerPeer._users and BrokerPeer._relay is not None:
            relay, BrokerPeer._relay = BrokerPeer._relay, None
            await relay.__aexit__()

    async def attack(self, on: bool) -> None:
        """Wait for the next session, then flood it; off: let the real broker have the next one."""
        assert self._relay is not None
        self._relay.attack = self._flood if on else None
        self._relay.at_once = self._at_once
        self._relay.cut()

    def device(self) -> str:
        """Return nothing: it is none."""
        return ""

    def broker(self) -> str:
        """Return the URL to configure."""
        assert self._relay is not None
        return f"{self._scheme}://127.0.0.1:{self._relay.port}"

    async def _flood(self, writer: asyncio.StreamWriter) -> None:
        writer.write(self._first)
        while True:
            writer.write(self._again)
            await writer.drain()
            self.reached.set()
            await asyncio.sleep(0)


def _rows(
    scheme: str, table: dict[str, tuple[bytes, bytes]], *, at_once: bool = False
) -> Iterator[tuple[str, Callable[[Path], BrokerPeer]]]:
    for what, (first, again) in table.items():
        yield what, partial(BrokerPeer, first=first, again=again, scheme=scheme, at_once=at_once)


TCP: Final = dict(_rows("mqtt", _TCP))
WEBSOCKET: Final = dict([*_rows("ws", _WEBSOCKET), *_rows("ws", _HANDSHAKE, at_once=True)])
"""By what they do."""
