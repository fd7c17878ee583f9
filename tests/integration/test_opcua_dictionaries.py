"""Servers from before OPC UA 1.04, which describe their structures in a dictionary and nowhere else."""

import struct

import pytest
from asyncua import Node, Server, ua
from asyncua.common.type_dictionary_builder import DataTypeDictionaryBuilder

from tests.support.opcua_reader import reading
from tests.support.opcua_server import AsyncuaServer

OTHER = "urn:gateway:other"


class OldServer(AsyncuaServer):
    """asyncua's server with two dictionaries, of which one uses a type of the other, and values by them.

    spoil: what stands in the place of the dictionaries, if anything.
    """

    def __init__(self, port: int, spoil: bytes = b"") -> None:
        super().__init__(port, 1)
        self._spoil = spoil

    async def fill(self, server: Server, line: Node) -> None:
        own, other = 2, await server.register_namespace(OTHER)
        second = await self._dictionary(server, other, OTHER)
        point = await second.create_data_type("Point")
        for name in ("x", "y"):
            point.add_field(name, ua.VariantType.Double)
        await self._finish(server, second)
        first = await self._dictionary(server, own, "urn:gateway:test")
        machine = await first.create_data_type("Machine")
        machine.add_field("name", ua.VariantType.String)
        machine.add_field("strokes", ua.VariantType.Int64)
        machine.add_field("speeds", ua.VariantType.Float, is_array=True)
        machine.add_field("at", "Point")
        machine.add_field("anything", ua.VariantType.Variant)
        await self._finish(server, first)
        here = struct.pack("<dd", 1.5, -2.5)
        there = ua.ExtensionObject(point.node_ids[-1], here)
        anything = bytes([22]) + struct.pack("<BBHBi", 1, other, point.node_ids[-1].Identifier, 1, len(here)) + here
        body = struct.pack("<i5sqiff", 5, b"press", 2**60 + 1, 2, 23.45, 0.1) + here + anything
        await self._add(line, "machine", ua.ExtensionObject(machine.node_ids[-1], body), machine.data_type)
        await self._add(line, "point", there, point.data_type)
        await self._modes(server, line, own)

    async def _dictionary(self, server: Server, index: int, uri: str) -> DataTypeDictionaryBuilder:
        builder = DataTypeDictionaryBuilder(server, index, uri, f"Types{index}")
        await builder.init()
        node = server.get_node(builder.dict_id)
        await node.add_property(ua.NodeId(f"uri{index}", index), ua.QualifiedName("NamespaceUri"), uri)
        return builder

    async def _finish(self, server: Server, builder: DataTypeDictionaryBuilder) -> None:
        """Write the dictionary; asyncua's builder cannot name types of another one."""
        content = builder._type_dictionary.get_dict_value().replace(b"tns:Point", b"other:Point")
        content = content.replace(b" TargetNamespace", f' xmlns:other="{OTHER}" TargetNamespace'.encode(), 1)
        await server.get_node(builder.dict_id).write_value(self._spoil or content, ua.VariantType.ByteString)

    async def _add(self, line: Node, name: str, value: object, kind: ua.NodeId) -> None:
        variant = ua.Variant(value, ua.VariantType.ExtensionObject)
        await line.add_variable(ua.NodeId(name, 2), f"2:{name}", variant, datatype=kind)

    async def _modes(self, server: Server, line: Node, own: int) -> None:
        """Enumerations, whose labels are properties of the data type (Part 3, 8.40), as EnumStrings and as EnumValues."""
        parent = server.get_node(ua.NodeId(ua.ObjectIds.Enumeration))
        strings = await parent.add_data_type(ua.NodeId("Colour", own), ua.QualifiedName("Colour", own))
        texts = [ua.LocalizedText("red"), ua.LocalizedText("green")]
        await strings.add_property(ua.NodeId("Colours", own), ua.QualifiedName("EnumStrings"), texts)
        values = await parent.add_data_type(ua.NodeId("Step", own), ua.QualifiedName("Step", own))
        steps = [ua.EnumValueType(Value=40, DisplayName=ua.LocalizedText("rinse"))]
        await values.add_property(ua.NodeId("Steps", own), ua.QualifiedName("EnumValues"), steps)
        for name, number, kind in (("colour", 1, strings), ("step", 40, values)):
            await line.add_variable(
                ua.NodeId(name, own), f"2:{name}", ua.Variant(number, ua.VariantType.Int32), datatype=kind.nodeid
            )


MACHINE = {
    "name": "press",
    "strokes": 2**60 + 1,
    "speeds": [23.45, 0.1],
    "at": {"x": 1.5, "y": -2.5},
    "anything": {"x": 1.5, "y": -2.5},
}
NODES = ["ns=2;s=machine", "ns=2;s=point", {"node": "ns=2;s=machine", "field": "at.y"}, "ns=2;s=v0"]


@pytest.mark.parametrize("mode", ["poll", "subscribe"])
async def test_structures_are_decoded_by_their_dictionaries(port, mode):
    async with OldServer(port) as server, reading(server.url, NODES, mode=mode) as reader:
        await reader.until(lambda: bool(reader.objects[0] and reader.objects[1] and reader.values[2] and reader.values[3]))
        assert reader.objects[0][0] == MACHINE
        assert reader.objects[1][0] == {"x": 1.5, "y": -2.5}
        assert reader.values[2][0] == -2.5
        await server.server.get_node("ns=2;s=v0").write_value(7.0)
        await reader.until(lambda: 7.0 in reader.values[3])


@pytest.mark.parametrize("spoil", [b"<a", b"<!DOCTYPE x><a/>", b"\0"])
async def test_a_broken_dictionary_costs_only_its_structures(port, spoil):
    async with OldServer(port, spoil=spoil) as server, reading(server.url, NODES[:2] + NODES[3:]) as reader:
        await reader.until(lambda: bool(reader.objects[0] and reader.objects[1] and reader.values[2]))
        assert reader.objects[0][0].keys() == reader.objects[1][0].keys() == {"type", "body"}


async def test_enumerations_have_the_labels_that_their_types_have_as_properties(port):
    nodes = ["ns=2;s=colour", "ns=2;s=step"]
    async with OldServer(port) as server, reading(server.url, nodes) as reader:
        await reader.until(lambda: bool(reader.objects[0] and reader.objects[1]))
        assert [reader.objects[i] for i in (0, 1)] == [["green"], ["rinse"]]
        assert [reader.values[i][0] for i in (0, 1)] == [1, 40]
