"""A connection to the broker through a proxy, which resolves the broker's name. Blocks: for a thread."""

import http.client
import socket
import threading
from base64 import b64encode
from contextlib import suppress
from typing import Final

from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError, ProxyType
from python_socks.sync import Proxy

from gateway.core.errors import NotConnected
from gateway.core.foreign_text import clean
from gateway.core.os_errors import os_reason
from gateway.core.undo import undone_on_error
from gateway.sinks.mqtt.login_config import MqttProxy

_LONGEST_ANSWER: Final = 200
_LOGIN: Final = "check mqtt.proxy.username and mqtt.proxy.password"


def connect_through(proxy: MqttProxy, host: str, port: int, timeout_s: float) -> socket.socket:
    """Return a socket that leads to the broker. Raises NotConnected that tells proxy and broker apart.

    HTTP CONNECT (RFC 9110, 9.3.6) by the standard library, SOCKS 5 (RFC 1928) by python-socks, whose way of reading an
    HTTP answer takes its first piece for all of it.
    """
    assert proxy.address is not None
    scheme, proxy_host, proxy_port = proxy.address
    where = f"the proxy {scheme}://{proxy_host}:{proxy_port}"
    connect = _connect_http if scheme == "http" else _connect_socks
    try:
        return connect(proxy, host, port, timeout_s)
    except (TimeoutError, ProxyTimeoutError):
        raise NotConnected(f"{where} does not answer within {timeout_s:g} s for {host}:{port}") from None
    except (ConnectionRefusedError, ProxyConnectionError, socket.gaierror) as error:
        raise NotConnected(f"{where} cannot be reached: check mqtt.proxy.url ({_reason(error)})") from None
    except (OSError, ProxyError, http.client.HTTPException, ValueError) as error:
        raise NotConnected(f"{where} does not connect to {host}:{port}: {_reason(error)}") from None


def _connect_http(proxy: MqttProxy, host: str, port: int, timeout_s: float) -> socket.socket:
    assert proxy.address is not None
    headers = {}
    if proxy.username:
        login = f"{proxy.username}:{proxy.password.get_secret_value()}".encode()
        headers["Proxy-Authorization"] = f"Basic {b64encode(login).decode()}"
    connection = http.client.HTTPConnection(proxy.address[1], proxy.address[2], timeout=timeout_s)
    connection.set_tunnel(f"[{host}]" if ":" in host else host, port, headers)

    def hang_up() -> None:
        with suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)

    # The standard library reads header lines for as long as they come.
    timer = threading.Timer(2 * timeout_s, hang_up)
    timer.daemon = True
    timer.start()
    try:
        with undone_on_error(connection.close):
            connection.connect()
    finally:
        timer.cancel()
    return connection.sock


def _connect_socks(proxy: MqttProxy, host: str, port: int, timeout_s: float) -> socket.socket:
    assert proxy.address is not None
    login = proxy.username or None, proxy.password.get_secret_value() or None
    return Proxy(ProxyType.SOCKS5, proxy.address[1], proxy.address[2], *login, rdns=True).connect(host, port, timeout_s)


def _reason(error: Exception) -> str:
    match error:
        case ProxyError():
            said = str(error)
        case OSError():
            said = os_reason(error)
        case _:  # whose words are those of a program
            said = "its answer makes no sense"
    text = clean(said, _LONGEST_ANSWER) or "it gives no reason"
    is_login = any(sign in text for sign in ("401", "407", "uthenticat"))
    return f"{text}: {_LOGIN}" if is_login else text
