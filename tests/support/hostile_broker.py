"""A broker that turns on its client: `python -m tests.support.hostile_broker ATTACK [ws]`, a process of its own.

Prints its port. Until SIGUSR1 it is a good broker; from then on each connection is attacked as `ATTACKS` says, again and
again, as fast as the client takes it.
"""

import base64
import hashlib
import itertools
import select
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator

import zstandard

from tests.support.bad_broker import CONNECT, PINGREQ, PINGRESP, PUBLISH, SUBSCRIBE, body_of, packet_id
from tests.support.proxy import packets

_CHUNK = 65_536
_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
COMMANDS = "spBv1.0/hall/NCMD/test"
STATE = "spBv1.0/STATE/scada"
_hostile = threading.Event()


def variable(number: int) -> bytes:
    """A variable byte integer (MQTT 5.0, 1.5.5)."""
    encoded = bytearray()
    while True:
        number, low = divmod(number, 128)
        encoded.append(low | (0x80 if number else 0))
        if not number:
            return bytes(encoded)


def publish(topic: str, payload: bytes, *, qos: int = 0, number: int = 1, properties: bytes = b"") -> bytes:
    """A PUBLISH of MQTT 5."""
    body = len(topic).to_bytes(2) + topic.encode() + (number.to_bytes(2) if qos else b"")
    body += variable(len(properties)) + properties + payload
    return bytes([0x30 | qos << 1]) + variable(len(body)) + body


def _huge_packet() -> Iterator[bytes]:
    yield b"\x30\xff\xff\xff\x7f\x00\x01a"
    yield from itertools.repeat(bytes(_CHUNK))


def _numbered(qos: int, payload: bytes, topic: str = COMMANDS) -> Iterator[bytes]:
    for number in itertools.cycle(range(1, 65_536)):
        yield publish(topic, payload, qos=qos, number=number)


def _rebirth(value: bytes = b"\x01") -> bytes:
    metric = b"\x0a\x14Node Control/Rebirth\x20\x0b\x70" + value
    return b"\x12" + variable(len(metric)) + metric


_USER = b"\x26\x00\x00\x00\x00"
ATTACKS: dict[str, Callable[[], Iterator[bytes]]] = {
    "one packet of a quarter of a gigabyte": _huge_packet,
    "messages of a megabyte at QoS 1, answers not read": lambda: _numbered(1, bytes(900_000)),
    "messages at QoS 2": lambda: _numbered(2, bytes(900_000)),
    "small messages at QoS 1, answers not read": lambda: _numbered(1, b"x"),
    "a message with 200,000 properties": lambda: itertools.repeat(publish(COMMANDS, b"", properties=_USER * 200_000)),
    "acknowledgements with 50,000 properties": lambda: itertools.repeat(
        b"\x40" + variable(250_010) + b"\x00\x01\x00" + variable(250_000) + _USER * 50_000
    ),
    "acknowledgements of nothing": lambda: itertools.repeat(b"\x40\x02\x00\x01" * 16_384),
    "answers to no question": lambda: itertools.repeat(b"\xd0\x00" * 32_768),
    "questions, answers not read": lambda: itertools.repeat(b"\xc0\x00" * 32_768),
    "a command with 400,000 metrics": lambda: _numbered(0, b"\x12\x00" * 400_000),
    "a command with 100,000 properties": lambda: _numbered(
        0, b"\x12" + variable(200_004) + b"\x4a" + variable(200_000) + b"\x0a\x00" * 100_000
    ),
    "births asked for without end": lambda: _numbered(0, _rebirth()),
    "states of a host without end": lambda: _numbered(0, b'{"online": true, "timestamp": 1}', STATE),
    "a state nested deeply": lambda: _numbered(0, b"[" * 900_000, STATE),
}
WINDOW = "plant/v1/gw/press/window"
DOCUMENTS: dict[str, Callable[[], Iterator[bytes]]] = {
    "documents of a million arrays": lambda: _numbered(
        0, b'{"boot":"b","seq":1,"tags":[' + b"[]," * 1_000_000 + b"0]}", WINDOW
    ),
    "documents of 300 levels": lambda: _numbered(0, b'{"boot":"b","x":' + b"[" * 300 + b"]" * 300 + b"}", WINDOW),
    "documents of a million containers": lambda: _numbered(
        0, b"\xa1\x61a\x9a\x00\x0f\x42\x40" + b"\x80" * 1_000_000, WINDOW
    ),
    "documents that grow when they are unpacked": lambda: _numbered(0, zstandard.compress(bytes(1 << 30)), WINDOW),
    "each message of another gateway": lambda: (
        publish(f"plant/v1/gw{n}/press/window", b'{"boot":"b%d","seq":1,"ts":1,"dur":1,"hist":false,"tags":{}}' % n)
        for n in itertools.count()
    ),
    "births of a million metrics": lambda: _numbered(0, b"\x12\x00" * 1_000_000, "spBv1.0/hall/NBIRTH/x"),
    "births of other nodes": lambda: (
        publish(f"spBv1.0/hall/NBIRTH/n{n}", b"\x12\x06\x0a\x02ab\x10\x01" * 1_000 + b"\x18\x00") for n in itertools.count()
    ),
}
"""For whoever subscribes to a gateway's messages."""
FRAMES: dict[str, Callable[[], Iterator[bytes]]] = {
    "one frame of two gigabytes": lambda: itertools.chain(
        [b"\x82\x7f" + struct.pack(">Q", 1 << 31)], itertools.repeat(bytes(_CHUNK))
    ),
    "empty frames": lambda: itertools.repeat(b"\x82\x00" * 32_768),
    "pings, answers not read": lambda: itertools.repeat(b"\x89\x00" * 32_768),
    "long pings, answers not read": lambda: itertools.repeat((b"\x89\x7d" + bytes(125)) * 500),
    "a message in fragments without end": lambda: itertools.chain(
        [b"\x02\x05\x30\xff\xff\xff\x7f"], itertools.repeat((b"\x00\x7e\x10\x00" + bytes(4096)) * 16)
    ),
}
"""Of WebSocket. They are sent as they are."""


