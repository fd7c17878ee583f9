"""asyncua's server with address spaces as real ones have them: an S7-1500, Kepware, machine tools of a companion spec.

After public descriptions and browse dumps; not complete, but with what makes each of them special.
"""

from collections.abc import Sequence

from asyncua import Node, Server, ua

from tests.support.opcua_server import AsyncuaServer

_UNKNOWN = ua.NodeId(22, 0)
"""Structure: S7 types of user-defined types are derived from it."""


class S7Server(AsyncuaServer):
    """A data block: members of structures, elements of arrays and arrays of structures are variables below variables.

    NodeIds are like ns=2;s="DB"."motors"[0]."speed". `numbered`: they are numbers instead, in the order of `order`.
    """

    def __init__(self, port: int, *, numbered: bool = False) -> None:
        super().__init__(port, 0)
        self.numbered = numbered
        self.order: Sequence[str] = ("ready", "text", "motor", "levels", "motors")
        self._number = 1000

    async def fill(self, server: Server, line: Node) -> None:
        self._number = 1000
        self._made = server
        plc = await server.nodes.objects.add_object(self._id("PLC"), "2:PLC")
        blocks = await plc.add_object(self._id("DataBlocksGlobal"), "2:DataBlocksGlobal")
        block = await blocks.add_object(self._id('"DB"'), "2:DB")
        for name in self.order:
            await getattr(self, f"_{name}")(block)

    def _id(self, text: str) -> ua.NodeId:
        self._number += 1
        return ua.NodeId(self._number, 2) if self.numbered else ua.NodeId(text, 2)

    async def _variable(self, above: Node, node: str, name: str, value: object, kind: ua.VariantType) -> Node:
        return await above.add_variable(self._id(node), f"2:{name}", ua.Variant(value, kind))

    async def _ready(self, block: Node) -> None:
        await self._variable(block, '"DB"."ready"', "ready", True, ua.VariantType.Boolean)

    async def _text(self, block: Node) -> None:
        await self._variable(block, '"DB"."text"', "text", "on", ua.VariantType.String)

    async def _motor(self, block: Node) -> None:
        await self._structure(block, '"DB"."motor"', "motor", 10.0)

    async def _structure(self, above: Node, node: str, name: str, value: float) -> Node:
        made = await above.add_variable(
            self._id(node), f"2:{name}", ua.Variant(b"\0", ua.VariantType.ByteString), datatype=_UNKNOWN
        )
        await self._variable(made, f'{node}."speed"', "speed", value, ua.VariantType.Float)
        await self._variable(made, f'{node}."running"', "running", True, ua.VariantType.Boolean)
        return made

    async def _levels(self, block: Node) -> None:
        levels = await self._variable(block, '"DB"."levels"', "levels", [1.0, 2.0, 3.0], ua.VariantType.Float)
        for at in range(3):
            await self._variable(levels, f'"DB"."levels"[{at}]', f"[{at}]", at + 1.0, ua.VariantType.Float)

    async def _motors(self, block: Node) -> None:
        motors = await block.add_variable(
            self._id('"DB"."motors"'), "2:motors", ua.Variant([b"\0", b"\0"], ua.VariantType.ByteString), datatype=_UNKNOWN
        )
        for at in range(2):
            one = await self._structure(motors, f'"DB"."motors"[{at}]', f"[{at}]", 20.0 + at)
            if not self.numbered:  # a way back to where it came from, and a second way to the same node
                await one.add_reference(motors, ua.ObjectIds.Organizes)
                await motors.add_reference(self._made.get_node('ns=2;s="DB"."ready"'), ua.ObjectIds.HasComponent)


class KepwareServer(AsyncuaServer):
    """Channel, device, groups and flat tags; arrays without element nodes; system tags beside; units as properties."""

    async def fill(self, server: Server, line: Node) -> None:
        folder = ua.ObjectIds.FolderType
        channel = await server.nodes.objects.add_object(ua.NodeId("Channel1", 2), "2:Channel1", objecttype=folder)
        device = await channel.add_object(ua.NodeId("Channel1.Device1", 2), "2:Device1", objecttype=folder)
        group = await device.add_object(ua.NodeId("Channel1.Device1.Oven", 2), "2:Oven", objecttype=folder)
        temp = await group.add_variable(ua.NodeId("Channel1.Device1.Oven.Temp", 2), "2:Temp", 180.5)
        await temp.set_writable()
        await temp.write_attribute(
            ua.AttributeIds.Description, ua.DataValue(ua.Variant(ua.LocalizedText("Temperature of the zone " + "x" * 200)))
        )
        await temp.add_property(ua.NodeId("range of Temp", 2), ua.QualifiedName("EURange", 0), ua.Range(0.0, 250.0))
        await temp.add_property(ua.NodeId("scan of Temp", 2), ua.QualifiedName("ScanRate", 2), 100)
        await group.add_variable(ua.NodeId("Channel1.Device1.Oven.Recipe", 2), "2:Recipe", [1.5] * 1000)
        system = await device.add_object(ua.NodeId("Channel1.Device1._System", 2), "2:_System", objecttype=folder)
        await system.add_variable(ua.NodeId("Channel1.Device1._System._Error", 2), "2:_Error", False)


class MachineToolServer(AsyncuaServer):
    """Two machines of MachineToolType, its namesake in another namespace, and an enumeration with a name of its own."""

    async def fill(self, server: Server, line: Node) -> None:
        other = await server.register_namespace("http://example.com/UA/")
        types = server.nodes.base_object_type
        kind = await types.add_object_type(ua.NodeId(5001, 2), ua.QualifiedName("MachineToolType", 2))
        own = await kind.add_object_type(ua.NodeId(5002, 2), ua.QualifiedName("MillingMachineType", 2))
        for number, index in ((5003, 2), (5004, other)):
            await server.nodes.base_object_type.add_object_type(
                ua.NodeId(number, index), ua.QualifiedName("PrinterType", index)
            )
        modes = await server.get_node(ua.NodeId(29, 0)).add_data_type(ua.NodeId(5010, 2), ua.QualifiedName("MachineMode", 2))
        definition = ua.EnumDefinition(Fields=[ua.EnumField(Value=0, Name="Off"), ua.EnumField(Value=1, Name="On")])
        await modes.write_attribute(
            ua.AttributeIds.DataTypeDefinition, ua.DataValue(ua.Variant(definition, ua.VariantType.ExtensionObject))
        )
        for name, of in (("Mill", own), ("Lathe", kind)):
            machine = await server.nodes.objects.add_object(ua.NodeId(name, 2), f"2:{name}", objecttype=of.nodeid)
            spindle = await machine.add_object(ua.NodeId(f"{name}.Spindle", 2), "2:Spindle")
            await spindle.add_variable(ua.NodeId(f"{name}.Speed", 2), "2:Speed", 1200.0)
            value = ua.Variant(1, ua.VariantType.Int32)
            mode = await machine.add_variable(ua.NodeId(f"{name}.Mode", 2), "2:Mode", value, datatype=modes.nodeid)
            await mode.add_property(ua.NodeId(f"{name}.Mode.Number", 2), ua.QualifiedName("Number", 0), 7)
        await server.nodes.objects.add_variable(ua.NodeId("stray", 2), "2:Stray", 1.0)
