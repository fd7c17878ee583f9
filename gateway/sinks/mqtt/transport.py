"""From an address to something that carries bytes: TCP, TLS, WebSocket, one on the other. Blocks: for a thread."""

import socket
from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.errors import NotConnected
from gateway.core.undo import undone_on_error
from gateway.sinks.access.certificates import Certificate
from gateway.sinks.mqtt.address import Address
from gateway.sinks.mqtt.buffered_socket import BufferedSocket
from gateway.sinks.mqtt.config import MqttConfig, MqttTls
from gateway.sinks.mqtt.proxy import connect_through
from gateway.sinks.mqtt.reason_codes import unreachable
from gateway.sinks.mqtt.tls import secured
from gateway.sinks.mqtt.websocket import WebSocket

_STAYS_S = 0.5
_LARGEST_PROBE_FRAME_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class OpenStream:
    """A stream to a broker before the first MQTT packet."""

    stream: BufferedSocket
    certificate: Certificate | None = None
    """The broker's, with TLS."""
    password: str = ""
    """The gateway's, as it was read for this connection."""


def connect_stream(address: Address, config: MqttConfig, timeout_s: float, largest_frame_bytes: int) -> OpenStream:
    """Look the name up, connect, make the handshakes, each within `timeout_s` seconds.

    largest_frame_bytes: of a WebSocket. Raises NotConnected that says what to do.
    """
    tls = config.tls

    def dial() -> socket.socket:
        if config.proxy.url:
            return connect_through(config.proxy, address.host, address.port, timeout_s)
        return socket.create_connection((address.host, address.port), timeout_s)

    try:
        return _dressed(dial, address, tls, timeout_s, largest_frame_bytes)
    except (OSError, ValueError) as error:
        raise unreachable(error, address.host, address.port, timeout_s, tls.server_name) from None


def _dressed(
    dial: Callable[[], socket.socket], address: Address, tls: MqttTls, timeout_s: float, largest_frame_bytes: int
) -> OpenStream:
    """TLS and WebSocket on a new socket, which is closed if that fails. Raises NotConnected, OSError, ValueError."""
    sock, certificate = dial(), None
    with undone_on_error(lambda: sock.close()):  # noqa: PLW0108 - the one in use by then, which has no other owner yet
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.secure:
            sock, certificate = secured(sock, address.host, tls)
            if tls.ocsp == "stapled":
                # imported here, because only who asks for it needs OpenSSL a second time
                from gateway.sinks.mqtt.staple import require_staple

                require_staple(dial, address, tls, sock.getpeercert(binary_form=True) or b"", timeout_s)
        if address.path:
            return OpenStream(WebSocket(sock, str(address), timeout_s, largest_frame_bytes), certificate)
        return OpenStream(BufferedSocket(sock), certificate)


def probe(address: Address, config: MqttConfig, timeout_s: float) -> None:
    """Connect and hang up again without a word of MQTT, so that no broker sees the client id twice. Raises NotConnected.

    Whoever closes the connection at once (a balancer whose broker is away) does not count as reachable.
    """
    stream = connect_stream(address, config, timeout_s, _LARGEST_PROBE_FRAME_BYTES).stream
    try:
        stream.settimeout(_STAYS_S)
        if not stream.fill():
            raise NotConnected(f"{address} hangs up at once")
    except TimeoutError:
        pass  # it waits for what the client has to say
    except OSError as error:
        raise unreachable(error, address.host, address.port, timeout_s) from None
    finally:
        stream.close()
