"""Where a connection leads, from one URL: TCP, UDP, TLS, and serial lines in RTU and ASCII."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args
from urllib.parse import parse_qsl, quote, urlsplit

from pydantic import BeforeValidator, WithJsonSchema

from gateway.core.config_types import absolute_path, parse_duration_ns

Scheme = Literal["tcp", "udp", "tls", "rtu+tcp", "rtu", "ascii"]
SCHEMES: Final[tuple[Scheme, ...]] = get_args(Scheme)

_FORMS: Final = (
    "tcp://host:502, udp://, tls:// or rtu+tcp://, rtu:///dev/ttyUSB0?baudrate=19200&parity=E or ascii:///dev/..."
)
_PORTS: Final = {"tcp": 502, "udp": 502, "rtu+tcp": 502, "tls": 802}
_BAUDRATES: Final = (300, 600, 1200, 2400, 4800, 9600, 14400, 19200, 28800, 38400, 57600, 115200, 230400, 460800, 921600)
_NETWORK: Final = re.compile(r"[^\s/]+")


def _one_of(*choices: str) -> Callable[[str, str], str]:
    def check(key: str, value: str) -> str:
        if value.upper() not in choices:
            raise ValueError(f"{key}={value} is not known; expected {key}= one of {', '.join(choices)}")
        return value.upper()

    return check


def _duration(key: str, value: str) -> str:
    try:
        amount = parse_duration_ns(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    if amount > 10_000_000_000:
        raise ValueError(f"{key}={value} is out of range; expected {key}= up to 10s")
    return value


def _file(key: str, value: str) -> str:
    if not value:
        raise ValueError(f"{key}= is empty; expected {key}= a PEM file")
    return str(absolute_path(Path(value)))


def _host(key: str, value: str) -> str:
    if not _NETWORK.fullmatch(value):
        raise ValueError(f"{key}={value} is not a host name; expected {key}= the name in the server's certificate")
    return value


_FLAG = _one_of("0", "1")
_PAUSES: Final[dict[str, Callable[[str, str], str]]] = {
    "turnaround": _duration, "unit_pause": _duration, "connect_pause": _duration,
}  # fmt: skip
_BUS: Final = _PAUSES | {"echo": _FLAG}
_MBAP: Final = _PAUSES | {"ignore_transaction_id": _FLAG}
_OPTIONS: Final[dict[str, dict[str, Callable[[str, str], str]]]] = {
    "tcp": _MBAP,
    "udp": _MBAP,
    "tls": {"ca": _file, "crl": _file, "cert": _file, "key": _file, "server_name": _host, "verify": _FLAG} | _MBAP,
    "rtu+tcp": _BUS,
    "rtu": {"baudrate": _one_of(*map(str, _BAUDRATES)), "parity": _one_of("N", "E", "O"), "stopbits": _one_of("1", "2"),
            "bytesize": _one_of("8")} | _BUS,
    "ascii": {"baudrate": _one_of(*map(str, _BAUDRATES)), "parity": _one_of("N", "E", "O"), "stopbits": _one_of("1", "2"),
              "bytesize": _one_of("7", "8")} | _BUS,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A checked URL, taken apart. Devices whose endpoints have equal `url` share one connection.

    host, port: of a network connection, IPv6 without brackets. path: of a serial device. options: as written, checked.
    """

    scheme: Scheme
    url: str
    host: str = ""
    port: int = 0
    path: str = ""
    options: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def address(self) -> str:
        """Return the URL without options."""
        return self.url.partition("?")[0]

    @property
    def place(self) -> str:
        """Return the serial device, or host and port, for people."""
        return self.path or f"{self.host}:{self.port}"

    @property
    def is_serial(self) -> bool:
        """Return whether it is a serial line on this machine."""
        return self.scheme in ("rtu", "ascii")

    @property
    def is_bus(self) -> bool:
        """Return whether units share a line. Replies carry no transaction id: requests go strictly in turn."""
        return self.scheme in ("rtu", "ascii", "rtu+tcp")

    @property
    def ignores_transaction_id(self) -> bool:
        """Return whether the transaction ids of replies mean nothing."""
        return self.options.get("ignore_transaction_id") == "1"

    @property
    def is_ambiguous(self) -> bool:
        """Return whether a reply is known by unit, function and length only: requests go strictly in turn."""
        return self.is_bus or self.ignores_transaction_id

    @property
    def keeps_distance(self) -> bool:
        """Return whether requests wait for silence before them, so that only one at a time is under way."""
        return self.is_ambiguous or self.turnaround_s > 0 or self.unit_pause_s > 0

    @property
    def baudrate(self) -> int:
        """Return bits per second; the standard's default is 19200 (MODBUS over Serial Line 1.02, 2.1)."""
        return int(self.options.get("baudrate", "19200"))

    @property
    def parity(self) -> str:
        """Return N, E or O; even is the standard's default."""
        return self.options.get("parity", "E")

    @property
    def stopbits(self) -> int:
        """Return 1, or 2 without parity, so that a character always has 11 bits (MODBUS over Serial Line 1.02, 2.5.1)."""
        return int(self.options.get("stopbits", "2" if self.parity == "N" else "1"))

    @property
    def bytesize(self) -> int:
        """Return the bits of a character: by default 8 in RTU, 7 in ASCII (MODBUS over Serial Line 1.02, 2.5)."""
        return int(self.options.get("bytesize", "7" if self.scheme == "ascii" else "8"))

    @property
    def files(self) -> dict[str, Path]:
        """Return the files that are read at each connect, by their option."""
        return {key: Path(self.options[key]) for key in ("ca", "crl", "cert", "key") if key in self.options}

    @property
    def character_s(self) -> float:
        """Return how long one character takes on a serial line."""
        return (1 + self.bytesize + (self.parity != "N") + self.stopbits) / self.baudrate

    @property
    def turnaround_s(self) -> float:
        """Return the silence between two requests on a bus: 3.5 characters or 1.75 ms (MODBUS over Serial Line, 2.5.1.1)."""
        if "turnaround" in self.options:
            return parse_duration_ns(self.options["turnaround"]) / 1e9
        return max(0.00175, 3.5 * self.character_s) if self.is_serial else 0.0

    @property
    def unit_pause_s(self) -> float:
        """Return the silence on a bus before another unit is addressed: transceivers and slow units need about 30 ms."""
        if "unit_pause" in self.options:
            return parse_duration_ns(self.options["unit_pause"]) / 1e9
        return 0.03 if self.is_bus else 0.0

    @property
    def connect_pause_s(self) -> float:
        """Return the silence after connecting: some inverters and converters miss what comes earlier."""
        return parse_duration_ns(self.options.get("connect_pause", "0s")) / 1e9

    @property
    def echo(self) -> bool:
        """Return whether the line gives back what is sent (two-wire adapters without echo suppression)."""
        return self.options.get("echo") == "1"


