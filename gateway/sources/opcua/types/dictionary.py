"""Type dictionaries of servers from before OPC UA 1.04, as XML (Part 3 up to 1.03, Annex C; Part 5, Annex D). Pure.

The bytes come from a server and nobody vouches for them: a document type, and with it every entity, is refused, nothing is
ever fetched, and length, depth and number of fields are bounded.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from xml.parsers import expat

from gateway.sources.opcua.types.described import OPERANDS, Described, Member, TypeName

SCHEMA: Final = "http://opcfoundation.org/BinarySchema/"
STANDARD: Final = "http://opcfoundation.org/UA/"
MOST_BYTES: Final = 8 * 2**20
_MOST_FIELDS: Final = 200_000
_DEEPEST: Final = 16
_MOST_BITS: Final = 64
_INT32, _UINT32, _BIT = 6, 7, -1
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
} | {"CharArray": 12, "Char": 3, "Bit": _BIT}  # fmt: skip
_INTEGERS: Final = range(2, 10)
_ENUMERATIONS: Final = {8: 2, 16: 4, 32: _INT32, 64: 8}
"""Built-in types by length in bits. The standard knows 32 only (Part 6, 5.2.4)."""


class BadDictionary(ValueError):
    """The bytes are no type dictionary that can be used."""


@dataclass(frozen=True, slots=True)
class Dictionary:
    """namespace: that of its types. types: by name, a structure, or the built-in type as which an enumeration is encoded.

    What is described in a way that UA's binary encoding does not have is not among them.
    """

    namespace: str
    types: Mapping[str, Described | int]


def parse_dictionary(data: bytes) -> Dictionary:
    """Raises BadDictionary. Takes about 0.1 s for each MiB."""
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
    return Dictionary(reader.namespace, reader.types)


def _refuse_doctype(*_: object) -> None:
    raise BadDictionary("it has a document type, which is refused")


@dataclass(slots=True)
class _Reader:
    """expat's callbacks. Elements are known by their local names: some servers bind the schema's namespace wrongly."""

    namespace: str = ""
    is_dictionary: bool = False
    depth: int = 0
    types: dict[str, Described | int] = field(default_factory=dict)
    _prefixes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _big_endian: bool = False
    _name: str | None = None
    _fields: list[Mapping[str, str]] = field(default_factory=list)
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
            self._big_endian = attributes.get("DefaultByteOrder") == "BigEndian"
        elif local == "StructuredType":
            self._name, self._fields = name, []
            if attributes.get("DefaultByteOrder", "BigEndian" if self._big_endian else "") == "BigEndian":
                self._name = None
        elif local == "EnumeratedType":
            bits = attributes.get("LengthInBits", "32")
            if bits.isdecimal() and int(bits) in _ENUMERATIONS:
                self.types[name] = _ENUMERATIONS[int(bits)]
        elif local == "Field":
            self._count += 1
            if self._count > _MOST_FIELDS:
                raise BadDictionary(f"it has more than {_MOST_FIELDS} fields")
            self._fields.append(attributes)

    def end(self, element: str) -> None:
        self.depth -= 1
        if element.rpartition(" ")[2] == "StructuredType" and self._name is not None:
            members = self._members()
            if members is not None:
                self.types[self._name] = Described(self._name, members)
            self._name = None

    def _members(self) -> tuple[Member, ...] | None:
        """None for what is beyond UA's binary encoding."""
        places: dict[str, int] = {}
        members: list[Member] = []
        for attributes in self._fields:
            member = self._member(attributes, places, members)
            if member is None:
                return None
            places[member.name] = len(members)
            members.append(member)
        return _hidden(members)

    def _member(self, attributes: Mapping[str, str], places: Mapping[str, int], before: Sequence[Member]) -> Member | None:
        kind, length = self._type(attributes.get("TypeName", "")), attributes.get("Length", "")
        if "Terminator" in attributes or attributes.get("IsLengthInBytes") == "true" or (length and not length.isdecimal()):
            return None
        count, counted_by, switch = int(length or 0), None, None
        if (counter := attributes.get("LengthField")) is not None:
            counted_by = places.get(counter)
            if counted_by is None or not _counts(before[counted_by]):
                return None
        if (switcher := attributes.get("SwitchField")) is not None:
            place, value = places.get(switcher), attributes.get("SwitchValue", "")
            operand = attributes.get("SwitchOperand", "Equals" if value else "NotEqual")
            operand = "Equals" if operand == "Equal" else operand
            if place is None or operand not in OPERANDS or (value and not value.isdecimal()):
                return None
            switch = (place, operand, int(value or 0))
        name = attributes.get("Name", "")
        if kind == _BIT:
            return Member(name, kind, bits=count or 1, switch=switch) if count <= _MOST_BITS and counted_by is None else None
        return Member(name, kind, 0, count, counted_by, switch)

    def _type(self, text: str) -> int | TypeName:
        prefix, colon, name = text.rpartition(":")
        bound = self._prefixes.get(prefix)
        namespace = bound[-1] if bound and colon else self.namespace
        if namespace in (SCHEMA, STANDARD) and name in _BUILT_IN:
            return _BUILT_IN[name]
        return TypeName(namespace, name)


def _counts(member: Member) -> bool:
    return member.type in _INTEGERS and member.count == 0 and member.counted_by is None


def _hidden(members: Sequence[Member]) -> tuple[Member, ...]:
    """Lengths of arrays, bits that say what is there, the selector of a union, and what is reserved are no values."""
    counters = {one.counted_by for one in members}
    switches = {one.switch[0] for one in members if one.switch is not None}
    is_union = switches == {0} and all(one.switch is not None for one in members[1:]) and members[0].type == _UINT32
    return tuple(
        replace(one, hidden=True)
        if place in counters
        or (place in switches and (one.bits or is_union))
        or (one.bits and one.name.startswith("Reserved"))
        else one
        for place, one in enumerate(members)
    )
