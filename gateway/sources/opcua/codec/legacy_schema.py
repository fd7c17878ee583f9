"""Type dictionaries of servers from before OPC UA 1.04, as XML (Part 3 up to 1.03, Annex C; Part 5, Annex D). Pure.

The bytes come from a server and nobody vouches for them: a document type, and with it every entity, is refused, nothing is
ever fetched, and length, depth and number of fields are bounded.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeGuard
from xml.parsers import expat

from gateway.sources.opcua.codec.legacy_fields import (
    MOST_DIGITS,
    FieldRefused,
    length_of,
    switch_of,
    terminator_of,
    with_hidden,
)
from gateway.sources.opcua.codec.legacy_scalars import BIT, CHAR, WIDE_CHAR, WIDE_TEXT
from gateway.sources.opcua.codec.legacy_structures import LegacyStructure, LegacyType, Member, Opaque, TypeName

SCHEMA: Final = "http://opcfoundation.org/BinarySchema/"
STANDARD: Final = "http://opcfoundation.org/UA/"
MOST_BYTES: Final = 8 * 2**20
_MOST_FIELDS: Final = 200_000
_DEEPEST: Final = 16
_MOST_BITS: Final = 64
_INT32, _UINT32 = 6, 7
_BUILT_IN: Final[Mapping[str, int]] = {
    name: number
    for number, name in enumerate(
        (
            "Boolean", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double", "String",
            "DateTime", "Guid", "ByteString", "XmlElement", "NodeId", "ExpandedNodeId", "StatusCode", "QualifiedName",
            "LocalizedText", "ExtensionObject", "DataValue", "Variant",
        ),
        1,
    )
} | {
    "CharArray": 12, "Char": CHAR, "WideChar": WIDE_CHAR, "WideString": WIDE_TEXT, "WideCharArray": WIDE_TEXT, "Bit": BIT,
}  # fmt: skip
_ENUMERATIONS: Final = {8: 3, 16: 5, 32: _INT32, 64: 9}
"""Built-in types by length in bits: unsigned (Part 5, C.2.4), but UA's own enumerations of 32 bits (Part 6, 5.2.4)."""


class BadDictionary(ValueError):
    """The bytes are no type dictionary that can be used."""


@dataclass(frozen=True, slots=True)
class Dictionary:
    """A type dictionary, parsed."""

    namespace: str
    """Namespace of its types."""
    types: Mapping[str, LegacyStructure | Opaque | int]
    """By name: a structure, bytes of a fixed length, or the built-in type as which an enumeration is encoded."""
    refused: Mapping[str, str]
    """Structures whose description cannot be used, with the field and the reason."""


