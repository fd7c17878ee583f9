"""Every type, parts of values and browse paths, against both servers."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from asyncua import Node, Server, ua

from gateway.core.quality import Quality
from tests.support.opcua_reader import Reader, reading
from tests.support.opcua_server import TYPES, AsyncuaServer, NodeServer

WARM = {"value": 23.45, "unit": "°C", "every": 250.0}
MACHINE = {
    "name": "press",
    "strokes": 9007199254740993,
    "mode": 7,
    "temperature": WARM,
    "axes": [{"value": 1.5, "unit": "a", "every": 1.0}, {"value": 2.5, "unit": "b", "every": 2.0}],
    "limits": {"Low": -1.0, "High": 5.0},
    "running": True,
}


DIAGNOSTIC = {
    "SymbolicId": 1,
    "NamespaceURI": None,
    "Locale": None,
    "LocalizedText": None,
    "AdditionalInfo": "x",
    "InnerStatusCode": None,
    "InnerDiagnosticInfo": None,
}
ODD: dict[str, tuple[object, str]] = {
    "nullString": (None, "String"),
    "nullByteString": (None, "ByteString"),
    "emptyString": ("", "String"),
    "emptyByteString": (b"", "ByteString"),
    "firstDate": (datetime(1601, 1, 1, tzinfo=UTC), "DateTime"),
    "lastDate": (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), "DateTime"),
    "emptyDoubles": ([], "Double"),
    "emptyStrings": ([], "String"),
    "nulls": (["a", None, ""], "String"),
    "booleans": ([True, False], "Boolean"),
    "long": ([2**63 - 1, -(2**63), 0], "Int64"),
    "anything": (
        [
            ua.Variant(1, ua.VariantType.Int32),
            ua.Variant("x", ua.VariantType.String),
            ua.Variant([1.5], ua.VariantType.Double),
        ],
        "Variant",
    ),
    "guids": ([UUID("09087E75-8E5E-499B-954F-F2A9603DB28A")], "Guid"),
    "codes": ([ua.StatusCode(0x80340000), ua.StatusCode(0)], "StatusCode"),
    "localized": ([ua.LocalizedText("a", "de"), ua.LocalizedText("b")], "LocalizedText"),
}


class TypedServer(AsyncuaServer):
    """asyncua's server with the data types of tests/node/types.NodeSet2.xml, and the variables of opcua_server.js."""

    def __init__(self, port: int) -> None:
        super().__init__(port, 3)

    async def fill(self, server: Server, line: Node) -> None:
        await server.import_xml(TYPES)
        own = await server.get_namespace_index("urn:gateway:types")
        await server.load_data_type_definitions()
        made = vars(ua)  # where asyncua puts the classes, once for the whole process
        for number, name in enumerate(("Temperature", "Machine", "Sample", "Choice"), 1002):
            # its import of nodesets leaves the encodings' ids empty
            ua.register_extension_object(name, ua.NodeId(number + 4000, own), made[name], ua.NodeId(number, own))
        warm = made["Temperature"](value=23.45, unit="°C", every=250.0)
        machine = made["Machine"](name="press", strokes=9007199254740993, temperature=warm, running=True)
        machine.mode, machine.limits = made["Mode"](7), ua.Range(-1.0, 5.0)
        machine.axes = [made["Temperature"](1.5, "a", 1.0), made["Temperature"](2.5, "b", 2.0)]
        choice, choice2 = made["Choice"](), made["Choice"]()
        choice.temperature, choice2.count = warm, 42
        values: dict[str, tuple[object, int]] = {
            "machine": (machine, 1003),
            "machines": ([machine, machine], 1003),
            "choice": (choice, 1005),
            "choice2": (choice2, 1005),
            "sample": (made["Sample"](number=3, note="x"), 1004),
        }
        for name, (value, number) in values.items():
            variant = ua.Variant(value, ua.VariantType.ExtensionObject)
            await line.add_variable(ua.NodeId(name, 2), f"2:{name}", variant, datatype=ua.NodeId(number, own))
        scalars = {
            "Boolean": True,
            "SByte": -5,
            "Byte": 200,
            "Int16": -3000,
            "UInt16": 60000,
            "Int32": -70000,
            "UInt32": 4000000000,
            "Int64": -9007199254740993,
            "UInt64": 18446744073709551615,
            "Float": 23.45,
            "Double": 1e300,
            "String": "idle",
            "ByteString": b"\x00\xff",
            "Guid": UUID("09087E75-8E5E-499B-954F-F2A9603DB28A"),
            "DateTime": datetime(2026, 8, 1, 12, tzinfo=UTC),
            "LocalizedText": ua.LocalizedText("läuft", "de"),
            "NodeId": ua.NodeId("v0", 1),
            "StatusCode": ua.StatusCode(0x80340000),
            "QualifiedName": ua.QualifiedName("speed", 2),
            "ExpandedNodeId": ua.ExpandedNodeId("v0", 0, NamespaceUri="urn:x", ServerIndex=3),
            "XmlElement": ua.XmlElement("<a>ä</a>"),
            "DiagnosticInfo": ua.DiagnosticInfo(SymbolicId=1, AdditionalInfo="x"),
            "DataValue": ua.DataValue(ua.Variant(5, ua.VariantType.Int32)),
        }
        for name, value in scalars.items():
            await line.add_variable(ua.NodeId(f"type{name}", 2), f"2:type{name}", value, ua.VariantType[name])
        arrays = {
            "floats": ([0.1, 2.5, 23.45], "Float"),
            "texts": (["a", "b"], "String"),
            "array": ([1.0, 2.0, 3.0], "Double"),
        }
        for name, (array, kind) in arrays.items():
            await line.add_variable(ua.NodeId(name, 2), f"2:{name}", array, ua.VariantType[kind])
        for name, (value, kind) in ODD.items():
            made_of = ua.Variant(value, ua.VariantType[kind], is_array=isinstance(value, list))
            number = ua.NodeId(ua.VariantType[kind].value)
            await line.add_variable(ua.NodeId(name, 2), f"2:{name}", made_of, datatype=number)
        matrix = ua.Variant([[1, 2, 3], [4, 5, 6]], ua.VariantType.Int32, Dimensions=[2, 3])
        await line.add_variable(ua.NodeId("matrix", 2), "2:matrix", matrix)
        multi = await line.add_variable(ua.NodeId("multi", 2), "2:multi", ua.Variant(1, ua.VariantType.UInt32))
        await multi.add_property(
            ua.NodeId("strings", 2), ua.QualifiedName("EnumStrings"), [ua.LocalizedText("one"), ua.LocalizedText("two")]
        )
        valve = await line.add_variable(ua.NodeId("valve", 2), "2:valve", True)
        await valve.add_property(ua.NodeId("state", 2), ua.QualifiedName("TrueState"), ua.LocalizedText("open"))
        mode = ua.Variant(1, ua.VariantType.Int32)
        await line.add_variable(ua.NodeId("mode", 2), "2:mode", mode, datatype=ua.NodeId(1001, own))


