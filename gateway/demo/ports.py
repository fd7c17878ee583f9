"""Free TCP ports on loopback."""

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gateway.core.errors import GatewayError

LOOPBACK = "127.0.0.1"


class PortTaken(GatewayError):
    """The port is used by another program."""


def is_free(port: int) -> bool:
    """Return whether a server could listen on 127.0.0.1:port now."""
    with socket.socket() as probe:
        # As servers do: a port whose last connection is in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
        return True


def require_free(port: int) -> None:
    """Raise PortTaken when a server could not listen on 127.0.0.1:port."""
    if not is_free(port):
        raise PortTaken(f"port {port} on {LOOPBACK} is taken by another program")


@contextmanager
def choose_ports(wanted: Sequence[int]) -> Iterator[list[int]]:
    """Choose one free port for each wanted one (0: any), that one where possible. A second demo gets other ports."""
    with (Path(tempfile.gettempdir()) / f"gateway-demo-{os.getuid()}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            first = True
        except BlockingIOError:
            first = False
        ports: list[int] = []
        for port in wanted:
            ports.append(port if first and port and port not in ports and is_free(port) else _any_port(ports))
        yield ports


def _any_port(taken: Sequence[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port
