"""How dictionaries are read: in parts where they are large, and what they import."""

from types import SimpleNamespace

from asyncua import ua

from gateway.sources.opcua.client.legacy_dictionaries import PART_BYTES, LegacyDictionaries
from gateway.sources.opcua.codec.legacy_structures import LegacyStructure, TypeName
from gateway.sources.opcua.codec.types.structures import Types

RESPONSE_TOO_LARGE, NO_DATA = 0x80B90000, 0x80370000
ENCODING, DESCRIPTION, DICTIONARY = (ua.NodeId(n, 2) for n in (1, 2, 3))


class FakeServices:
    """A server of one dictionary that sends at most `limit` bytes at once."""

    def __init__(self, content: bytes, limit: int) -> None:
        self.content = content
        self.limit = limit
        self.parts: list[str] = []

    async def references(self, nodes, reference, *, inverse=False, classes=0):
        ways = {ENCODING: DESCRIPTION, DESCRIPTION: DICTIONARY}
        return [[SimpleNamespace(NodeId=ways[node])] if node in ways else [] for node in nodes]

    async def attributes(self, nodes):
        return ["P" for _ in nodes]

    async def translate(self, paths):
        return [NO_DATA for _ in paths]

    async def read(self, nodes):
        return [self._answer(self.content) for _ in nodes]

    async def read_range(self, node, index):
        self.parts.append(index)
        low, _, high = index.partition(":")
        return self._answer(self.content[int(low) : int(high) + 1]) if int(low) < len(self.content) else failed(NO_DATA)

    def _answer(self, content: bytes) -> ua.DataValue:
        return ua.DataValue(ua.Variant(content)) if len(content) <= self.limit else failed(RESPONSE_TOO_LARGE)


def failed(status: int) -> ua.DataValue:
    return ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(status)))


def dictionary(length: int) -> bytes:
    head = b'<TypeDictionary TargetNamespace="urn:x"><StructuredType Name="P"/><!--'
    tail = b"--></TypeDictionary>"
    return head + b"x" * (length - len(head) - len(tail)) + tail


async def read(content: bytes, limit: int = PART_BYTES) -> tuple[FakeServices, dict[ua.NodeId, object]]:
    services = FakeServices(content, limit)
    found = await LegacyDictionaries(services, Types()).of_encodings([ENCODING, ua.NodeId(99, 2)])
    return services, found


async def test_a_large_dictionary_is_read_in_parts():
    services, found = await read(dictionary(PART_BYTES + 100))
    assert services.parts == ["0:32767", "32768:65535"]
    assert found == {ENCODING: LegacyStructure("P", ())}


async def test_one_that_ends_with_a_part_is_whole():
    services, found = await read(dictionary(2 * PART_BYTES))
    assert services.parts[2:] == ["65536:98303"]
    assert ENCODING in found


async def test_a_small_one_is_read_at_once():
    services, found = await read(dictionary(200))
    assert not services.parts
    assert ENCODING in found


async def test_what_cannot_be_read_costs_its_types():
    assert (await read(b"<a"))[1] == {}
    assert (await read(dictionary(PART_BYTES + 100), limit=10))[1] == {}
    endless = FakeServices(b"x" * 20_000_000, PART_BYTES)
    types = Types()
    assert await LegacyDictionaries(endless, types).of_encodings([ENCODING]) == {}
    assert TypeName("urn:x", "P") not in types.named
    assert len(endless.parts) < 300