@pytest.fixture(params=["asyncua", "node-opcua"])
async def server(request, port, tmp_path_factory):
    """Both servers; `server.ns` is the namespace of their variables."""
    if request.param == "asyncua":
        made, made_ns = TypedServer(port), 2
    else:
        node = request.getfixturevalue("node")
        made, made_ns = NodeServer(node, port, request.getfixturevalue("store"), count=6, period=0), 1
    async with made as running:
        running.ns = made_ns
        yield running


async def read_all(server, tags: list[dict[str, object]], **device: object) -> Reader:
    """One value (or bad quality) of each tag; {ns} in a node is filled in."""
    tags = [{**tag, "node": str(tag["node"]).replace("{ns}", str(server.ns))} for tag in tags]
    async with reading(server.url, tags, **device) as reader:
        await reader.until(lambda: all(reader.values[i] or reader.objects[i] for i in range(len(tags))), 30)
    return reader


@pytest.mark.parametrize("mode", ["poll", "subscribe"])
async def test_every_builtin_type_is_exact(server, mode):
    numbers = {
        "Boolean": 1,
        "SByte": -5,
        "Byte": 200,
        "Int16": -3000,
        "UInt16": 60000,
        "Int32": -70000,
        "UInt32": 4000000000,
        "Float": 23.45,
        "Double": 1e300,
    }
    objects = {
        "Int64": -9007199254740993,
        "UInt64": 18446744073709551615,
        "String": "idle",
        "ByteString": "AP8=",
        "Guid": "09087e75-8e5e-499b-954f-f2a9603db28a",
        "DateTime": "2026-08-01T12:00:00+00:00",
        "LocalizedText": "läuft",
        "NodeId": "ns=1;s=v0",
        "StatusCode": "BadNodeIdUnknown",
        "QualifiedName": "2:speed",
        # node-opcua's address space keeps no more of it than a NodeId
        "ExpandedNodeId": "svr=3;nsu=urn:x;s=v0" if server.ns == 2 else "s=v0",
        "XmlElement": "<a>ä</a>",
        "DataValue": 5,
        "DiagnosticInfo": DIAGNOSTIC,
    }
    names = [*numbers, *objects]
    reader = await read_all(server, [{"node": f"ns={{ns}};s=type{name}"} for name in names], mode=mode)
    assert {name: reader.values[i][0] for i, name in enumerate(names) if name in numbers} == numbers
    assert {name: reader.objects[i][0] for i, name in enumerate(names) if name in objects} == objects
    rounded = {name for i, name in enumerate(names) if reader.qualities[i][:1] == [Quality.UNCERTAIN_ROUNDED]}
    assert rounded == {"Int64", "UInt64"}


