"""asyncua's server with structures of every kind, their bytes written by hand from the standard (Part 6, 5.2.5 to 5.2.9):
asyncua's own classes have no part in it."""

import struct
from collections.abc import Sequence

from asyncua import Node, Server, ua

from tests.support.opcua_server import AsyncuaServer

PLAIN, OPTIONAL, UNION, SUBTYPED, SUBTYPED_UNION = range(5)
FLOAT, DOUBLE, STRING, DATE, INT32 = (ua.NodeId(number) for number in (10, 11, 12, 13, 6))
STRUCTURE, ANY, NUMBER, DURATION, ACCESS = (ua.NodeId(number) for number in (22, 24, 26, 290, 15031))


def own(number: int) -> ua.NodeId:
    return ua.NodeId(number, 2)


def field(name: str, of: ua.NodeId, rank: int = -1, *, free: bool = False) -> ua.StructureField:
    """free: it is optional, or subtypes are allowed."""
    return ua.StructureField(Name=name, DataType=of, ValueRank=rank, IsOptional=free)


def text(value: str) -> bytes:
    return struct.pack("<i", len(value)) + value.encode()


def number(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}i", *values)


def wrapped(kind: int, body: bytes) -> bytes:
    """As an ExtensionObject."""
    return struct.pack("<BBHBi", 1, 2, kind + 4000, 1, len(body)) + body


class Shapes(AsyncuaServer):
    """The types of tests/node/shapes.NodeSet2.xml and more, by their definitions alone."""

    async def fill(self, server: Server, line: Node) -> None:
        self._made, self._line = server, line
        await self._types()
        for name, (kind, body) in bodies().items():
            await self._add(name, ua.ExtensionObject(own(kind + 4000), body), "ExtensionObject", own(kind))
        decimal = ua.ExtensionObject(ua.NodeId(50), struct.pack("<hq", 2, -(2**62) - 1))
        await self._add("decimal", decimal, "ExtensionObject", ua.NodeId(50))
        await self._add("flags", 0x8005, "UInt16", own(1011))
        speed = await self._add("speed", 40, "UInt16", ua.NodeId(5))
        values = [ua.EnumValueType(Value=n, DisplayName=ua.LocalizedText(t)) for n, t in ((10, "slow"), (40, "fast"))]
        await speed.add_property(own(6000), ua.QualifiedName("EnumValues"), values)

    async def show(self, name: str, kind: int, body: bytes) -> None:
        """A value of a type."""
        value = ua.Variant(ua.ExtensionObject(own(kind + 4000), body), ua.VariantType.ExtensionObject)
        await self._made.get_node(ua.NodeId(name, 2)).write_value(value)

    async def redefine(self, kind: int, fields: Sequence[ua.StructureField]) -> None:
        """The type is another one from now on."""
        definition = ua.StructureDefinition(StructureType=ua.StructureType(PLAIN), Fields=list(fields))
        told = ua.DataValue(ua.Variant(definition, ua.VariantType.ExtensionObject))
        await self._made.get_node(own(kind)).write_attribute(ua.AttributeIds.DataTypeDefinition, told)

    async def _types(self) -> None:
        await self._enumeration(1001, 29, {0: "Stopped", 1: "Running", 7: "Faulty"})
        await self._enumeration(1011, 5, {0: "Ready", 2: "Warm"})
        await self._enumeration(1012, 12755, {0: "Open", 1: "Locked", 9: "Broken"})
        await self._encoded(1012)
        name = field("name", STRING)
        await self._structure(1002, PLAIN, [field("value", FLOAT), field("unit", STRING), field("every", DURATION)])
        await self._structure(1005, UNION, [field("count", INT32), field("temperature", own(1002)), field("text", STRING)])
        await self._structure(1013, PLAIN, [name, field("children", own(1013), 1)])
        await self._structure(1014, PLAIN, [field("cells", DOUBLE, 2), field("cubes", own(1022), 3), field("after", INT32)])
        await self._structure(1021, PLAIN, [name], abstract=True)
        await self._structure(1022, PLAIN, [name, field("radius", DOUBLE)], base=own(1021))
        await self._structure(1023, PLAIN, [name, field("width", INT32), field("height", INT32)], base=own(1021))
        drawing = [field("first", own(1021), free=True), field("all", own(1021), 1, free=True)]
        drawing += [field("number", NUMBER, free=True), field("any", ANY), field("many", ANY, 1)]
        await self._structure(1024, SUBTYPED, drawing)
        mixed = [field("flags", own(1011)), field("modes", own(1001), 1), field("access", ACCESS)]
        mixed += [field("none", INT32, 1), field("nothing", STRING), field("when", DATE)]
        await self._structure(1025, PLAIN, mixed)
        await self._structure(
            1026, SUBTYPED_UNION, [field("shape", own(1021), free=True), field("number", NUMBER, free=True)]
        )
        optional = [field("some", own(1002), 1, free=True), field("other", INT32, free=True), field("choice", own(1005))]
        await self._structure(1027, OPTIONAL, optional)
        await self._type(1028, STRUCTURE, None, abstract=True)
        await self._structure(1029, SUBTYPED, [field("held", own(1028), free=True), field("old", own(1021))])

    async def _add(self, name: str, value: object, kind: str, data_type: ua.NodeId) -> Node:
        variant = ua.Variant(value, ua.VariantType[kind])
        return await self._line.add_variable(ua.NodeId(name, 2), f"2:{name}", variant, datatype=data_type)

    async def _type(self, kind: int, base: ua.NodeId, definition: object, *, abstract: bool = False) -> None:
        made = await self._made.get_node(base).add_data_type(own(kind), ua.QualifiedName(f"T{kind}", 2))
        if definition is not None:
            told = ua.DataValue(ua.Variant(definition, ua.VariantType.ExtensionObject))
            await made.write_attribute(ua.AttributeIds.DataTypeDefinition, told)
        await made.write_attribute(ua.AttributeIds.IsAbstract, ua.DataValue(ua.Variant(abstract)))

    async def _enumeration(self, kind: int, base: int, names: dict[int, str]) -> None:
        fields = [ua.EnumField(Value=value, Name=name) for value, name in names.items()]
        await self._type(kind, ua.NodeId(base), ua.EnumDefinition(Fields=fields))

    async def _encoded(self, kind: int) -> None:
        binary, encodings = ua.QualifiedName("Default Binary"), ua.ObjectIds.DataTypeEncodingType
        encoding = await self._line.add_object(own(kind + 4000), binary, encodings)
        await self._made.get_node(own(kind)).add_reference(encoding, ua.ObjectIds.HasEncoding)

    async def _structure(
        self,
        kind: int,
        structure: int,
        fields: Sequence[ua.StructureField],
        *,
        base: ua.NodeId = STRUCTURE,
        abstract: bool = False,
    ) -> None:
        definition = ua.StructureDefinition(StructureType=ua.StructureType(structure), Fields=list(fields))
        await self._type(kind, base, definition, abstract=abstract)
        if not abstract:
            await self._encoded(kind)


