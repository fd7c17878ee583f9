"""What a user writes about Modbus tags."""

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from gateway.core.config_types import IntervalNs, TagModel
from gateway.sources.modbus.address import Address, is_classic, resolve
from gateway.sources.modbus.cell_values import Labels, Mask, NotAvailable, Order, pattern
from gateway.sources.modbus.types import (
    INTEGERS,
    LAST_ADDRESS,
    REGISTERS,
    TEXTS,
    Table,
    ValueType,
    is_bits,
    size_bytes,
)

_MOST_LABELS = 1000


class ModbusTag(TagModel):
    """One value of a Modbus device."""

    address: Address
    """Where the value stands: holding:100, input:7, coil:3 or discrete:12, zero-based as on the wire; with the device's
    `addressing: classic` also 40101."""
    type: ValueType | None = None
    """How to read it: bool, int8, uint8, int16, uint16, int32, uint32, int64, uint64, float16, float32, float64, bcd16,
    bcd32, bcd64, string, bytes. Left out: uint16 for registers, bool for coils, discrete inputs and tags with a `bit`.
    bool in a register: true unless 0. int8 and uint8 are half a register, see `byte`."""
    bit: int | None = Field(None, ge=0, le=15)
    """One bit of a register, 0 the least significant."""
    byte: Literal["low", "high"] = "low"
    """Which half of the register an int8 or uint8 is."""
    mask: Mask | None = None
    """Bits of an unsigned integer that count, such as 0x00F0; the number is shifted down to the lowest of them."""
    length: int | None = Field(None, ge=1, le=250)
    """Bytes of a string or of raw bytes; an odd number ends in the first byte of its last register."""
    encoding: Literal["utf-8", "ascii", "latin-1", "cp1252"] = "utf-8"
    """Character set of a string. The string ends at the first zero byte; spaces at its end are cut off."""
    byte_order: Order | None = None
    """Order of the bytes if it differs from the device's: ABCD, BADC, CDAB, DCBA, or as for 64 bits: GHEFCDAB."""
    scale: float = Field(1.0, allow_inf_nan=False)
    """The number read is multiplied by this: raw units to engineering units."""
    offset: float = Field(0.0, allow_inf_nan=False)
    """Added after scaling, in engineering units."""
    not_available: NotAvailable = ()
    """Raw values that mean "no value": 0x8000, [-32768, 32767], in a spreadsheet 0x8000 | 0x7FFF. The sample is bad
    (not_available). A number is compared before masks and scaling; in quotes and hexadecimal ("0x7F800001") it is the bits
    of a float."""
    labels: Labels | None = None
    """Names of an integer's values: {0: stopped, 1: running}, in a spreadsheet 0=stopped | 1=running. The number is
    published as ever and its label beside it."""
    interval: IntervalNs | None = None
    """How often to read it if it differs from the device's interval. A duration such as 100ms or 1h."""

    @field_validator("type")
    @classmethod
    def _check_type(cls, value: ValueType | None, info: ValidationInfo) -> ValueType | None:
        if "address" not in info.data:
            return value
        table, start = resolve(info.data["address"])
        if is_bits(table) and value not in (None, "bool"):
            raise ValueError(f"{value} does not fit a {table}, which is one bit; expected bool")
        if value not in TEXTS:
            _check_end(value or "uint16", start, REGISTERS[value or "uint16"])
        return value

    @field_validator("bit")
    @classmethod
    def _check_bit(cls, bit: int | None, info: ValidationInfo) -> int | None:
        if bit is not None and "address" in info.data and "type" in info.data:
            table = resolve(info.data["address"])[0]
            if is_bits(table):
                raise ValueError(f"a {table} is one bit already; expected no bit, or a register")
            if info.data["type"] not in (None, "bool"):
                raise ValueError(f"a bit is no {info.data['type']}; expected type bool or none")
        return bit

    @field_validator("byte")
    @classmethod
    def _check_byte(cls, byte: str, info: ValidationInfo) -> str:
        if byte != "low" and "type" in info.data and info.data["type"] not in ("int8", "uint8"):
            raise ValueError(f"{byte} is half a register; expected type int8 or uint8")
        return byte

    @field_validator("mask")
    @classmethod
    def _check_mask_fits(cls, mask: int | None, info: ValidationInfo) -> int | None:
        if mask is None or "address" not in info.data or "type" not in info.data or "bit" not in info.data:
            return mask
        kind: ValueType = info.data["type"] or "uint16"
        if is_bits(resolve(info.data["address"])[0]) or info.data["bit"] is not None:
            raise ValueError("one bit needs no mask; expected a mask only for whole registers")
        if kind not in ("uint8", "uint16", "uint32", "uint64", "bool"):
            raise ValueError(f"a mask does not fit {kind}; expected an unsigned integer type or bool")
        if not 0 < mask < 1 << 8 * size_bytes(kind):
            raise ValueError(f"{mask:#x} does not fit {kind}; expected 0x1 to {(1 << 8 * size_bytes(kind)) - 1:#x}")
        return mask

    @field_validator("length")
    @classmethod
    def _check_length(cls, length: int | None, info: ValidationInfo) -> int | None:
        if "type" not in info.data or "address" not in info.data:
            return length
        kind = info.data["type"]
        if length is None and kind in TEXTS:
            raise ValueError(f"is missing for a {kind}; expected its length in bytes")
        if length is not None and kind not in TEXTS:
            raise ValueError(f"a {kind or 'number'} has no length; expected type string or bytes")
        if length is not None:
            _check_end(kind, resolve(info.data["address"])[1], (length + 1) // 2)
        return length

    @field_validator("scale")
    @classmethod
    def _check_scale(cls, scale: float, info: ValidationInfo) -> float:
        if scale == 0:
            raise ValueError("0 would make every value the same; expected a number other than 0")
        if scale != 1 and info.data.get("type") in TEXTS:
            raise ValueError(f"a {info.data['type']} has no scale; expected none")
        return scale

    @field_validator("not_available")
    @classmethod
    def _check_patterns(cls, values: tuple[int | float | str, ...], info: ValidationInfo) -> tuple[int | float | str, ...]:
        if "type" in info.data and "bit" in info.data and "address" in info.data and values:
            kind = _decided(info.data)
            if kind == "bool" or kind in TEXTS:
                raise ValueError(f"a {kind} has no value to spare for this; expected a number type")
            for value in values:
                pattern(kind, value)
        return values

    @field_validator("labels")
    @classmethod
    def _check_labels_fit(cls, labels: dict[int, str] | None, info: ValidationInfo) -> dict[int, str] | None:
        if labels is None or not {"type", "bit", "address", "scale", "offset"} <= info.data.keys():
            return labels
        kind = _decided(info.data)
        if kind not in (*INTEGERS, "bool", "bcd16", "bcd32", "bcd64"):
            raise ValueError(f"labels do not fit {kind}; expected an integer type or bool")
        if info.data["scale"] != 1 or info.data["offset"] != 0:
            raise ValueError("labels name raw values; expected no scale and no offset beside them")
        if not 1 <= len(labels) <= _MOST_LABELS:
            raise ValueError(f"{len(labels)} labels; expected 1 to {_MOST_LABELS}")
        return labels

    @property
    def table(self) -> Table:
        """Return the table it stands in."""
        return resolve(self.address)[0]

    @property
    def start(self) -> int:
        """Return the zero-based address of its first register or bit."""
        return resolve(self.address)[1]

    @property
    def classic(self) -> bool:
        """Return whether the address is written as 40101."""
        return is_classic(self.address)

    @property
    def value_type(self) -> ValueType:
        """Return its type, the default filled in."""
        return _decided({"address": self.address, "type": self.type, "bit": self.bit})

    @property
    def width(self) -> int:
        """Return how many registers (or bits) it takes."""
        return (self.length + 1) // 2 if self.length else REGISTERS[self.value_type]

    @property
    def is_text(self) -> bool:
        """Return whether its value is no number: it comes in `ObjectBlock`s only."""
        return self.value_type in TEXTS


def _decided(given: dict[str, Any]) -> ValueType:
    kind: ValueType | None = given["type"]
    return kind or ("bool" if given["bit"] is not None or is_bits(resolve(given["address"])[0]) else "uint16")


def _check_end(kind: str, start: int, registers: int) -> None:
    last = LAST_ADDRESS + 1 - registers
    if start > last:
        raise ValueError(f"{kind} at {start} reaches past address {LAST_ADDRESS}; expected an address up to {last}")