async def test_arrays_and_structures_are_whole(server):
    names = {
        "machine": MACHINE,
        "machines": [MACHINE, MACHINE],
        "choice": {"count": None, "temperature": WARM, "text": None},
        "choice2": {"count": 42, "temperature": None, "text": None},
        "sample": {"number": 3, "weight": None, "note": "x"},
        "floats": [0.1, 2.5, 23.45],
        "texts": ["a", "b"],
        "matrix": [[1, 2, 3], [4, 5, 6]],
    }
    reader = await read_all(server, [{"node": f"ns={{ns}};s={name}"} for name in names])
    assert {name: reader.objects[i][0] for i, name in enumerate(names)} == names


@pytest.mark.parametrize("mode", ["poll", "subscribe"])
async def test_nulls_empty_values_ends_of_ranges_and_arrays_are_exact(server, mode):
    expected = {
        "nullString": None,
        "nullByteString": None,
        "emptyString": "",
        "emptyByteString": "",
        "firstDate": "0001-01-01T00:00:00+00:00",
        "lastDate": "9999-12-31T23:59:59+00:00",
        "emptyDoubles": [],
        "emptyStrings": [],
        "nulls": ["a", None, ""],
        "booleans": [True, False],
        "long": [2**63 - 1, -(2**63), 0],
        "anything": [1, "x", [1.5]],
        "guids": ["09087e75-8e5e-499b-954f-f2a9603db28a"],
        "codes": ["BadNodeIdUnknown", "Good"],
        "localized": ["a", "b"],
    }
    reader = await read_all(server, [{"node": f"ns={{ns}};s={name}"} for name in expected], mode=mode)
    assert {name: reader.objects[at][0] for at, name in enumerate(expected)} == expected


