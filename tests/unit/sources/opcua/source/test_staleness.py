"""The data watchdog."""

import numpy as np
import pytest

from gateway.core.errors import NotConnected
from gateway.core.events.event import Event
from gateway.core.messages import DeviceState
from gateway.core.quality import Quality
from gateway.sources.opcua.source import diagnostics
from gateway.sources.opcua.source.staleness import Staleness
from tests.support.opcua_fake import BAD_NODE_ID_UNKNOWN, FakeClock, FakeSession, settle, source, values

LIMIT_S = 60.0
NAMES = [f"ns=1;s=v{i}" for i in range(3)]


def heard(staleness: Staleness, rows: list[int], numbers: list[object], at_s: float, **columns: object) -> None:
    staleness.received(values(rows, numbers, **columns).columns, at_s)


@pytest.fixture
def staleness():
    made = Staleness(3, LIMIT_S, 0.0)
    heard(made, [0, 1, 2], [1.0, 2.0, 3.0], 1.0)
    return made


def test_rows_are_due_once_per_limit_and_only_the_silent_ones(staleness):
    heard(staleness, [1], [2.5], 30.0)
    assert staleness.due(60.9, ()) == []
    assert staleness.due(61.0, ()) == [0, 2]
    assert staleness.due(62.0, ()) == []
    assert staleness.due(90.0, ()) == [1]
    assert staleness.due(121.0, {2}) == [0]


def test_without_a_limit_nothing_is_ever_due():
    assert Staleness(3, 0.0, 0.0).due(1e9, ()) == []


@pytest.mark.parametrize(
    ("read", "changed"),
    [
        (values([0, 1, 2], [1.0, 2.0, 3.0]), []),
        (values([0, 1, 2], [1.0, 2.0, 3.0], source_ns=2**61), []),
        (values([0, 1, 2], [1.0, 2.1, 3.0]), [1]),
        (values([2, 0], [1.0, 3.0]), [2, 0]),
        (values([0], [None], kind=[0], status=[BAD_NODE_ID_UNKNOWN]), [0]),
        (values([0], [1.0], status=[0x40900000]), [0]),
        (values([0], [None], kind=[0]), [0]),
        (values([0], ["on"], kind=[12]), [0]),
    ],
)
def test_another_value_or_status_counts_and_a_newer_time_alone_does_not(staleness, read, changed):
    assert staleness.changed(read.columns, 60.0) == changed


def test_what_was_heard_meanwhile_proves_nothing(staleness):
    heard(staleness, [0], [7.0], 61.0)
    assert staleness.changed(values([0, 1], [8.0, 9.0]).columns, 60.0) == [1]


def test_texts_and_large_integers_are_compared_as_they_are():
    staleness = Staleness(2, LIMIT_S, 0.0)
    heard(staleness, [0, 1], ["on", 2**60], 1.0, kind=[12, 8])
    assert staleness.changed(values([0, 1], ["on", 2**60], kind=[12, 8]).columns, 60.0) == []
    assert staleness.changed(values([0, 1], ["off", 2**60 + 1], kind=[12, 8]).columns, 60.0) == [0, 1]
    heard(staleness, [0], [5.0], 2.0)
    assert staleness.changed(values([0], ["on"], kind=[12]).columns, 60.0) == [0]


def test_bad_is_bad_whatever_value_it_carries():
    staleness = Staleness(1, LIMIT_S, 0.0)
    heard(staleness, [0], [5.0], 1.0, status=[0x808C0000])
    assert staleness.changed(values([0], [None], kind=[0], status=[0x808C0000]).columns, 60.0) == []


def test_with_a_deadband_only_the_status_counts():
    staleness = Staleness(2, LIMIT_S, 0.0, np.array([True, False]))
    heard(staleness, [0, 1], [1.0, 1.0], 1.0)
    assert staleness.changed(values([0, 1], [1.1, 1.1]).columns, 60.0) == [0]
    assert staleness.changed(values([1], [1.1], status=[0x80000000]).columns, 60.0) == [1]


def test_a_row_that_never_said_anything_counts_as_changed():
    assert Staleness(1, LIMIT_S, 0.0).changed(values([0], [0.0]).columns, 60.0) == [0]


def test_patience_grows_when_it_was_in_vain_and_ends_when_data_come():
    staleness = Staleness(1, LIMIT_S, 0.0)
    heard(staleness, [0], [1.0], 1.0)
    staleness.on_reconnect()
    staleness.on_connected(100.0)
    heard(staleness, [0], [1.0], 101.0)
    assert staleness.due(200.0, ()) == []
    assert staleness.due(221.0, ()) == [0]
    heard(staleness, [0], [2.0], 300.0)
    assert staleness.due(360.0, ()) == [0]


async def opened(clock, server, **device):
    made = source(clock, server, silence="60s", **device)
    await made.open()
    server.publish(values([0, 1, 2], [1.0, 1.0, 1.0]))
    await settle()
    return made


async def everything(made) -> list[object]:
    """All that waits."""
    said = []
    while (news := made._state.queue.pop()) is not None:
        said.append(news)
    return said


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def server(clock):
    connection = FakeSession(clock, keepalive_s=1000.0)
    connection.numbers = dict.fromkeys(NAMES, 1.0)
    return connection


async def test_constant_values_are_read_and_left_alone(clock, server):
    made = await opened(clock, server)
    await clock.advance(300)
    assert 4 <= len(server.reads_s) <= 5
    assert server.added == [[0, 1, 2]]
    assert await made.read() == DeviceState(0, "ok")
    await made.close()


async def test_a_node_that_went_silent_is_watched_anew_and_told(clock, server):
    made = await opened(clock, server)
    server.numbers[NAMES[1]] = 2.0
    server.on_add = lambda rows: server.publish(values(rows, [2.0] * len(rows)))
    await clock.advance(90)
    assert server.added == [[0, 1, 2], [1]]
    said = await everything(made)
    assert DeviceState(0, "degraded", diagnostics.STALE) in said
    assert [one.at_least for one in said if isinstance(one, Event)] == [1]
    await made.close()


async def test_a_value_that_is_on_its_way_is_no_proof(clock, server):
    made = await opened(clock, server)
    server.numbers[NAMES[1]] = 2.0
    await clock.advance(60.1)
    server.publish(values([1], [2.0]))
    await clock.advance(20)
    assert server.added == [[0, 1, 2]]
    await made.close()


async def test_a_node_that_vanished_without_a_word_is_refused_from_then_on(clock, server):
    made = await opened(clock, server)
    server.refused[NAMES[2]] = BAD_NODE_ID_UNKNOWN
    await clock.advance(90)
    said = await everything(made)
    assert any(isinstance(one, DeviceState) and "t2 (ns=1;s=v2) BadNodeIdUnknown" in one.reason for one in said)
    assert not any(isinstance(one, Event) for one in said)
    assert [one.quality.tolist() for one in said if hasattr(one, "quality")][-1][-1] == Quality.BAD_ADDRESS
    await made.close()


async def test_a_subscription_that_stays_silent_is_a_lost_connection(clock, server):
    made = await opened(clock, server)
    server.numbers[NAMES[0]] = 2.0
    await clock.advance(90)
    await everything(made)
    with pytest.raises(NotConnected, match="sends no data"):
        await made.read()
    await made.close()