class Client:
    """One connection, in a thread."""

    def __init__(self, sock: socket.socket, attack: str, *, websocket: bool) -> None:
        self._sock = sock
        self._attack = attack
        self._websocket = websocket
        self._frames = self._packets = b""

    def serve(self) -> None:
        """Until the client hangs up, or the attack is over."""
        try:
            if self._websocket:
                self._handshake()
            while not _hostile.is_set():
                if select.select([self._sock], [], [], 0.05)[0]:
                    self._be_good()
            make = (FRAMES | ATTACKS | DOCUMENTS)[self._attack]
            for data in make():
                self._sock.sendall(data if self._attack in FRAMES else self._framed(data))
        except OSError:
            pass
        self._sock.close()

    def _handshake(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            chunk = self._sock.recv(_CHUNK)
            if not chunk:
                raise OSError
            head += chunk
        key = next(line[18:].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
        accept = base64.b64encode(hashlib.sha1(key + _WEBSOCKET_GUID, usedforsecurity=False).digest())
        self._sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )

    def _be_good(self) -> None:
        chunk = self._sock.recv(_CHUNK)
        if not chunk:
            raise OSError
        found, self._packets = packets(self._packets + (self._unframed(chunk) if self._websocket else chunk))
        for packet in found:
            answer = _answer(packet[0] >> 4, packet)
            if answer:
                self._sock.sendall(self._framed(answer))

    def _framed(self, data: bytes) -> bytes:
        if not self._websocket:
            return data
        size = bytes([len(data)]) if len(data) < 126 else b"\x7f" + struct.pack(">Q", len(data))
        return b"\x82" + size + data

    def _unframed(self, chunk: bytes) -> bytes:
        self._frames += chunk
        found = b""
        while len(self._frames) >= 6:
            size, at = self._frames[1] & 0x7F, 2
            if size >= 126:
                width = 2 if size == 126 else 8
                size, at = int.from_bytes(self._frames[2 : 2 + width]), 2 + width
            if len(self._frames) < at + 4 + size:
                break
            mask, body = self._frames[at : at + 4], self._frames[at + 4 : at + 4 + size]
            if self._frames[0] & 0x0F == 2:
                found += bytes(byte ^ mask[n & 3] for n, byte in enumerate(body))
            self._frames = self._frames[at + 4 + size :]
        return found


def _answer(kind: int, packet: bytes) -> bytes:
    if kind == CONNECT:
        return bytes([0x20, 3, 0, 0, 0])
    if kind == PUBLISH and packet[0] & 0x06:
        return bytes([0x40, 2]) + packet_id(packet)
    if kind == SUBSCRIBE:
        return bytes([0x90, 4]) + body_of(packet)[:2] + b"\0\1"
    return PINGRESP if kind == PINGREQ else b""


def main() -> None:
    attack, websocket = sys.argv[1], sys.argv[2:] == ["ws"]
    signal.signal(signal.SIGUSR1, lambda *_: _hostile.set())
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            sock, _ = server.accept()
            client = Client(sock, attack, websocket=websocket)
            threading.Thread(target=client.serve, daemon=True).start()


if __name__ == "__main__":
    main()
