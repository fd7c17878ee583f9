"""What a user writes about Modbus devices."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, ConfigDict, Field, ValidationInfo, field_validator

from gateway.core.config_types import DeviceModel, IntervalNs, TimeoutNs, default
from gateway.sources.modbus.address import RangeText, parse_range
from gateway.sources.modbus.cell_values import Order
from gateway.sources.modbus.endpoint import Endpoint, Url, parse
from gateway.sources.modbus.types import (
    Table,
    is_bits,
)


def _with_unit(schema: dict[str, Any]) -> None:
    """Let editors take the key `unit`, too, which is what `unit_id` was called."""
    schema["properties"]["unit"] = schema["properties"]["unit_id"] | {"deprecated": True, "description": "See `unit_id`."}


class ModbusDevice(DeviceModel):
    """One Modbus unit. Devices with the same `url` share one connection or bus."""

    model_config = ConfigDict(json_schema_extra=_with_unit)

    protocol: Literal["modbus"] = "modbus"
    """Modbus: MODBUS Application Protocol 1.1b3 over TCP, UDP, TLS and serial lines (RTU, ASCII)."""
    url: Url
    """The connection: tcp://host:502, udp://host:502, tls://host:802?ca=ca.pem&cert=me.pem&key=me.key (also server_name=,
    verify=0), rtu+tcp://host:4001, rtu:///dev/ttyUSB0?baudrate=19200&parity=E&stopbits=1, ascii:///dev/ttyUSB0?bytesize=7.
    All take turnaround=5ms (silence between requests), unit_pause=30ms (silence before another unit is addressed) and
    connect_pause=1s (silence after connecting); buses (rtu, ascii, rtu+tcp) echo=1 (the adapter gives back what is sent)."""
    backup: Url | None = None
    """A second address of the same units, of the same form as `url`: used when the first cannot be reached or does not
    answer. The first is asked beside it, within a minute and then up to ten minutes apart, and takes over again when it
    answers."""
    unit: int = Field(1, ge=0, le=255, validation_alias=AliasChoices("unit_id", "unit"))
    """Unit id (before, and still, also `unit`): 1 to 247 behind a gateway or on a bus, 0 or 255 for a device that stands
    alone on TCP."""
    interval: IntervalNs = default("1s")
    """How often every tag is read, unless the tag says otherwise. A duration such as 100ms or 1s."""
    timeout: TimeoutNs = default("1s")
    """How long to wait for the reply to one request. A duration such as 500ms or 1s."""
    byte_order: Order = "ABCD"
    """Order of the bytes on the wire, A the most significant. ABCD: as the standard says (big-endian). CDAB: words swapped.
    BADC: bytes swapped within each word, 16-bit values too. DCBA: both. Longer values follow the same rule: GHEFCDAB
    is CDAB. Text keeps the order of its words; BADC and DCBA swap the bytes within them."""
    addressing: Literal["zero_based", "classic"] = "zero_based"
    """zero_based: tags write holding:100, the number on the wire. classic: they may write 40101 for the same register (also
    30001, 10001, 00001, and with six digits 400101); holding:100 still counts from zero."""
    max_registers: int = Field(125, ge=1, le=125)
    """Most registers that one request may ask for; some devices allow fewer than the standard's 125."""
    max_bits: int = Field(2000, ge=1, le=2000)
    """Most coils or discrete inputs that one request may ask for; the standard allows 2000."""
    max_gap: int = Field(16, ge=0, le=124)
    """Registers between two tags that are read over (and thrown away) so that both share a request: what a further request
    would cost. 0: only tags without a gap share a request."""
    max_gap_bits: int | None = Field(None, ge=0, le=1999)
    """The same for coils and discrete inputs. Left out: sixteen times max_gap, which is the same number of bytes."""
    forbidden: Annotated[tuple[RangeText, ...], Field(max_length=1000)] = ()
    """Addresses that no request may touch, because they do not exist, are write-only or act when read:
    [holding:100-119, coil:7]. Zero-based."""
    max_in_flight: int = Field(1, ge=1, le=16)
    """Requests on the connection at the same time, for servers that can (tcp:// and tls:// only). Devices that share a
    connection use the smallest."""

    requests: tuple[RangeText, ...] = ()
    """The only requests that the device answers, if it allows no others: [holding:0-9, input:100-149]. Each is asked for
    as a whole and never divided; a tag has to lie in one of them. Left out: the fewest requests that read all tags."""
    wide_registers: tuple[RangeText, ...] = ()
    """Addresses at each of which 32 bits stand, as flow computers of Enron and Daniel have them (a count of 1 brings four
    bytes): [holding:5001-5999, holding:7001-7999]. A 16-bit type is the low half of such a register."""
    ignore_transaction_id: bool = False
    """Take replies of tcp://, udp:// and tls:// whose transaction id is wrong, and RTU frames between those of Modbus TCP:
    some serial servers send such. One request at a time; a reply later than the timeout may be taken for the next one's."""

    @field_validator("unit")
    @classmethod
    def _check_unit(cls, unit: int, info: ValidationInfo) -> int:
        if 247 < unit < 255:
            raise ValueError(f"{unit} is reserved by the standard; expected 0 to 247 or 255")
        if "url" in info.data and parse(info.data["url"]).is_bus and not 1 <= unit <= 247:
            what = "the broadcast address, which nobody answers" if unit == 0 else "no unit"
            raise ValueError(f"{unit} is {what} on a bus; expected 1 to 247")
        return unit

    @field_validator("max_in_flight")
    @classmethod
    def _check_in_flight(cls, count: int, info: ValidationInfo) -> int:
        if count > 1 and "url" in info.data and parse(info.data["url"]).scheme not in ("tcp", "tls"):
            raise ValueError(f"{count} requests at once need transaction ids over a stream; expected 1, or tcp:// or tls://")
        if count > 1 and "url" in info.data and parse(info.data["url"]).keeps_distance:
            raise ValueError(
                f"{count} requests at once and silence between them cannot both be; expected 1, or no pauses in url"
            )
        return count

    @field_validator("requests")
    @classmethod
    def _check_requests(cls, ranges: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for one in map(parse_range, ranges):
            most = info.data.get("max_bits", 2000) if is_bits(one.table) else info.data.get("max_registers", 125)
            if one.last - one.first >= most:
                raise ValueError(
                    f"{one.table}:{one.first}-{one.last} is longer than a request; expected up to {most} places"
                )
        return ranges

    @field_validator("wide_registers")
    @classmethod
    def _check_wide(cls, ranges: tuple[str, ...]) -> tuple[str, ...]:
        for text in ranges:
            if is_bits(parse_range(text).table):
                raise ValueError(f"{text} has bits, no registers; expected a range of holding or input")
        return ranges

    @field_validator("ignore_transaction_id")
    @classmethod
    def _check_ignoring(cls, ignores: bool, info: ValidationInfo) -> bool:
        if ignores and "url" in info.data and parse(info.data["url"]).is_bus:
            raise ValueError("a bus has no transaction ids; expected false, or tcp://, udp:// or tls://")
        if ignores and info.data.get("max_in_flight", 1) > 1:
            raise ValueError("replies in any order are known by their transaction id; expected max_in_flight: 1")
        return ignores

    @field_validator("backup")
    @classmethod
    def _check_backup(cls, backup: str | None, info: ValidationInfo) -> str | None:
        if backup is None or "url" not in info.data:
            return backup
        first, second = parse(info.data["url"]), parse(backup)
        if first.scheme != second.scheme:
            raise ValueError(f"{second.scheme}:// is another form than url's; expected {first.scheme}://")
        if first.address == second.address:
            raise ValueError(f"{second.address} is the same as url; expected another address")
        return backup

    def files(self) -> dict[str, Path]:
        """Return the files that are read at each connect, by their key."""
        urls = zip(("url", "backup"), self.endpoints, strict=False)
        return {f"{name}: {key}=": path for name, endpoint in urls for key, path in endpoint.files.items()}

    @property
    def endpoint(self) -> Endpoint:
        """Return the URL, taken apart."""
        return self._parsed(self.url)

    @property
    def endpoints(self) -> list[Endpoint]:
        """Return where its units can be reached, the preferred address first."""
        return [self.endpoint, *([self._parsed(self.backup)] if self.backup else [])]

    def _parsed(self, url: str) -> Endpoint:
        endpoint = parse(url)
        if not self.ignore_transaction_id:
            return endpoint
        return replace(endpoint, options=endpoint.options | {"ignore_transaction_id": "1"})

    @property
    def host(self) -> str:
        """Return host name or address, IPv6 without brackets."""
        return self.endpoint.host

    @property
    def port(self) -> int:
        """Return the network port."""
        return self.endpoint.port

    def gap_of(self, table: Table) -> int:
        """Return the most places of the table that a request may read over."""
        if not is_bits(table):
            return self.max_gap
        return self.max_gap * 16 if self.max_gap_bits is None else self.max_gap_bits

    def most_of(self, table: Table) -> int:
        """Return the most places of the table that a request may ask for."""
        return self.max_bits if is_bits(table) else self.max_registers