def parse(value: Any) -> Endpoint:
    """Take a URL apart. Raises ValueError that says what is wrong and what was expected."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a URL; expected {_FORMS}")
    text = value.strip()
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator:
        raise ValueError(f"{value!r} is not a URL; expected {_FORMS}")
    if scheme not in _OPTIONS:
        raise ValueError(f"{scheme}:// is not supported; expected {_FORMS}")
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        host, port = (parts.hostname or "").replace("%25", "%"), parts.port  # RFC 6874: [fe80::1%25eth0]
        host.encode("idna")
    except ValueError as error:
        raise ValueError(f"{value!r} is not a URL ({error}); expected {_FORMS}") from None
    options = _options(scheme, parts.query)
    tail = "?" + "&".join(f"{key}={quote(options[key], safe='/:.')}" for key in sorted(options)) if options else ""
    if scheme in _PORTS:
        plain = not (parts.path.strip("/") or parts.fragment or "@" in parts.netloc)
        if not (plain and _NETWORK.fullmatch(host)) or port == 0:
            raise ValueError(f"{value!r} is not a URL of a Modbus server; expected {scheme}://host or {scheme}://host:port")
        port = port or _PORTS[scheme]
        shown = f"[{host}]" if ":" in host else host
        return Endpoint(scheme, f"{scheme}://{shown}:{port}{tail}", host, port, "", options)  # type: ignore[arg-type]
    if parts.netloc or not parts.path.strip("/") or parts.fragment:
        raise ValueError(f"{value!r} names no serial device; expected {scheme}:///dev/ttyUSB0 (three slashes)")
    return Endpoint(scheme, f"{scheme}://{parts.path}{tail}", "", 0, parts.path, options)  # type: ignore[arg-type]


def _options(scheme: str, query: str) -> dict[str, str]:
    known = _OPTIONS[scheme]
    options: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in known:
            wanted = f"one of {', '.join(known)}"
            raise ValueError(f"{key} is not an option of {scheme}://; expected {wanted}")
        if key in options:
            raise ValueError(f"{key} stands twice; expected each option once")
        options[key] = known[key](key, value)
    if ("cert" in options) != ("key" in options):
        raise ValueError("cert and key go together; expected both PEM files or none")
    return options


Url = Annotated[
    str,
    BeforeValidator(lambda value: parse(value).url),
    WithJsonSchema({"type": "string", "pattern": r"^(tcp|udp|tls|rtu\+tcp|rtu|ascii)://[^\s]+$"}),
]
