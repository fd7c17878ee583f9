"""Where a broker is: `mqtt://host:1883`, `mqtts://host:8883`, `ws://host:80/mqtt`, `wss://host:443/mqtt`. Pure."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
_OTHER_SCHEMES: Final = {"tcp": "mqtt", "ssl": "mqtts", "tls": "mqtts", "http": "ws", "https": "wss"}
_WEBSOCKET_PATH: Final = "/mqtt"
_EXPECTED: Final = "expected for instance mqtt://localhost:1883"


@dataclass(frozen=True, slots=True)
class Address:
    """One broker. host: name or address without brackets; path: of the WebSocket, empty without one."""

    host: str
    port: int
    secure: bool
    path: str = ""

    @property
    def is_local(self) -> bool:
        """Whether the broker is on this machine."""
        return self.host in {"localhost", "127.0.0.1", "::1"}

    def __str__(self) -> str:
        scheme = ("wss" if self.secure else "ws") if self.path else ("mqtts" if self.secure else "mqtt")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}{self.path}"


def parse_address(url: str) -> Address:
    """Return the broker that `url` names; the port may be left out, and a WebSocket's path, which is then `/mqtt`.

    Raises ValueError that says what was expected and never quotes a password back.
    """
    scheme, mark, _ = url.partition("://")
    if not mark or scheme not in _PORTS:
        hint = f"; write {_OTHER_SCHEMES[scheme]}://" if mark and scheme in _OTHER_SCHEMES else ""
        raise ValueError(f"must begin with mqtt://, mqtts:// (TLS), ws:// or wss:// (WebSocket); {_EXPECTED}{hint}")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"the host is not a host name or address; {_EXPECTED}") from None
    if "@" in parts.netloc:
        raise ValueError("must not carry user name or password (logs would show them); set mqtt.username and mqtt.password")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("the port must be a number from 1 to 65535") from None
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError("the port must be a number from 1 to 65535")
    host = parts.hostname
    if not host or not host.isprintable() or any(c in host for c in " \\"):
        raise ValueError(f"the host is missing or not a host name; {_EXPECTED}")
    if parts.query or parts.fragment:
        raise ValueError("nothing may follow host, port and path")
    websocket = scheme in {"ws", "wss"}
    if not websocket and parts.path not in {"", "/"}:
        raise ValueError("nothing may follow host and port; topics are set with mqtt.root")
    if not parts.path.isascii() or not parts.path.isprintable() or " " in parts.path:
        raise ValueError("the path of a WebSocket is ASCII without spaces, for instance /mqtt")
    path = (_WEBSOCKET_PATH if parts.path in {"", "/"} else parts.path) if websocket else ""
    return Address(host, port or _PORTS[scheme], scheme in {"mqtts", "wss"}, path)
