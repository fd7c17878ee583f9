"""What the folder tells the gateway about itself."""

from gateway.sources.opcua.plugin import OpcUaPlugin
from tests.support.opcua_fake import entry
from tests.support.watermarks_fake import services


def test_the_plan_of_a_subscription_is_readable():
    assert OpcUaPlugin().describe([entry(2, sampling="100ms")]) == [
        "plc: OPC UA opc.tcp://127.0.0.1:4840, anonymous, security none",
        "  subscription: publishing every 250ms, queue 10; items: 2 sampled every 100ms",
        "  t0 <- ns=1;s=v0",
        "  t1 <- ns=1;s=v1",
    ]


def test_the_plan_warns_where_the_queue_is_too_short():
    lines = OpcUaPlugin().describe([entry(1, sampling="10ms")])
    assert "  warning: a queue of 10 is too short, up to 25 samples come per publication" in lines


def test_the_plan_of_a_poll_with_many_tags_is_short():
    lines = OpcUaPlugin().describe([entry(5000, mode="poll", interval="250ms", username="me", password="x")])
    assert lines[:2] == ["plc: OPC UA opc.tcp://127.0.0.1:4840, user me, security none", "  poll: 5000 nodes every 250ms"]
    assert lines[-1] == "  and 4980 more"
    assert len(lines) == 23


def test_the_plan_shows_what_is_browsed():
    lines = OpcUaPlugin().describe([entry(1, browse={"root": "/Objects/2:Line", "include": ["a*", "b"]})])
    assert lines[1] == "  browse /Objects/2:Line: a*, b; found tags are among those below"


def test_intervals_are_known_only_for_polls():
    subscribed, polled = entry(1), entry(1, mode="poll")
    assert OpcUaPlugin().traits(subscribed.config, subscribed.tags[0]).interval_ns == 0
    assert OpcUaPlugin().traits(polled.config, polled.tags[0]).interval_ns == 1_000_000_000


def test_one_source_per_device():
    assert [source.devices for source in OpcUaPlugin().build([entry(1), entry(1)], services())] == [
        (0,),
        (0,),
    ]


def test_the_plan_names_further_servers_events_and_history():
    lines = OpcUaPlugin().describe([entry(1, urls=["opc.tcp://b"], events=[{"severity": 500}], history=True)])
    assert "  or opc.tcp://b:4840" in lines
    assert "  events of i=2253 from severity 500" in lines
    assert "  history is read back, 3600s and 10000 samples a node at most" in lines


def test_the_plan_shows_groups_and_parts():
    tags = [
        {"node": "i=1", "field": "a.b"}, {"node": "i=1", "field": "c"},
        {"node": "/Objects/2:A", "element": 3, "interval": "5s"},
    ]  # fmt: skip
    assert OpcUaPlugin().describe([entry(nodes=tags, queue_size=20)])[1:] == [
        "  subscription: publishing every 250ms, queue 20; items: 1 sampled every 250ms",
        "  subscription: publishing every 5s, queue 20; items: 1 sampled every 250ms",
        "  t0 <- i=1 .a.b",
        "  t1 <- i=1 .c",
        "  t2 <- /Objects/2:A[3]",
    ]
    polled = entry(nodes=tags, mode="poll")
    assert OpcUaPlugin().describe([polled])[1:3] == ["  poll: 1 node every 1s", "  poll: 1 node every 5s"]
    assert [OpcUaPlugin().traits(polled.config, tag).interval_ns for tag in polled.tags] == [10**9, 10**9, 5 * 10**9]
