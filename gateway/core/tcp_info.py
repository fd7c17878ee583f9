"""What Linux knows of a TCP connection."""

import fcntl
import socket
import struct
import termios
from typing import Any, Final

_TCP_INFO: Final = getattr(socket, "TCP_INFO", 11)
_RECEIVED_AT: Final = 52
"""Place of tcpi_last_data_recv in struct tcp_info (linux/tcp.h): milliseconds since data came last, uint32."""
_TICK_NS: Final = 10_000_000
"""It is counted in ticks of the kernel, at most 10 ms each (CONFIG_HZ=100)."""


def received_ago_ns(transport: Any) -> int | None:
    """Return for how long at least nothing has come on a connection, awake time of the machine, rounded up by a tick.

    transport: of asyncio, over TCP or TLS on it. Returns None for other connections, for systems that do not say, and where
    something has come that was not read yet: then it is that which came last, and what was read may be older.
    """
    peer = transport.get_extra_info("socket") if transport is not None else None
    if peer is None or peer.family not in (socket.AF_INET, socket.AF_INET6) or peer.type != socket.SOCK_STREAM:
        return None
    try:
        facts = peer.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _RECEIVED_AT + 4)
        unread = fcntl.ioctl(peer.fileno(), termios.FIONREAD, bytes(4))  # after the facts, so that nothing falls in between
    except OSError:
        return None
    if len(facts) < _RECEIVED_AT + 4 or any(unread):
        return None
    return int(struct.unpack_from("=I", facts, _RECEIVED_AT)[0]) * 1_000_000 + _TICK_NS
