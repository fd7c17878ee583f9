"""What a user writes about Modbus tags."""

from typing import Any, Final, Literal, get_args

from pydantic import Field, ValidationInfo, field_validator

from gateway.core.config_types import IntervalNs, TagModel
from gateway.sources.modbus.address import Address, is_classic, resolve
from gateway.sources.modbus.cell_values import Labels, Mask, NotAvailable, Order, pattern
from gateway.sources.modbus.types import (
    HALVES,
    INTEGERS,
    LAST_ADDRESS,
    REGISTERS,
    TEXTS,
    TIMES,
    UNSIGNED,
    Table,
    ValueType,
    is_bits,
    size_bytes,
)

_MOST_LABELS = 1000
_TYPES: Final = get_args(ValueType)
_OTHER_WORDS: Final = {
    "real": "float32", "float": "float32", "single": "float32", "f32": "float32", "lreal": "float64", "double": "float64",
    "f64": "float64", "int": "int16", "short": "int16", "s16": "int16", "i16": "int16", "uint": "uint16", "word": "uint16",
    "u16": "uint16", "ushort": "uint16", "dint": "int32", "long": "int32", "s32": "int32", "i32": "int32", "udint": "uint32",
    "dword": "uint32", "u32": "uint32", "lint": "int64", "s64": "int64", "i64": "int64", "ulint": "uint64",
    "lword": "uint64", "u64": "uint64", "sint": "int8", "usint": "uint8", "byte": "uint8", "bit": "bool",
    "boolean": "bool", "str": "string",
}  # fmt: skip
"""Words of other programs and of IEC 61131-3 for a type."""


