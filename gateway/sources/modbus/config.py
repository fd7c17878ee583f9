"""What a user writes about Modbus devices and tags."""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from gateway.core.fields import DeviceModel, IntervalNs, TagModel, TimeoutNs, default

Table = Literal["holding", "input", "coil", "discrete"]
ValueType = Literal["bool", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
ByteOrder = Literal["ABCD", "BADC", "CDAB", "DCBA"]

REGISTERS: dict[ValueType, int] = {
    "bool": 1, "int16": 1, "uint16": 1, "int32": 2, "uint32": 2, "float32": 2, "int64": 4, "uint64": 4, "float64": 4,
}  # fmt: skip
"""Registers (16 bits each) that a value of each type takes."""

_LAST_ADDRESS = 65535
_ADDRESS = re.compile(r"\s*(holding|input|coil|discrete)\s*:\s*(\d{1,9})\s*")
_ADDRESS_FORM = "table:address with the table holding, input, coil or discrete and a zero-based address, such as holding:100"
_URL_FORM = "tcp://host or tcp://host:port"


def _check_address(value: object) -> str:
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a Modbus address; expected {_ADDRESS_FORM}")
    if int(match[2]) > _LAST_ADDRESS:
        raise ValueError(f"{value!r} is out of range; expected an address from 0 to {_LAST_ADDRESS}")
    return f"{match[1]}:{int(match[2])}"


def _check_url(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a URL; expected {_URL_FORM}")
    scheme, separator, _ = value.strip().partition("://")
    if separator and scheme.lower() != "tcp":
        raise ValueError(f"{scheme}:// is not supported; expected {_URL_FORM}")
    try:
        parts = urlsplit(value.strip())
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError as error:
        raise ValueError(f"{value!r} is not a URL ({error}); expected {_URL_FORM}") from None
    plain = not (parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc)
    if not (separator and plain and re.fullmatch(r"[^\s/]+", host)) or port == 0:
        raise ValueError(f"{value!r} is not a URL of a Modbus server; expected {_URL_FORM}")
    return f"tcp://[{host}]:{port or 502}" if ":" in host else f"tcp://{host}:{port or 502}"


Address = Annotated[
    str,
    BeforeValidator(_check_address),
    WithJsonSchema({"type": "string", "pattern": r"^\s*(holding|input|coil|discrete)\s*:\s*\d{1,5}\s*$"}),
]
Url = Annotated[str, BeforeValidator(_check_url), WithJsonSchema({"type": "string", "pattern": "^tcp://[^/]+/?$"})]


class ModbusDevice(DeviceModel):
    """One Modbus unit behind a TCP connection. Devices with the same `url` share one connection."""

    protocol: Literal["modbus"] = "modbus"
    """Modbus, as in MODBUS Application Protocol 1.1b3 and MODBUS Messaging on TCP/IP 1.0b."""
    url: Url
    """Where the device or its gateway listens: tcp://host:port, port 502 when left out."""
    unit: int = Field(1, ge=0, le=255)
    """Unit id: 1 to 247 behind a gateway or on a bus, 0 or 255 for a device that stands alone on TCP."""
    interval: IntervalNs = default("1s")
    """How often every tag is read, unless the tag says otherwise. A duration such as 100ms or 1s."""
    timeout: TimeoutNs = default("1s")
    """How long to wait for the reply to one request. A duration such as 500ms or 1s."""
    byte_order: ByteOrder = "ABCD"
    """Order of the bytes on the wire, A the most significant. ABCD: as the standard says (big-endian). CDAB: words swapped.
    BADC: bytes swapped within each word, 16-bit values too. DCBA: both. Longer values follow the same rule."""
    max_registers: int = Field(125, ge=1, le=125)
    """Most registers that one request may ask for; some devices allow fewer than the standard's 125."""
    max_bits: int = Field(2000, ge=1, le=2000)
    """Most coils or discrete inputs that one request may ask for; the standard allows 2000."""
    max_gap: int = Field(16, ge=0, le=124)
    """Registers between two tags that are read over (and thrown away) so that both share a request; for coils and discrete
    inputs sixteen times as many, which is the same number of bytes. 0: only tags without a gap share a request."""

    @field_validator("unit")
    @classmethod
    def _check_unit(cls, unit: int) -> int:
        if 247 < unit < 255:
            raise ValueError(f"{unit} is reserved by the standard; expected 0 to 247 or 255")
        return unit

    @property
    def host(self) -> str:
        """Host name or address, IPv6 without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """TCP port."""
        return urlsplit(self.url).port or 502


class ModbusTag(TagModel):
    """One value of a Modbus device."""

    address: Address
    """Where the value stands: holding:100, input:7, coil:3 or discrete:12, zero-based as on the wire."""
    type: ValueType | None = None
    """How to read it: bool, int16, uint16, int32, uint32, int64, uint64, float32, float64. Left out: uint16 for registers,
    bool for coils and discrete inputs. bool in a register: true unless 0."""
    byte_order: ByteOrder | None = None
    """Order of the bytes if it differs from the device's: ABCD, BADC, CDAB, DCBA."""
    scale: float = Field(1.0, allow_inf_nan=False)
    """The number read is multiplied by this: raw units to engineering units."""
    offset: float = Field(0.0, allow_inf_nan=False)
    """Added after scaling, in engineering units."""
    interval: IntervalNs | None = None
    """How often to read it if it differs from the device's interval. A duration such as 100ms or 1h."""

    @field_validator("type")
    @classmethod
    def _check_type(cls, value: ValueType | None, info: ValidationInfo) -> ValueType | None:
        if "address" not in info.data:
            return value
        table, start = _split(info.data["address"])
        if table in ("coil", "discrete") and value not in (None, "bool"):
            raise ValueError(f"{value} does not fit a {table}, which is one bit; expected bool")
        last = _LAST_ADDRESS + 1 - REGISTERS[value or "uint16"]
        if start > last:
            raise ValueError(f"{value} at {start} reaches past address {_LAST_ADDRESS}; expected an address up to {last}")
        return value

    @field_validator("scale")
    @classmethod
    def _check_scale(cls, scale: float) -> float:
        if scale == 0:
            raise ValueError("0 would make every value the same; expected a number other than 0")
        return scale

    @property
    def table(self) -> Table:
        """The table it stands in."""
        return _split(self.address)[0]

    @property
    def start(self) -> int:
        """Zero-based address of its first register or bit."""
        return _split(self.address)[1]

    @property
    def value_type(self) -> ValueType:
        """Its type, decided."""
        return self.type or ("bool" if self.table in ("coil", "discrete") else "uint16")

    @property
    def width(self) -> int:
        """Registers (or bits) it takes."""
        return REGISTERS[self.value_type]


def _split(address: str) -> tuple[Table, int]:
    table, _, start = address.partition(":")
    return table, int(start)  # type: ignore[return-value]
