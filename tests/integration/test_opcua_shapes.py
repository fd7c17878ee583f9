"""All that a structure may have, and all that may have labels, through the whole source."""

import struct

import pytest
from structlog.testing import capture_logs

from gateway.core.quality import Quality
from tests.support.opcua_reader import reading
from tests.support.opcua_server import NodeServer
from tests.support.opcua_shapes import DOUBLE, INT32, STRING, Shapes, field, text

CIRCLE, BOX = {"name": "c", "radius": 2.5}, {"name": "b", "width": 1, "height": 2}
BITS = {"Value": "BQ==", "ValidBits": "Bw=="}
TREE = {
    "name": "a",
    "children": [{"name": "b", "children": []}, {"name": "c", "children": [{"name": "d", "children": []}]}],
}
DRAWING = {"first": CIRCLE, "all": [CIRCLE, BOX], "number": 5, "any": BOX, "many": ["x", [1, 2]]}
MIXED = {
    "flags": 5,
    "modes": [1, 7],
    "access": 3,
    "none": [],
    "nothing": None,
    "when": "2026-08-01T00:00:00+00:00",
}
WARM = {"value": 1.0, "unit": "a", "every": 1.0}
OPTIONAL_ONE = {"some": [WARM], "other": None, "choice": {"count": 42, "temperature": None, "text": None}}
BOTH = {
    "tree": TREE,
    "drawing": DRAWING,
    "mixed": MIXED,
    "optional": OPTIONAL_ONE,
}
MORE = {
    "flagset": BITS | {"Bits": {"Open": True, "Locked": False, "Broken": None}},
    "grid": {"cells": [[1, 2, 3], [4, 5, 6]], "cubes": [[[CIRCLE, CIRCLE]]], "after": 7},
    "alternative": {"shape": BOX, "number": None},
    "alternative2": {"shape": None, "number": 2.5},
    "frame": {"held": BOX, "old": CIRCLE},
    "decimal": "-46116860184273879.05",
}
"""What node-opcua cannot make: it defines an OptionSet's bits as further fields, writes matrices as lists, and no unions
with subtypes."""


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("opcua-store")


@pytest.fixture(params=["asyncua", "node-opcua"])
async def server(request, port):
    """Both servers; `server.ns` is the namespace of their variables."""
    if request.param == "asyncua":
        made, made_ns = Shapes(port, 1), 2
    else:
        node = request.getfixturevalue("node")
        made, made_ns = NodeServer(node, port, request.getfixturevalue("store"), count=1, period=0), 1
    async with made as running:
        running.ns = made_ns
        yield running


@pytest.mark.parametrize("mode", ["poll", "subscribe"])
async def test_structures_of_every_kind_are_exact(server, mode):
    expected = BOTH | (MORE if server.ns == 2 else {})
    nodes = [f"ns={server.ns};s={name}" for name in expected]
    async with reading(server.url, nodes, mode=mode) as reader:
        await reader.until(lambda: all(reader.objects[at] for at in range(len(nodes))), 30)
    assert {name: reader.objects[at][0] for at, name in enumerate(expected)} == expected


async def test_their_parts_are_tags(server):
    fields = {
        "tree": ("children[1].children[0].name", "d"),
        "drawing": ("all[1].height", 2),
        "mixed": ("modes[1]", 7),
    } | ({"flagset": ("Bits.Open", True)} if server.ns == 2 else {})
    tags = [{"node": f"ns={server.ns};s={name}", "field": path} for name, (path, _) in fields.items()]
    async with reading(server.url, tags) as reader:
        await reader.until(lambda: all(reader.values[at] or reader.objects[at] for at in range(len(tags))), 30)
    assert [(reader.values[at] or reader.objects[at])[0] for at in range(len(tags))] == [one for _, one in fields.values()]


async def test_bits_and_values_have_labels(server):
    """A set of bits by its type, where a bit without a name is its number; MultiStateValueDiscrete by its EnumValues."""
    tags = [f"ns={server.ns};s=flags", f"ns={server.ns};s=speed"]
    async with reading(server.url, tags) as reader:
        await reader.until(lambda: all(reader.objects[at] and reader.values[at] for at in (0, 1)), 30)
    assert [reader.values[at] for at in (0, 1)] == [[0x8005], [40]]
    assert [reader.objects[at] for at in (0, 1)] == [[["Ready", "Warm", 15]], ["fast"]]
    assert reader.qualities[0] == [Quality.GOOD]


async def test_a_structure_that_is_too_deep_costs_only_itself(port):
    with capture_logs() as logs:
        async with Shapes(port, 1) as server, reading(server.url, ["ns=2;s=deep", "ns=2;s=tree"]) as reader:
            await reader.until(lambda: bool(reader.objects[0] and reader.objects[1]), 30)
    assert reader.objects[0][0].keys() == {"type", "body"}
    assert reader.objects[1] == [TREE]
    assert [one["event"].count("T1013.children") for one in logs if "nested too deeply" in one["event"]]


async def test_a_type_that_changes_while_the_session_lasts_is_read_again(port):
    """As controllers do it when a program is changed while it runs."""
    async with Shapes(port, 1) as server, reading(server.url, ["ns=2;s=round", "ns=2;s=tree"]) as reader:
        await reader.until(lambda: CIRCLE in reader.objects[0], 30)
        await server.redefine(1022, [field("name", STRING), field("radius", DOUBLE), field("colour", INT32)])
        await server.show("round", 1022, text("c") + struct.pack("<di", 2.5, 7))
        await reader.until(lambda: CIRCLE | {"colour": 7} in reader.objects[0], 30)
    assert not [one for one in reader.objects[0] if isinstance(one, dict) and "body" in one], "not even the first is bytes"