class ModbusTag(TagModel):
    """One value of a Modbus device."""

    address: Address
    """Where the value stands: holding:100, input:7, coil:3 or discrete:12, zero-based as on the wire; with the device's
    `addressing: classic` also 40101."""
    type: ValueType | None = None
    """How to read it: bool, int8, uint8, int16, uint16, int32, uint32, int64, uint64, float16, float32, float64, bcd8,
    bcd16, bcd32, bcd64, sm8, sm16, sm32 (a sign bit and a magnitude), string, bytes. Left out: uint16 for registers, bool
    for coils, discrete inputs and tags with a `bit`. bool in a register: true unless 0. int8, uint8, sm8 and bcd8 are half a
    register, see `byte`. Dates and times, published as text: datetime6 (year, month, day, hour, minute, second in six
    registers), datetime3 (the same in six bytes), datetime_bcd (in six bytes of BCD), epoch (seconds since 1970 UTC, 32
    bits), hhmm (930 is 09:30), hhmm_bytes (hours in the high byte), hhmm_bcd (0x0930)."""
    bit: int | None = Field(None, ge=0, le=63)
    """One bit, 0 the least significant: of a register, or with type uint32 or uint64 of all of its registers."""
    byte: Literal["low", "high"] | None = None
    """Which half of the register an int8, uint8, sm8 or bcd8 is (left out: low). For a string or bytes: only this half of
    each register is read, one character per register."""
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
    labels_shifted: bool = True
    """With a mask: labels name the number shifted down to the lowest bit of the mask. false: they name the bits in place,
    as manuals often do ({0x0100: on, 0x0200: off})."""
    flags: Labels | None = None
    """Names of single bits of an unsigned integer: {0: door open, 3: overload}, in a spreadsheet 0=door open | 3=overload.
    The value is the list of the names of the bits that are set, lowest first; other bits appear as "bit 7", uncertain."""
    interval: IntervalNs | None = None
    """How often to read it if it differs from the device's interval. A duration such as 100ms or 1h."""

    @field_validator("type", mode="before")
    @classmethod
    def _suggest_type(cls, value: Any) -> Any:
        """Name the type that is meant by another's word, such as REAL (IEC 61131-3)."""
        if isinstance(value, str) and value not in _TYPES:
            meant = value.lower() if value.lower() in _TYPES else _OTHER_WORDS.get(value.lower())
            if meant:
                raise ValueError(f"{value!r} is not a type; expected {meant}?")
        return value

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
            kind = info.data["type"]
            if kind not in (None, "bool", "uint32", "uint64"):
                raise ValueError(f"a bit is no {kind}; expected type bool or none, or uint32 or uint64 for a bit of these")
            if bit >= 16 * REGISTERS[kind or "uint16"]:
                raise ValueError(f"{bit} is past bit 15; expected 0 to 15, or type uint32 (to 31) or uint64 (to 63)")
        return bit

    @field_validator("byte")
    @classmethod
    def _check_byte(cls, byte: str | None, info: ValidationInfo) -> str | None:
        if byte is not None and "type" in info.data and info.data["type"] not in (*HALVES, *TEXTS):
            raise ValueError(f"{byte} is half a register; expected type int8 or uint8 (sm8, bcd8), string or bytes")
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
            registers = (length + 1) // 2 if info.data.get("byte") is None else length
            _check_end(kind, resolve(info.data["address"])[1], registers)
        return length

    @field_validator("scale")
    @classmethod
    def _check_scale(cls, scale: float, info: ValidationInfo) -> float:
        if scale == 0:
            raise ValueError("0 would make every value the same; expected a number other than 0")
        if scale != 1 and info.data.get("type") in (*TEXTS, *TIMES):
            raise ValueError(f"a {info.data['type']} has no scale; expected none")
        return scale

    @field_validator("not_available")
    @classmethod
    def _check_patterns(cls, values: tuple[int | float | str, ...], info: ValidationInfo) -> tuple[int | float | str, ...]:
        if "type" in info.data and "bit" in info.data and "address" in info.data and values:
            kind = _decided(info.data)
            if kind == "bool" or kind in TEXTS or kind in TIMES:
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
        if kind not in (*INTEGERS, "bool") and not kind.startswith("bcd"):
            raise ValueError(f"labels do not fit {kind}; expected an integer type or bool")
        if info.data["scale"] != 1 or info.data["offset"] != 0:
            raise ValueError("labels name raw values; expected no scale and no offset beside them")
        if not 1 <= len(labels) <= _MOST_LABELS:
            raise ValueError(f"{len(labels)} labels; expected 1 to {_MOST_LABELS}")
        return labels

    @field_validator("labels_shifted")
    @classmethod
    def _check_shifted(cls, shifted: bool, info: ValidationInfo) -> bool:
        labels, mask = info.data.get("labels"), info.data.get("mask")
        if shifted or labels is None:
            return shifted
        if mask is None:
            raise ValueError("nothing is shifted without a mask; expected a mask, or no labels_shifted")
        for number in labels:
            if number & ~mask:
                raise ValueError(f"{number:#x} has bits outside the mask {mask:#x}; expected labels of the bits in place")
        return shifted

    @field_validator("flags")
    @classmethod
    def _check_flags(cls, flags: dict[int, str] | None, info: ValidationInfo) -> dict[int, str] | None:
        if flags is None or not {"type", "bit", "address", "scale", "offset"} <= info.data.keys():
            return flags
        kind = _decided(info.data)
        if kind not in UNSIGNED or info.data["bit"] is not None:
            raise ValueError(f"names of bits do not fit {kind}; expected type {', '.join(UNSIGNED)}")
        if info.data["scale"] != 1 or info.data["offset"] != 0 or info.data.get("labels"):
            raise ValueError("bits have no scale, offset or labels; expected none of them beside flags")
        if not flags or not 0 <= min(flags) <= max(flags) < 8 * size_bytes(kind):
            raise ValueError(f"{kind} has the bits 0 to {8 * size_bytes(kind) - 1}; expected names of these")
        return flags

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
        if not self.length:
            return REGISTERS[self.value_type]
        return self.length if self.byte is not None else (self.length + 1) // 2

    @property
    def is_text(self) -> bool:
        """Return whether its value is no number: it comes in `ObjectBlock`s only."""
        return self.value_type in TEXTS or self.value_type in TIMES or bool(self.flags)

    @property
    def is_logical(self) -> bool:
        """Return whether its value is true or false."""
        return self.value_type == "bool" or self.bit is not None

    @property
    def named_values(self) -> dict[int, str]:
        """Return the labels by the number that is published."""
        shift = 0 if self.labels_shifted or not self.mask else (self.mask & -self.mask).bit_length() - 1
        return {number >> shift: label for number, label in (self.labels or {}).items()}


def _decided(given: dict[str, Any]) -> ValueType:
    kind: ValueType | None = given["type"]
    return kind or ("bool" if given["bit"] is not None or is_bits(resolve(given["address"])[0]) else "uint16")


def _check_end(kind: str, start: int, registers: int) -> None:
    last = LAST_ADDRESS + 1 - registers
    if start > last:
        raise ValueError(f"{kind} at {start} reaches past address {LAST_ADDRESS}; expected an address up to {last}")
