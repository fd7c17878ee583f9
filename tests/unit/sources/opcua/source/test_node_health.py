"""Refused nodes, their retry times, and what people are told."""

from gateway.core.messages import DeviceState
from gateway.sources.opcua.source.intervals import Intervals
from gateway.sources.opcua.source.node_health import NodeHealth
from tests.support.opcua_fake import BAD_NODE_ID_UNKNOWN, entry

BAD_NOT_READABLE = 0x803A0000


def health(tags: int = 10) -> NodeHealth:
    return NodeHealth(0, entry(tags).tags, Intervals())


def test_nothing_wrong_is_ok():
    assert health().state(0) == DeviceState(0, "ok")


def test_the_first_nodes_are_named_and_the_rest_counted():
    h = health()
    for row in (7, 2, 5, 3, 1):
        h.fail(row, BAD_NODE_ID_UNKNOWN, 0)
    state = h.state(0)
    assert state.state == "degraded"
    assert state.reason == (
        "5 of 10 nodes refused: t1 (ns=1;s=v1) BadNodeIdUnknown (the server has no such node, or not its namespace; "
        "gateway browse shows what it has), t2 (ns=1;s=v2) BadNodeIdUnknown, t3 (ns=1;s=v3) BadNodeIdUnknown, 2 more"
    )


def test_one_status_for_all_is_said_once_and_explained():
    h = health(3)
    for row in range(3):
        h.fail(row, BAD_NOT_READABLE, 0)
    assert h.state(0).reason == "all 3 nodes refused: BadNotReadable: the node cannot be read, only written"
    h.fail(2, BAD_NODE_ID_UNKNOWN, 0)
    reason = h.state(0).reason
    assert reason.startswith("3 of 3 nodes refused: t0 (ns=1;s=v0) BadNotReadable (the node cannot be read,")
    assert reason.count("the node cannot be read") == 1
    assert reason.count("BadNodeIdUnknown (the server has no such node") == 1


def test_retries_double_from_half_a_minute_to_two_minutes():
    h, now, delays = health(), 0.0, []
    for _ in range(8):
        h.fail(4, BAD_NODE_ID_UNKNOWN, now)
        delay = next(s for s in range(1, 4000) if h.due(now + s))
        delays.append(delay)
        now += delay
    assert delays == [30, 60, 120, 120, 120, 120, 120, 120]


def test_only_a_new_fault_is_news():
    h = health()
    assert h.fail(1, BAD_NODE_ID_UNKNOWN, 0)
    assert not h.fail(1, BAD_NODE_ID_UNKNOWN, 60)
    assert h.fail(1, BAD_NOT_READABLE, 120)


def test_a_healed_node_is_forgotten():
    h = health()
    h.fail(1, BAD_NODE_ID_UNKNOWN, 0)
    h.heal([1, 2])
    assert h.state(0).state == "ok"
    assert h.due(1e9) == []


def test_a_complaint_fades_after_a_minute():
    h = health()
    h.warn("samples were dropped", 10)
    assert h.state(69.9) == DeviceState(0, "degraded", "samples were dropped")
    assert h.state(70).state == "ok"


def test_a_change_of_the_servers_nodes_is_a_reason_to_try_at_once():
    h = health()
    for _ in range(4):
        h.fail(4, BAD_NODE_ID_UNKNOWN, 0)
    h.hurry(1)
    assert h.due(1) == [4]
    h.fail(4, BAD_NODE_ID_UNKNOWN, 1)
    assert h.due(30.9) == []
    assert h.due(31) == [4]


def test_better_words_than_those_of_a_status_are_shown_beside_its_name():
    h = health()
    h.fail(4, 0x80050000, 0, "the server hangs up when it is asked for it")
    words = "t4 (ns=1;s=v4) the server hangs up when it is asked for it (BadCommunicationError)"
    assert h.state(0).reason == f"1 of 10 nodes refused: {words}"
