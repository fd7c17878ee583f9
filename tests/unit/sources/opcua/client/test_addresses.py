"""Addresses in one session: resolved once, retried in their time, registered where it is wanted."""

from asyncua import ua

from gateway.sources.opcua.client.addresses import RETRY_S, Addresses
from gateway.sources.opcua.client.services import NO_MATCH
from gateway.sources.opcua.port.node_names import NodeNames
from gateway.sources.opcua.status.codes import RENAMED
from tests.support.clock import ManualClock

SPEED = ua.NodeId("speed", 2)


class FakeServices:
    """Browse paths lead to `nodes` by the names on their way."""

    def __init__(self) -> None:
        self.nodes: dict[str, ua.NodeId] = {}
        self.asked: list[list[str]] = []
        self.registered: list[list[ua.NodeId]] = []
        self.names: dict[object, ua.QualifiedName] = {}

    async def translate(self, paths):
        names = ["/".join(f"{e.TargetName.NamespaceIndex}:{e.TargetName.Name}" for e in elements) for _, elements in paths]
        self.asked.append(names)
        return [self.nodes.get(name, NO_MATCH) for name in names]

    async def attributes(self, nodes):
        return [self.names.get(node.Identifier) for node, _ in nodes]

    async def register(self, nodes):
        self.registered.append(list(nodes))
        return [ua.NodeId(1000 + at, 0) for at, _ in enumerate(nodes)]


def made(names: NodeNames | None = None) -> tuple[Addresses, FakeServices, ManualClock]:
    services, clock = FakeServices(), ManualClock(monotonic_s=0)
    addresses = Addresses(services, clock, names or NodeNames())
    addresses.set_namespaces(["http://opcfoundation.org/UA/", "urn:server", "urn:x"])
    return addresses, services, clock


async def test_a_namespace_is_found_by_its_uri_in_nodes_and_paths():
    addresses, services, _ = made()
    services.nodes["0:Objects/2:Line"] = SPEED
    await addresses.resolve(["nsu=urn:x;s=a", "nsu=urn:absent;s=a", "/Objects/{urn:x}Line"])
    assert addresses.node("nsu=urn:x;s=a") == ua.NodeId("a", 2)
    assert addresses.node("nsu=urn:absent;s=a").NamespaceIndex == 0xFFFF
    assert addresses.node("/Objects/{urn:x}Line") == SPEED


async def test_a_namespace_may_come_later():
    addresses, _, _ = made()
    await addresses.resolve(["nsu=urn:late;s=a", "i=1"])
    assert addresses.lacks_namespace
    addresses.set_namespaces(["http://opcfoundation.org/UA/", "urn:server", "urn:x", "urn:late"])
    await addresses.resolve(["nsu=urn:late;s=a", "i=1"])
    assert addresses.node("nsu=urn:late;s=a") == ua.NodeId("a", 3)
    assert not addresses.lacks_namespace


async def test_a_path_is_asked_for_once_and_in_vain_again_after_a_minute():
    addresses, services, clock = made()
    services.nodes["2:A"] = SPEED
    for _ in range(3):
        await addresses.resolve(["/2:A", "/2:B"])
    assert services.asked == [["2:A", "2:B"]]
    assert (addresses.status_of("/2:A"), addresses.status_of("/2:B")) == (0, NO_MATCH)
    await clock.advance(RETRY_S)
    services.nodes["2:B"] = SPEED
    await addresses.resolve(["/2:A", "/2:B"])
    assert services.asked[1:] == [["2:B"]]
    assert addresses.status_of("/2:B") == 0


async def test_what_is_gone_or_to_be_retried_is_asked_for_at_once():
    addresses, services, _ = made()
    services.nodes["2:A"] = SPEED
    await addresses.resolve(["/2:A", "/2:B"])
    addresses.forget("/2:A")
    addresses.forget("i=85")
    addresses.retry(["/2:B"])
    await addresses.resolve(["/2:A", "/2:B"])
    assert services.asked == [["2:A", "2:B"]] * 2


async def test_nodes_are_registered_once_also_those_that_were_known_before():
    addresses, services, _ = made()
    await addresses.resolve(["i=1"])
    assert addresses.registered("i=1") == ua.NodeId(1)
    for _ in range(2):
        await addresses.resolve(["i=1", "i=2", "/2:B"], register=True)
    assert services.registered == [[ua.NodeId(1), ua.NodeId(2)]]
    assert (addresses.registered("i=2"), addresses.node("i=2")) == (ua.NodeId(1001), ua.NodeId(2))
    addresses.forget("i=2")
    await addresses.resolve(["i=2"], register=True)
    assert (addresses.registered("i=2"), len(services.registered)) == (ua.NodeId(2), 1)


async def test_the_folder_of_several_paths_is_looked_up_once():
    addresses, services, _ = made()
    services.nodes |= {"0:Objects/2:Line": ua.NodeId(7, 2), "2:A": SPEED, "2:B": ua.NodeId("b", 2), "0:Objects/2:C": SPEED}
    await addresses.resolve(["/Objects/2:Line/2:A", "/Objects/2:Line/2:B", "/Objects/2:C", "/Objects/2:Line/2:D"])
    assert services.asked[0] == ["0:Objects/2:Line"]
    assert services.asked[1:] == [["2:A", "2:B", "0:Objects/2:C", "2:D"]]
    assert addresses.node("/Objects/2:Line/2:B") == ua.NodeId("b", 2)
    assert addresses.status_of("/Objects/2:Line/2:D") == NO_MATCH


async def test_a_number_with_another_name_than_in_the_session_before_leads_nowhere_until_it_has_its_own_again():
    names = NodeNames()
    first, services, _ = made(names)
    services.names = {5: ua.QualifiedName("Temp", 2), 6: ua.QualifiedName("Press", 2)}
    await first.resolve(["ns=2;i=5", "ns=2;i=6", "ns=2;i=7", "i=2258"])
    assert [first.status_of(text) for text in ("ns=2;i=5", "ns=2;i=6", "ns=2;i=7", "i=2258")] == [0] * 4
    later, services, clock = made(names)
    services.names = {5: ua.QualifiedName("Press", 2), 6: ua.QualifiedName("Press", 2)}
    await later.resolve(["ns=2;i=5", "ns=2;i=6"])
    assert [later.status_of(text) for text in ("ns=2;i=5", "ns=2;i=6")] == [RENAMED, 0]
    services.names[5] = ua.QualifiedName("Temp", 2)
    await clock.advance(RETRY_S)
    await later.resolve(["ns=2;i=5"])
    assert later.status_of("ns=2;i=5") == 0
