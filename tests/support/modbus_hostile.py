"""A hostile peer as a process of its own: `python -m tests.support.modbus_hostile KIND PORT [PACE]`.

KIND: what it sends to whoever connects (tcp), to whoever wrote to it (udp:KIND), or on a serial line (tty:KIND), whose path
it prints.
It sends as fast as it is taken from it, PACE pieces a second at most, and takes new connections for ever.
"""

import itertools
import os
import random
import socket
import sys
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import suppress


def _random() -> Iterator[bytes]:
    noise = random.Random(7)
    while True:
        yield noise.randbytes(4096)


def _numbered_replies() -> Iterator[bytes]:
    """Whole replies of Modbus TCP that nobody asked for."""
    for number in itertools.count():
        yield b"".join((number + at & 0xFFFF).to_bytes(2, "big") + b"\0\0\0\5\1\3\2\0\7" for at in range(400))


KINDS = {
    "rtu_heads": lambda: itertools.repeat(b"\x01\x03\xff" * 1400),
    "rtu_expected_heads": lambda: itertools.repeat(b"\x01\x03\xfa" * 1400),
    "rtu_exceptions": lambda: itertools.repeat(b"\x01\x83" * 2000),
    "rtu_frames": lambda: itertools.repeat(b"\x02\x03\x02\x00\x07\xbd\x86" * 500),
    "random": _random,
    "zeros": lambda: itertools.repeat(bytes(4096)),
    "lying_lengths": lambda: itertools.repeat(b"\0\1\0\0\0\xfe\1\3\xfa" + bytes(10)),
    "replies": _numbered_replies,
    "shortest_frames": lambda: itertools.repeat(b"\0\1\0\0\0\2\1\3" * 500),
    "exceptions": lambda: itertools.repeat(b"\0\1\0\0\0\3\1\x83\2" * 450),
    "single_bytes": lambda: itertools.repeat(b"\1"),
    "single_bytes_rtu": lambda: itertools.cycle([b"\x01", b"\x03", b"\xfa"]),
    "lines": lambda: itertools.repeat(b":01830200\r\n" * 400),
    "line_ends": lambda: itertools.repeat(b"\r\n" * 2000),
    "hang_up": lambda: iter([b"\0"]),
}


def _serve(kind: str, peer: socket.socket, pace: float) -> None:
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        for piece in KINDS[kind]():
            peer.sendall(piece)
            if pace:
                time.sleep(1 / pace)
    except OSError:
        pass
    peer.close()


def _tcp(kind: str, port: int, pace: float) -> None:
    listener = socket.create_server(("127.0.0.1", port))
    print("ready", flush=True)
    while True:
        peer, _ = listener.accept()
        threading.Thread(target=_serve, args=(kind, peer, pace), daemon=True).start()


def _udp(kind: str, port: int, pace: float) -> None:
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.bind(("127.0.0.1", port))
    print("ready", flush=True)
    _, client = peer.recvfrom(4096)
    for piece in KINDS[kind]():
        peer.setblocking(False)
        with suppress(OSError):
            client = peer.recvfrom(4096)[1]  # it may ask from another port by now
        peer.setblocking(True)
        with suppress(OSError):
            peer.sendto(piece, client)
        time.sleep(1 / pace if pace else 0)


def _tty(kind: str, pace: float) -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    print(os.ttyname(slave), flush=True)
    os.read(master, 1)
    for piece in KINDS[kind]():
        os.write(master, piece)
        time.sleep(1 / pace if pace else 0)


if __name__ == "__main__":
    transport, _, what = sys.argv[1].rpartition(":")
    where, every = sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    if transport == "tty":
        _tty(what, every)
    elif transport == "udp":
        _udp(what, int(where), every)
    else:
        _tcp(what, int(where), every)
