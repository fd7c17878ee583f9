"""A broker written by hand that answers as the test wants: late, wrongly, in pieces, or never."""

import asyncio
from collections.abc import Callable

from tests.support.listener import Listener
from tests.support.proxy import packets

CONNECT, PUBLISH, SUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 8, 12, 14
ACCEPT = bytes([0x20, 3, 0, 0, 0])
PINGRESP = bytes([0xD0, 0])


def accept(properties: bytes) -> bytes:
    """A CONNACK of MQTT 5 with these properties."""
    return bytes([0x20, 3 + len(properties), 0, 0, len(properties)]) + properties


def body_of(packet: bytes) -> bytes:
    """What follows the fixed header."""
    at = 1
    while packet[at] & 0x80:
        at += 1
    return packet[at + 1 :]


def packet_id(packet: bytes) -> bytes:
    """Of a PUBLISH at QoS 1."""
    body = body_of(packet)
    at = int.from_bytes(body[:2]) + 2
    return body[at : at + 2]


class BadBroker(Listener):
    """Listens on loopback. `answer` decides for each packet; unless replaced it accepts, acknowledges and pongs."""

    def __init__(self, connack: bytes | None = ACCEPT, *, v5: bool = True) -> None:
        """connack: None never answers a CONNECT."""
        super().__init__()
        self.connack = connack
        self._v5 = v5
        self.answer: Callable[[int, bytes], bytes | None] = self.usual
        self.piece = 0
        """Bytes that are sent at a time, a loop's turn apart; 0: all together."""
        self.heard: list[tuple[int, bytes]] = []
        """Type and packet of everything that has come, over all connections."""

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def count(self, kind: int) -> int:
        """Packets of a type that have come."""
        return sum(other == kind for other, _ in self.heard)

    def published(self) -> list[bytes]:
        """PUBLISH packets that have come."""
        return [packet for kind, packet in self.heard if kind == PUBLISH]

    def usual(self, kind: int, packet: bytes) -> bytes | None:
        """What a good broker says."""
        if kind == CONNECT:
            return self.connack
        if kind == PUBLISH and packet[0] & 0x06:
            return bytes([0x40, 2]) + packet_id(packet)
        if kind == SUBSCRIBE:
            head = body_of(packet)[:2] + (b"\0" if self._v5 else b"")
            return bytes([0x90, len(head) + 1]) + head + b"\1"
        return PINGRESP if kind == PINGREQ else None

    def say(self, data: bytes) -> None:
        """Send to every client."""
        for writer in self._writers:
            writer.write(data)

    def hang_up(self) -> None:
        """End every connection."""
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        rest = b""
        try:
            while chunk := await reader.read(65_536):
                found, rest = packets(rest + chunk)
                for packet in found:
                    self.heard.append((packet[0] >> 4, packet))
                    await self._send(writer, self.answer(packet[0] >> 4, packet) or b"")
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        step = self.piece or max(1, len(data))
        for at in range(0, len(data), step):
            writer.write(data[at : at + step])
            await asyncio.sleep(0.002 if self.piece else 0)
