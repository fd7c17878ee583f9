"""What is published about a server's connection."""

from collections import Counter

import pytest

from gateway.core.errors import NotConnected
from gateway.sources.opcua.port.traffic import Traffic
from gateway.sources.opcua.source.statistics import Statistics, by_status
from tests.support.opcua_fake import BAD_NODE_ID_UNKNOWN, FakeClock, FakeSession, settle, source, values

BAD_SENSOR = 0x808C0000


def test_statuses_become_keys_the_most_frequent_ones_only():
    bad = Counter(
        {BAD_NODE_ID_UNKNOWN: 7, BAD_SENSOR: 9, 0x80FF0000: 1, 0x80330000: 2, 0x80350000: 2, 0x80360000: 2, 0x803A0000: 2}
    )
    keys = by_status(bad)
    assert keys["bad_node_id_unknown"] == 7
    assert keys["bad_sensor_failure"] == 9
    assert len(keys) == 5
    assert by_status(Counter({0x80FF0000: 1})) == {"bad_0x80ff0000": 1}


def test_counts_outlive_connections_and_ages_do_not():
    statistics = Statistics()
    for opened_s in (10.0, 100.0):
        statistics.on_opened(opened_s)
        statistics.on_closed(Traffic(republished=3))
    report = statistics.report("opc.tcp://a", None, Counter(), 150.0)
    assert (report["session"], report["session_age_s"], report["republished"], report["reconnects"]) == ("closed", 0, 6, 1)
    statistics.on_opened(200.0)
    report = statistics.report("opc.tcp://a", Traffic(republished=1, publish_ms=12.34), Counter(), 205.0)
    assert (report["session"], report["session_age_s"], report["republished"], report["connects"]) == ("open", 5, 7, 3)
    assert report["publish_ms"] == 12.3


async def test_a_source_counts_what_it_does():
    clock = FakeClock()
    server = FakeSession(clock, keepalive_s=1e6)
    server.refused["ns=1;s=v1"] = BAD_NODE_ID_UNKNOWN
    made = source(clock, server)
    assert made.stats()[0]["session"] == "closed"
    await made.open()
    server.publish(values([0, 2], [1.0, None], kind=[11, 0], status=[0x480, BAD_SENSOR]))
    server.publish(values([0], [2.0], lost=2))
    await settle()
    stats = made.stats()[0]
    assert (stats["values"], stats["lost"], stats["queue_overflows"]) == (3, 3, 1)
    assert (stats["bad_nodes"], stats["bad_node_id_unknown"], stats["bad_sensor_failure"]) == (2, 1, 1)
    assert stats["server"] == "opc.tcp://127.0.0.1:4840"
    server.publish(NotConnected("gone"))
    await settle()
    await made.close()
    await made.open()
    assert made.stats()[0]["reconnects"] == 1
    await made.close()


@pytest.mark.parametrize("mode", ["subscribe", "poll"])
async def test_bad_values_are_counted_in_both_modes(mode):
    clock = FakeClock()
    server = FakeSession(clock, keepalive_s=1e6)
    server.publish(values([2], [None], kind=[0], status=[BAD_SENSOR]))
    server.refused["ns=1;s=v2"] = BAD_SENSOR if mode == "poll" else 0
    made = source(clock, server, mode=mode)
    await made.open()
    await settle()
    assert made.stats()[0]["bad_sensor_failure"] == 1
    await made.close()
