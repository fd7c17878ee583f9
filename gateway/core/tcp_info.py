"""What Linux knows of a TCP connection."""

import socket
import struct
from typing import Any, Final

_TCP_INFO: Final = getattr(socket, "TCP_INFO", 11)
_RECEIVED_AT: Final = 52
"""Place of tcpi_last_data_recv in struct tcp_info (linux/tcp.h): milliseconds since data came last, uint32."""
_TICK_NS: Final = 10_000_000
"""It is counted in ticks of the kernel, at most 10 ms each (CONFIG_HZ=100)."""


def received_ago_ns(transport: Any) -> int | None:
    """Return for how long at least nothing has come on a connection, awake time of the machine, rounded up by a tick.

    transport: of asyncio, over TCP or TLS on it. Returns None for other connections and systems that do not say.
    """
    peer = transport.get_extra_info("socket") if transport is not None else None
    if peer is None or peer.family not in (socket.AF_INET, socket.AF_INET6) or peer.type != socket.SOCK_STREAM:
        return None
    try:
        facts = peer.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _RECEIVED_AT + 4)
    except OSError:
        return None
    if len(facts) < _RECEIVED_AT + 4:
        return None
    return int(struct.unpack_from("=I", facts, _RECEIVED_AT)[0]) * 1_000_000 + _TICK_NS