def parse_dictionary(data: bytes) -> Dictionary:
    """Parse a type dictionary. Takes about 0.1 s for each MiB. Raises BadDictionary."""
    if len(data) > MOST_BYTES:
        raise BadDictionary(f"it has {len(data)} bytes; no more than {MOST_BYTES} are read")
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartNamespaceDeclHandler = reader.bind
    parser.EndNamespaceDeclHandler = reader.unbind
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    try:
        parser.Parse(data.rstrip(b"\0 \r\n\t"), True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # an encoding that Python does not know is a LookupError
        raise BadDictionary(str(error)) from None
    if reader.depth or not reader.is_dictionary:
        raise BadDictionary("it has no TypeDictionary")
    return reader.dictionary()


def _refuse_doctype(*_: object) -> None:
    raise BadDictionary("it has a document type, which is refused")


@dataclass(slots=True)
class _Structured:
    """A structure as it stands in the file; base is the type that it is derived from."""

    base: TypeName
    big: bool | None
    fields: list[tuple[Mapping[str, str], LegacyType]] = field(default_factory=list)


@dataclass(slots=True)
class _Reader:
    """expat's callbacks. Elements are known by their local names: some servers bind the schema's namespace wrongly."""

    namespace: str = ""
    is_dictionary: bool = False
    depth: int = 0
    _types: dict[str, Opaque | int] = field(default_factory=dict)
    _odd: dict[str, int] = field(default_factory=dict)
    _structures: dict[str, _Structured] = field(default_factory=dict)
    _prefixes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _big: bool = False
    _open: _Structured | None = None
    _count: int = 0

    def bind(self, prefix: str | None, uri: str | None) -> None:
        self._prefixes[prefix or ""].append(uri or "")

    def unbind(self, prefix: str | None) -> None:
        self._prefixes[prefix or ""].pop()

    def start(self, element: str, attributes: Mapping[str, str]) -> None:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise BadDictionary("it is nested too deeply")
        local = element.rpartition(" ")[2]
        name = attributes.get("Name", "")
        if local == "TypeDictionary" and self.depth == 1:
            self.is_dictionary, self.namespace = True, attributes.get("TargetNamespace", "")
            self._big = bool(_order(attributes))
        elif local == "StructuredType":
            self._open = _Structured(self._named(attributes.get("BaseType", "")), _order(attributes))
            self._structures[name] = self._open
        elif local in ("EnumeratedType", "OpaqueType"):
            self._fixed(name, local == "EnumeratedType", attributes)
        elif local == "Field" and self._open is not None:
            self._count += 1
            if self._count > _MOST_FIELDS:
                raise BadDictionary(f"it has more than {_MOST_FIELDS} fields")
            self._open.fields.append((attributes, self._type(attributes.get("TypeName", ""))))

    def end(self, element: str) -> None:
        self.depth -= 1
        if element.rpartition(" ")[2] == "StructuredType":
            self._open = None

    def _fixed(self, name: str, is_enumeration: bool, attributes: Mapping[str, str]) -> None:
        """Add a type of a fixed length in bits; one without a length is left out."""
        text = attributes.get("LengthInBits", "32" if is_enumeration else "")
        bits = int(text) if text.isdecimal() and len(text) < MOST_DIGITS else 0
        if is_enumeration and bits in _ENUMERATIONS:
            is_set = attributes.get("IsOptionSet") == "true"
            self._types[name] = _UINT32 if is_set and bits == 32 else _ENUMERATIONS[bits]
        elif 0 < bits <= _MOST_BITS and (is_enumeration or bits % 8):
            self._odd[name] = bits
        elif bits and not bits % 8:
            self._types[name] = Opaque(bits // 8)

    def dictionary(self) -> Dictionary:
        """Return what was parsed, once all of it was."""
        types: dict[str, LegacyStructure | Opaque | int] = dict(self._types)
        refused: dict[str, str] = {}
        for name, one in self._structures.items():
            try:
                types[name] = LegacyStructure(name, self._members(one), one.big, self._big)
            except FieldRefused as reason:
                refused[name] = str(reason)
        return Dictionary(self.namespace, types, refused)

    def _members(self, structured: _Structured) -> tuple[Member, ...]:
        """Make the fields of a structure. Raises FieldRefused."""
        places: dict[str, int] = {}
        members: list[Member] = []
        for attributes, kind in self._inherited(structured):
            try:
                member = self._member(attributes, kind, places, members)
            except FieldRefused as reason:
                raise FieldRefused(f"{attributes.get('Name', '')}: {reason}") from None
            places[member.name] = len(members)
            members.append(member)
        return with_hidden(members)

    def _inherited(self, structured: _Structured) -> Sequence[tuple[Mapping[str, str], LegacyType]]:
        """Return all fields, those of the base included."""
        # A derived structure repeats the fields of its base; one that repeats none has only its own, behind the base's.
        fields, one = structured.fields, structured
        for _ in range(_DEEPEST):
            base = self._structures.get(one.base.name) if one.base.namespace == self.namespace else None
            if base is None or base is one:
                break
            self._count += len(base.fields) + len(fields)
            if self._count > _MOST_FIELDS:
                raise FieldRefused("there are too many fields with those of its base")
            names = {attributes.get("Name") for attributes, _ in fields}
            if names & {attributes.get("Name") for attributes, _ in base.fields}:
                break
            fields, one = [*base.fields, *fields], base
        return fields

    def _member(
        self, attributes: Mapping[str, str], kind: LegacyType, places: Mapping[str, int], before: Sequence[Member]
    ) -> Member:
        """Make one field (Part 5, C.2.6). Raises FieldRefused."""
        name = attributes.get("Name", "")
        if self._is_own(kind) and kind.name in _BUILT_IN and not self._defines(kind.name):
            kind = _BUILT_IN[kind.name]
        count, counted_by = length_of(attributes, places, before)
        in_bytes = attributes.get("IsLengthInBytes") in ("true", "1")
        terminator = terminator_of(attributes)
        switch = switch_of(attributes, places, before)
        bits = 1 if kind == BIT else self._odd.get(kind.name, 0) if self._is_own(kind) else 0
        if not bits:
            return Member(name, kind, 0, count, counted_by, switch, False, in_bytes, terminator)
        bits *= 8 if in_bytes and kind == BIT else 1
        if counted_by is not None or terminator or (count > 1 and kind != BIT):
            raise FieldRefused("an array of bits")
        if bits * (count or 1) > _MOST_BITS:
            raise FieldRefused(f"more than {_MOST_BITS} bits")
        return Member(name, kind, bits * (count or 1), switch=switch)

    def _is_own(self, kind: LegacyType) -> TypeGuard[TypeName]:
        return isinstance(kind, TypeName) and kind.namespace == self.namespace

    def _defines(self, name: str) -> bool:
        return name in self._structures or name in self._types or name in self._odd

    def _type(self, text: str) -> LegacyType:
        named = self._named(text)
        if named.namespace in (SCHEMA, STANDARD) and named.name in _BUILT_IN:
            return _BUILT_IN[named.name]
        return named

    def _named(self, text: str) -> TypeName:
        prefix, colon, name = text.rpartition(":")
        bound = self._prefixes.get(prefix)
        return TypeName(bound[-1] if bound and colon else self.namespace, name)


def _order(attributes: Mapping[str, str]) -> bool | None:
    """Return whether the highest byte comes first, None where it does not say."""
    return {"BigEndian": True, "LittleEndian": False}.get(attributes.get("DefaultByteOrder", ""))
