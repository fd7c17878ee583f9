"""From an endpoint to an open transport: TCP, TLS, UDP, serial lines; and in words why not."""

import asyncio
import errno
import socket
import ssl
import termios
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from pymodbus.transport.serialtransport import create_serial_connection
from serial import SerialException

from gateway.core.bounded_file import read_bounded
from gateway.core.errors import NotConnected
from gateway.core.loop_watch import LoopWatch
from gateway.core.os_errors import os_reason
from gateway.core.revocation_lists import is_pem_of_lists
from gateway.sources.modbus.endpoint import Endpoint
from gateway.sources.modbus.framing import Framing
from gateway.sources.modbus.receiver import Receiver
from gateway.sources.modbus.strays import Strays

_UNACKNOWLEDGED_MS: Final = 10_000
_KEEPALIVE_S: Final = 10


async def open_transport(
    to: Endpoint, framing: Framing, strays: Strays, watch: LoopWatch, timeout_s: float
) -> tuple[Any, Receiver]:
    """Connect within `timeout_s`. Returns the transport and the receiver of what comes over it.

    Raises NotConnected with the reason.
    """
    try:
        async with asyncio.timeout(timeout_s):
            transport, receiver = await _connected(to, partial(Receiver, framing, strays, to.place, watch), timeout_s)
    except TimeoutError:
        raise NotConnected(f"{to.place} did not accept a connection within {timeout_s:g} s") from None
    except OSError as error:
        raise NotConnected(f"{to.place}: {_reason(error)}") from error
    except (termios.error, ValueError) as error:  # what the port's driver says of its settings is no OSError
        line = f"{to.baudrate} baud, {to.bytesize} bits, parity {to.parity}, {to.stopbits} stop bits"
        raise NotConnected(f"{to.path} does not take {line}: {error.args[-1]}") from error
    if not (to.is_serial or to.scheme == "udp"):
        _enable_keepalive(transport.get_extra_info("socket"))
    return transport, receiver


async def _connected(to: Endpoint, receiver: Callable[..., Receiver], timeout_s: float) -> tuple[Any, Receiver]:
    loop = asyncio.get_running_loop()
    converse = partial(receiver, is_shared=to.scheme == "rtu+tcp")
    if to.is_serial:
        pair = await create_serial_connection(loop, converse, to.path, to.baudrate, to.bytesize, to.parity, to.stopbits, 0)
        await asyncio.sleep(0)  # the transport sets itself up in a callback, which a close before it would break
        return pair  # type: ignore[return-value]
    if to.scheme == "udp":
        return await loop.create_datagram_endpoint(converse, remote_addr=(to.host, to.port))
    tls: dict[str, Any] = (
        {"ssl": _tls(to), "server_hostname": to.options.get("server_name", to.host)} if to.scheme == "tls" else {}
    )
    *others, last = await _addresses(to.host, to.port)
    for address in others:  # one that leads nowhere must not use up the time of the next
        with suppress(OSError):
            async with asyncio.timeout(timeout_s / (len(others) + 1)):
                return await loop.create_connection(converse, address, to.port, **tls)
    return await loop.create_connection(converse, last, to.port, **tls)


def _tls(endpoint: Endpoint) -> ssl.SSLContext:
    """Return the settings of MODBUS/TCP Security v36: TLS 1.2 or newer, a client certificate. Raises OSError."""
    options = endpoint.options
    try:
        context = ssl.create_default_context(cafile=options.get("ca"))
    except OSError as error:
        raise OSError(f"ca={options.get('ca')} cannot be used: {_file_reason(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if "crl" in options:
        _load_revocation_lists(context, Path(options["crl"]))
    if options.get("verify") == "0":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if "cert" in options:
        try:  # without a password OpenSSL would ask for one on the terminal, and everything would wait for it
            context.load_cert_chain(options["cert"], options["key"], password="")
        except OSError as error:
            wrong = "no PEM files that belong together, or the key has a password, which it must not have"
            reason = wrong if isinstance(error, ssl.SSLError) else os_reason(error)
            raise OSError(f"cert={options['cert']} with key={options['key']} cannot be used: {reason}") from error
    return context


def _load_revocation_lists(context: ssl.SSLContext, path: Path) -> None:
    """Let every authority in the chain have a current list in this file, and nobody be on one. Raises OSError."""
    try:
        content = read_bounded(path)
        context.load_verify_locations(path)
    except OSError as error:
        raise OSError(f"crl={path} cannot be used: {_file_reason(error)}") from error
    if not is_pem_of_lists(content):
        raise OSError(f"crl={path} cannot be used: it holds other things than revocation lists in PEM format")
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN


def _file_reason(error: OSError) -> str:
    return "it holds nothing in PEM format that OpenSSL can read" if isinstance(error, ssl.SSLError) else os_reason(error)


async def _addresses(host: str, port: int) -> list[str]:
    """Resolve a name, at every connect; a name or address with one meaning stays as it is."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    return addresses if len(addresses) > 1 else [host]


_REASONS: Final[dict[type[OSError], str]] = {
    ConnectionRefusedError: "connection refused",  # asyncio and uvloop differ
    socket.gaierror: "the host name cannot be resolved",
}


def _reason(error: OSError) -> str:
    """Return why there is no connection, for people."""
    if isinstance(error, SerialException):
        match error.errno or (errno.EAGAIN if "lock" in str(error) else 0):
            case errno.ENOENT:
                return "there is no such device; is the adapter plugged in?"
            case errno.EACCES | errno.EPERM:
                return "permission denied; the gateway's user needs the group that owns the device, on Debian dialout"
            case errno.EAGAIN | errno.EBUSY:
                return "another program is using it"
            case errno.EISDIR:
                return "it is no serial device"
        return "it is no serial device" if "configure" in str(error) else str(error)
    known = next((reason for kind, reason in _REASONS.items() if isinstance(error, kind)), "")
    return known or os_reason(error)


def _enable_keepalive(peer: socket.socket) -> None:
    """Notice a peer that vanished: what is sent is not acknowledged, or probes of an idle connection are not.

    RFC 5482; RFC 9293, 3.8.4. A unit that does not answer behind a living server is not noticed by this.
    """
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_S)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