@pytest.mark.parametrize("mode", ["poll", "subscribe"])
async def test_parts_of_values_are_tags(server, mode):
    tags = {
        "temperature.value": ({"node": "machine", "field": "temperature.value"}, 23.45),
        "axis": ({"node": "machine", "field": "axes[1].value"}, 2.5),
        "running": ({"node": "machine", "field": "running"}, 1),
        "strokes": ({"node": "machine", "field": "strokes"}, 9007199254740993),
        "name": ({"node": "machine", "field": "name"}, "press"),
        "second": ({"node": "machines", "element": 1, "field": "limits.High"}, 5.0),
        "count": ({"node": "choice2", "field": "count"}, 42),
        "element": ({"node": "floats", "element": 2}, 23.45),
        "cell": ({"node": "matrix", "element": "1,2"}, 6),
        "index": ({"node": "array", "index": 1}, 2.0),
        "range": ({"node": "array", "index": "1:2"}, [2.0, 3.0]),
        "absent": ({"node": "choice", "field": "count"}, Quality.BAD_NOT_AVAILABLE),
        "unknown": ({"node": "machine", "field": "colour"}, Quality.BAD_ADDRESS),
        "beyond": ({"node": "floats", "element": 3}, Quality.BAD_ADDRESS),
        "outside": ({"node": "array", "index": 7}, Quality.BAD_ADDRESS),
    }
    if server.ns == 2:  # asyncua's server ignores index ranges, and the whole array must not pass for a part
        tags |= {name: (tags[name][0], Quality.BAD_ADDRESS) for name in ("index", "range")}
    given = [{**tag, "node": f"ns={{ns}};s={tag['node']}"} for tag, _ in tags.values()]
    reader = await read_all(server, given, mode=mode)
    got = {}
    for i, name in enumerate(tags):
        bad = reader.qualities[i] and reader.qualities[i][0] < Quality.UNCERTAIN
        got[name] = reader.qualities[i][0] if bad else (reader.objects[i] or reader.values[i])[0]
    assert got == {name: expected for name, (_, expected) in tags.items()}
    reasons = "; ".join(state.reason for state in reader.states)
    assert "BadNotFound" in reasons


@pytest.mark.parametrize("mode", ["poll", "subscribe"])
async def test_browse_paths_lead_to_nodes(server, mode):
    uri = "urn:gateway:test" if server.ns == 2 else None
    nodes = ["/Objects/{ns}:Line/{ns}:v1", "/Objects/{ns}:Line/{ns}:nowhere", "/Objects/{ns}:Line/{ns}:typeDouble", "i=2258"]
    nodes[1:1] = ["/Objects/{urn:nowhere}Line/{ns}:v1"]
    if uri:
        nodes.append(f"/Objects/{{{uri}}}Line/{{{uri}}}v2")
    reader = await read_all(server, [{"node": node} for node in nodes], mode=mode)
    assert reader.qualities[1][0] == reader.qualities[2][0] == Quality.BAD_ADDRESS
    assert reader.values[3][0] == 1e300
    assert "BadNoMatch" in reader.states[-1].reason
    assert all(reader.qualities[i][0] == Quality.GOOD for i in range(len(nodes)) if i not in (1, 2, 4))


async def test_registered_nodes_are_read(server):
    tags = [{"node": f"ns={{ns}};s=v{i}"} for i in range(3)] + [{"node": "/Objects/{ns}:Line/{ns}:v1"}, {"node": "ns=9;i=1"}]
    reader = await read_all(server, tags, mode="poll", register_nodes=True)
    assert [Quality(reader.qualities[i][0]) for i in range(5)] == [Quality.GOOD] * 4 + [Quality.BAD_ADDRESS]


async def test_enumerations_have_labels(server):
    """By the data type's definition, by its EnumStrings (ServerState), and by a variable's own properties."""
    tags = [{"node": "ns={ns};s=mode"}, {"node": "i=2259"}, {"node": "ns={ns};s=multi"}, {"node": "ns={ns};s=valve"}]
    tags = [{**tag, "node": str(tag["node"]).replace("{ns}", str(server.ns))} for tag in tags]
    async with reading(server.url, tags) as reader:
        await reader.until(lambda: all(reader.objects[i] for i in range(4)) and reader.seen(4), 30)
    assert [reader.objects[i] for i in range(4)] == [["Running"], ["Running"], ["two"], ["open"]]
    assert [reader.values[i] for i in range(4)] == [[1], [0], [1], [1]]