def bodies() -> dict[str, tuple[int, bytes]]:
    """Variables by name: their type, and their value's bytes."""
    circle, box = text("c") + struct.pack("<d", 2.5), text("b") + number(1, 2)
    round_one, square_one = wrapped(1022, circle), wrapped(1023, box)
    leaf = text("d") + number(0)
    some = round_one + number(2) + round_one + square_one
    anything = struct.pack("<Bq", 8, 5) + b"\x16" + square_one
    list_of_any = number(2) + b"\x0c" + text("x") + b"\x86" + number(2, 1, 2)
    mixed = struct.pack("<H", 5) + number(2, 1, 7) + b"\x03" + number(0, -1) + struct.pack("<q", 134_300_160_000_000_000)
    return {
        "flagset": (1012, struct.pack("<iBiB", 1, 5, 1, 7)),
        "tree": (1013, text("a") + number(2) + text("b") + number(0) + text("c") + number(1) + leaf),
        "grid": (1014, number(2, 2, 3) + struct.pack("<6d", *range(1, 7)) + number(3, 1, 1, 2) + 2 * circle + number(7)),
        "drawing": (1024, some + anything + list_of_any),
        "mixed": (1025, mixed),
        "optional": (1027, struct.pack("<Iif", 1, 1, 1.0) + text("a") + struct.pack("<dIi", 1.0, 1, 42)),
        "alternative": (1026, struct.pack("<I", 1) + square_one),
        "alternative2": (1026, struct.pack("<IBd", 2, 11, 2.5)),
        "round": (1022, circle),
        "frame": (1029, square_one + round_one),
        "deep": (1013, (text("x") + number(1)) * 40 + leaf),
    }
