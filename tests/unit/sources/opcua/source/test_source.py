"""The source on a fake connection and a fake clock."""

import asyncio
import contextlib
import json

import numpy as np
import pytest

from gateway.core.blocks import ObjectBlock, SampleBlock
from gateway.core.errors import NotConnected
from gateway.core.messages import DeviceState
from gateway.core.quality import Quality
from gateway.sources.opcua.port.errors import HungUp, NotFound, Poisoned, Unanswered
from gateway.sources.opcua.port.findings import FoundTag
from gateway.sources.opcua.port.units import EngineeringUnit
from gateway.sources.opcua.source import diagnostics
from tests.support.clock import ManualClock, settle
from tests.support.opcua_fake import BAD_NODE_ID_UNKNOWN, DAY_NS, FakeSession, source, values
from tests.support.watermarks_fake import FakeWatermarks

OK = DeviceState(0, "ok")


@pytest.fixture
def clock():
    return ManualClock(monotonic_s=0)


@pytest.fixture
def server(clock):
    return FakeSession(clock)


async def opened(clock, server, **device):
    made = source(clock, server, **device)
    await made.open()
    await settle()
    return made


async def next_block(made) -> SampleBlock:
    while isinstance(news := await asyncio.wait_for(made.read(), 5), DeviceState):
        pass
    return news


async def test_all_items_are_created_and_the_state_comes_first(clock, server):
    made = await opened(clock, server)
    assert server.added == [[0, 1, 2]]
    assert await made.read() == OK
    await made.close()
    assert server.closed


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        ("subscribe", "backfill checks keep-alives labels model notifications search staleness watermark"),
        ("poll", "checks events labels model polls search"),
    ],
)
async def test_the_tasks_of_a_connection_are_named_and_end_with_it(clock, server, mode, names):
    before = asyncio.all_tasks()
    more = {"history": True, "silence": "60s"} if mode == "subscribe" else {}
    made = source(clock, server, mode=mode, browse={}, **more)
    await made.open()
    await asyncio.sleep(0)  # all are made, and none has run: some end at once
    tasks = asyncio.all_tasks() - before
    assert {task.get_name() for task in tasks} == {"opcua plc", *(f"opcua {name} plc" for name in names.split())}
    await made.close()
    assert all(task.done() for task in tasks)


async def test_notifications_that_wait_are_merged_in_order(clock, server):
    made = await opened(clock, server, first_tag=10)
    server.publish(values([0, 1], [1.0, 2.0]))
    server.publish(values([0], [3.0]))
    await settle()
    block = await next_block(made)
    assert (block.tag.tolist(), block.value.tolist()) == ([10, 11, 10], [1.0, 2.0, 3.0])
    await made.close()


async def test_a_refused_node_is_bad_at_once_and_the_others_live(clock, server):
    server.refused["ns=1;s=v1"] = BAD_NODE_ID_UNKNOWN
    made = await opened(clock, server)
    state = await made.read()
    assert (state.device, state.state) == (0, "degraded")
    assert state.reason.startswith("1 of 3 nodes refused: t1 (ns=1;s=v1) BadNodeIdUnknown (the server has no such node, or")
    block = await next_block(made)
    assert (block.tag.tolist(), block.quality.tolist()) == ([1], [Quality.BAD_ADDRESS])
    assert np.isnan(block.value).all()
    server.publish(values([0, 2], [1.0, 2.0]))
    assert (await next_block(made)).tag.tolist() == [0, 2]
    await made.close()


async def test_a_refused_node_is_retried_until_it_heals(clock, server):
    server.refused["ns=1;s=v1"] = BAD_NODE_ID_UNKNOWN
    made = await opened(clock, server)
    await next_block(made)
    keep = asyncio.create_task(keep_alive(server, clock))
    await clock.advance(185)
    assert server.added[1:] == [[1], [1]]
    server.refused.clear()
    await clock.advance(240)
    assert server.added[3:] == [[1]]
    assert await asyncio.wait_for(made.read(), 5) == OK
    keep.cancel()
    await made.close()


async def keep_alive(server, clock):
    while True:
        await clock.sleep(1)
        server.publish(values([], []))


async def test_a_node_that_vanishes_is_told_and_retried(clock, server):
    made = await opened(clock, server)
    assert await made.read() == OK
    server.publish(values([0, 2], [1.0, None], kind=[11, 0], status=[0, BAD_NODE_ID_UNKNOWN]))
    await settle()
    assert (await made.read()).state == "degraded"
    assert (await next_block(made)).quality.tolist() == [Quality.GOOD, Quality.BAD_ADDRESS]
    server.publish(values([2], [5.0]))
    await settle()
    assert await made.read() == OK
    await made.close()


async def test_silence_without_keepalives_is_a_lost_connection(clock, server):
    made = await opened(clock, server)
    assert await made.read() == OK
    server.publish(values([], []))
    await clock.advance(5)
    server.publish(values([], []))
    await clock.advance(8.9)
    reader = asyncio.create_task(made.read())
    await settle()
    assert not reader.done()
    await clock.advance(0.5)
    with pytest.raises(NotConnected, match=r"silent for 9\.\d s"):
        await reader
    await made.close()


async def test_a_server_that_no_longer_answers_reads_is_lost(clock, server):
    made = await opened(clock, server, mode="poll", interval="1h", session_timeout="60s")
    await next_block(made)
    server.failure = NotConnected("the server does not answer: no answer in time")
    await clock.advance(10.1)
    with pytest.raises(NotConnected, match="does not answer"):
        await made.read()
    assert server.checks == 1
    await made.close()


async def test_what_was_received_before_the_loss_is_still_read(clock, server):
    made = await opened(clock, server)
    server.publish(values([0], [1.0]))
    server.publish(NotConnected("the subscription is lost: BadSubscriptionIdInvalid"))
    await settle()
    assert (await next_block(made)).value.tolist() == [1.0]
    with pytest.raises(NotConnected, match="BadSubscriptionIdInvalid"):
        await made.read()
    await made.close()


async def test_it_opens_again_after_a_loss(clock, server):
    made = await opened(clock, server)
    server.publish(NotConnected("gone"))
    await settle()
    assert await made.read() == OK
    with pytest.raises(NotConnected):
        await made.read()
    await made.close()
    await made.open()
    server.publish(values([1], [7.0]))
    assert (await next_block(made)).value.tolist() == [7.0]
    await made.close()


async def test_a_slow_reader_holds_the_server_back(clock, server):
    made = await opened(clock, server, tags=1, queue_samples=4)
    for i in range(10):
        server.publish(values([0, 0], [float(i), float(i)]))
    await settle()
    assert server.taken == 3
    await clock.advance(60)
    got = []
    while len(got) < 20:
        got += (await next_block(made)).value.tolist()
    assert got == [float(i) for i in range(10) for _ in range(2)]
    await made.close()


@pytest.mark.parametrize(
    ("notification", "reason"),
    [
        (values([0], [1.0], status=0x480), diagnostics.OVERFLOWED),
        (values([0], [1.0], lost=2), diagnostics.LOST),
    ],
)
async def test_lost_samples_are_told_and_fade(clock, server, notification, reason):
    made = await opened(clock, server)
    assert await made.read() == OK
    server.publish(notification)
    await settle()
    assert await made.read() == DeviceState(0, "degraded", reason)
    await next_block(made)
    keep = asyncio.create_task(keep_alive(server, clock))
    await clock.advance(71)
    assert await made.read() == OK
    keep.cancel()
    await made.close()


async def test_polls_keep_their_phase_and_skip_what_they_missed(clock, server):
    server.read_takes_s = 0.3
    made = await opened(clock, server, mode="poll", interval="1s")
    await clock.advance(2.5)
    server.read_takes_s = 2.4
    await clock.advance(3)
    server.read_takes_s = 0.1
    await clock.advance(3.6)
    assert server.reads_s == pytest.approx([0, 1, 2, 3, 6, 7, 8, 9])
    assert await made.read() == DeviceState(0, "degraded", diagnostics.OVERRUN)
    assert len(await next_block(made)) == 3 * len(server.reads_s)
    await made.close()


async def test_a_refused_node_is_bad_in_every_poll_and_heals_at_once(clock, server):
    server.refused["ns=1;s=v1"] = BAD_NODE_ID_UNKNOWN
    server.numbers = {"ns=1;s=v0": 5.0}
    made = await opened(clock, server, mode="poll")
    assert (await made.read()).state == "degraded"
    block = await next_block(made)
    assert block.quality.tolist() == [Quality.GOOD, Quality.BAD_ADDRESS, Quality.GOOD]
    assert block.value[0] == 5.0
    server.refused.clear()
    await clock.advance(1)
    assert await made.read() == OK
    await made.close()


async def test_labels_of_enumerations_are_told_beside_their_numbers(clock, server):
    server.labels_of["ns=1;s=v1"] = {0: "Stopped", 1: "Running"}
    made = await opened(clock, server)
    assert await made.read() == OK
    first = await made.read()
    assert (first.tag.tolist(), first.value) == ([1], ["Stopped"])
    server.publish(values([0, 1], [1.0, 1.0]))
    server.publish(values([0, 1], [2.0, 1.0]))
    await settle()
    for _ in range(2):
        told = await made.read()
        assert (told.tag.tolist(), told.value) == ([1], ["Running"])
    assert (await next_block(made)).value.tolist() == [1.0, 1.0, 2.0, 1.0]
    await made.close()


async def test_a_new_connection_does_not_ask_again_what_floats_mean(clock, server):
    """5,000 nodes are 5,000 attributes to read; but one that turns into an integer has perhaps become an enumeration."""
    made = await opened(clock, server)
    server.publish(values([0, 1, 2], [1.0, 2.0, 3.0], kind=[11, 6, 10]))
    await settle()
    await made.close()
    await made.open()
    await settle()
    assert server.labels_asked == [[0, 1, 2], [1]]
    server.publish(values([0, 2], [1.0, 0.0], kind=[6, 0]))
    keep = asyncio.create_task(keep_alive(server, clock))
    await clock.advance(2 * 10)
    assert server.labels_asked[2:] == [[0]], "no value is no other type"
    keep.cancel()
    await made.close()


async def test_labels_that_could_not_be_asked_are_asked_again(clock, server):
    """A node that was bad: as soon as it is not. One whose labels are refused: on a timer that slows down."""
    server.refused["ns=1;s=v1"] = BAD_NODE_ID_UNKNOWN
    server.unlabelled.add("ns=1;s=v2")
    server.labels_of = {"ns=1;s=v1": {0: "Stopped", 1: "Running"}}
    made = await opened(clock, server)
    keep = asyncio.create_task(keep_alive(server, clock))
    await clock.advance(59)
    assert server.labels_asked == [[0, 1, 2]]
    server.refused.clear()
    await clock.advance(51)
    assert server.labels_asked[1:] == [[2], [1]]
    said = [one async for one in everything(made) if isinstance(one, ObjectBlock)]
    assert [(one.tag.tolist(), one.value) for one in said] == [([1], ["Stopped"])]
    await clock.advance(1000)
    assert server.labels_asked[3:] == [[2]] * 3, "after 2, 4 and 8 minutes more"
    server.unlabelled.clear()
    await clock.advance(2000)
    asked = len(server.labels_asked)
    await clock.advance(2000)
    assert len(server.labels_asked) == asked
    keep.cancel()
    await made.close()


async def everything(made):
    while True:
        try:
            async with asyncio.timeout(0.05):
                yield await made.read()
        except TimeoutError:
            return


async def test_a_server_that_refuses_to_read_at_all_is_told(clock, server):
    server.reads_refused = 0x801F0000
    made = await opened(clock, server)
    keep = asyncio.create_task(keep_alive(server, clock))
    await clock.advance(12)
    said = [one async for one in everything(made) if isinstance(one, DeviceState)]
    assert said[-1].state == "degraded"
    assert said[-1].reason.startswith("the server refuses to read: BadUserAccessDenied: this user may not")
    server.reads_refused = 0
    await clock.advance(90)
    assert [one async for one in everything(made) if isinstance(one, DeviceState)] == [OK]
    keep.cancel()
    await made.close()


async def test_a_change_of_the_servers_model_is_told_once(clock, server, tmp_path):
    made = await opened(clock, server, browse={}, found=str(tmp_path), refresh="10min")
    assert await made.read() == OK
    keep = asyncio.create_task(keep_alive(server, clock))
    server.found = [FoundTag(("Line", "speed"), "nsu=urn:x;s=speed", EngineeringUnit("mm/s"))]
    await clock.advance(29)
    assert not list(tmp_path.iterdir())
    await clock.advance(2)
    state = await asyncio.wait_for(made.read(), 5)
    assert (state.state, "taken at the next start" in state.reason) == ("degraded", True)
    event = await asyncio.wait_for(made.read(), 5)
    assert (event.kind, event.added, event.names) == ("model", 1, ["Line.speed"])
    assert (tmp_path / "plc.csv").read_text() == "name,node,unit,range\nLine.speed,nsu=urn:x;s=speed,mm/s,\n"
    server.found = NotFound("/Objects/2:Line is not there: BadNoMatch")
    await clock.advance(600)
    state = await asyncio.wait_for(made.read(), 5)
    assert "/Objects/2:Line is not there: BadNoMatch; gateway browse shows what is there" in state.reason
    server.found = []
    await clock.advance(600)
    state = await asyncio.wait_for(made.read(), 5)
    assert "browse has found no tags: below i=85 is nothing that include" in state.reason
    event = await asyncio.wait_for(made.read(), 5)
    assert (event.kind, event.removed) == ("model", 1)
    keep.cancel()
    await made.close()


async def at_once(function, *values, **keys):
    return function(*values, **keys)


async def compared(clock, server, made, times):
    """How often the model was looked at, after each of these moments at which the server said that it has changed."""
    looks, find = [], server.metadata.browse

    async def counted(wanted):
        looks.append(round(clock.monotonic()))
        return await find(wanted)

    server.metadata.browse = counted
    for at in times:
        await clock.advance(at - clock.monotonic())
        server.publish(values([], [], model_changed=True))
    await clock.advance(200)
    return looks


@pytest.mark.parametrize(
    ("times", "looks"),
    [
        ([40], [30, 90]),  # a minute after the first look, by the clock
        ([100], [30, 102]),  # two seconds after it was said
        ([100, 101, 102], [30, 104]),  # or said last
        ([100 + i for i in range(40)], [30, 130, 190]),  # but not for ever, and with a pause
    ],
)
async def test_the_model_is_compared_once_the_server_has_finished_to_change_it(
    clock, server, tmp_path, monkeypatch, times, looks
):
    monkeypatch.setattr(asyncio, "to_thread", at_once)  # a thread's time is not the fake clock's
    made = await opened(clock, server, browse={}, found=str(tmp_path), refresh="7d", silence="0s")
    assert server.model_watched
    keep = asyncio.create_task(keep_alive(server, clock))
    assert await compared(clock, server, made, times) == looks
    keep.cancel()
    await made.close()


async def test_a_server_that_does_not_tell_changes_is_no_complaint(clock, server, tmp_path):
    server.refused["model"] = 0x80570000
    made = await opened(clock, server, browse={}, found=str(tmp_path))
    assert await made.read() == OK
    await made.close()


async def test_a_change_that_is_to_be_taken_at_once_says_so(clock, server, tmp_path):
    asked = []
    made = await opened(
        clock,
        server,
        browse={"on_change": "take"},
        found=str(tmp_path),
        take_tags=asked.append,
    )
    assert await made.read() == OK
    server.found = [FoundTag(("Line", "speed"), "nsu=urn:x;s=speed")]
    keep = asyncio.create_task(keep_alive(server, clock))
    await clock.advance(31)
    assert "taken at once" in (await asyncio.wait_for(made.read(), 5)).reason
    event = await asyncio.wait_for(made.read(), 5)
    assert (event.taken, event.added) == (True, 1)
    assert asked == [0]
    assert "taken at once" in event.reason
    keep.cancel()
    await made.close()


async def test_a_failed_open_is_not_connected_and_close_is_safe(clock, server):
    server.failure = NotConnected("cannot connect")
    made = source(clock, server)
    with pytest.raises(NotConnected, match="cannot connect"):
        await made.open()
    await made.close()
    await made.close()


async def test_a_bug_is_loud(clock, server):
    made = await opened(clock, server)
    server.publish(ZeroDivisionError("a bug"))
    await settle()
    assert await made.read() == OK
    with pytest.raises(ExceptionGroup) as raised:
        await made.read()
    assert raised.group_contains(ZeroDivisionError)
    await made.close()


async def test_read_is_cancelled_at_once_and_loses_nothing(clock, server):
    made = await opened(clock, server)
    assert await made.read() == OK
    reader = asyncio.create_task(made.read())
    await settle()
    reader.cancel()
    server.publish(values([0], [1.0]))
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert (await next_block(made)).value.tolist() == [1.0]
    await made.close()


async def test_a_session_left_behind_is_taken_over_with_its_items(clock, server):
    server.refused["ns=1;s=v1"] = BAD_NODE_ID_UNKNOWN
    made = await opened(clock, server)
    server.left_behind = True
    await made.close()
    server.publish(values([0], [5.0]))
    await made.open()
    assert (server.revived, server.added, server.closed) == (1, [[0, 1, 2]], False)
    assert "1 of 3 nodes refused" in (await made.read()).reason, "what was known of the nodes still holds"
    assert (await next_block(made)).value.tolist() == [5.0]
    assert made.stats()[0]["reconnects"] == 1
    await made.close()


async def test_a_subscription_taken_over_confirms_nothing_before_it_says_anything(clock, server):
    """One whose every answer brings the connection down is silent, too."""
    made = await opened(clock, server)
    server.publish(values([0], [5.0]))
    assert (await next_block(made)).value.tolist() == [5.0]
    server.left_behind = True
    await made.close()
    await made.open()
    assert (await made.read()).state == "ok"
    reading = asyncio.create_task(made.read())
    await clock.advance(2 * server.keepalive_s)
    assert not reading.done(), "nothing is known to hold"
    server.publish(values([], []))
    block = await reading
    assert (block.tag.tolist(), block.value.tolist(), block.repeated) == ([0], [5.0], True)
    await made.close()


async def test_a_session_is_left_where_nothing_is_answered_and_closed_where_nothing_ever_was(clock, server):
    """A frozen server would carry out the closing when it wakes up, and what its queues held would be gone."""
    made = await opened(clock, server)
    for heard in (True, False):
        if heard:
            server.publish(values([0], [5.0]))
        await clock.advance(20)
        with pytest.raises(NotConnected, match="silent"):
            await drained(made)
        await made.close()
        await made.open()
    assert server.leaves == [True, False]
    server.publish(NotConnected("the subscription is lost: BadSessionIdInvalid"))
    await settle()
    with pytest.raises(NotConnected, match="BadSessionIdInvalid"):
        await drained(made)
    await made.close()
    assert server.leaves == [True, False, False]


async def drained(made):
    while True:
        await made.read()


async def test_a_session_that_the_server_forgot_is_made_anew(clock, server):
    made = await opened(clock, server)
    server.left_behind, server.knows_session = True, False
    await made.close()
    await made.open()
    assert (server.revived, server.added) == (1, [[0, 1, 2], [0, 1, 2]])
    server.left_behind = False
    await made.close()
    await made.open()
    assert server.revived == 1
    await made.close()


async def test_a_server_that_is_away_keeps_what_was_left_behind(clock, server):
    made = await opened(clock, server)
    server.left_behind, server.failure = True, NotConnected("cannot connect")
    await made.close()
    for _ in range(2):
        with pytest.raises(NotConnected, match="cannot connect"):
            await made.open()
        await made.close()
    server.failure = None
    await made.open()
    assert server.added == [[0, 1, 2]]
    await made.close()


INTERNAL = 0x80020000
NOT_SUPPORTED = 0x803D0000


class Poisoning:
    """Makes a fake server fail as soon as one of these rows is watched; all others say their value."""

    def __init__(self, server: FakeSession, rows: set[int]) -> None:
        self.rows = rows
        self._server = server
        server.on_add = self._added

    def _added(self, rows: list[int]) -> None:
        if self.rows.isdisjoint(rows):
            self._server.publish(values(rows, [1.0] * len(rows)))
        else:
            self._server.publish(Poisoned("the subscription is lost: BadInternalError", INTERNAL))


async def live(made, clock, until, losses: list[str]) -> None:
    """As a supervisor would, until this state was told."""
    for _ in range(200):
        reading = asyncio.create_task(made.read())
        await settle()
        while not reading.done():
            assert clock.monotonic() < 1000
            await clock.advance(0.2)
        try:
            news = await reading
        except NotConnected as error:
            losses.append(str(error))
            await made.close()
            await clock.advance(1)
            await made.open()
            continue
        if isinstance(news, DeviceState) and until(news):
            return
    raise AssertionError("that was never told")


async def test_a_node_that_the_subscription_is_lost_for_is_found_and_left_out(clock, server):
    losses: list[str] = []
    Poisoning(server, {5})
    made = await opened(clock, server, tags=8)
    await live(made, clock, lambda state: "nodes refused" in state.reason, losses)
    assert losses == ["the subscription is lost: BadInternalError"], "told once, however many connections it took"
    assert made.stats()[0]["reconnects"] <= 1 + 2 * 4
    added = len(server.added)
    server.publish(values([0, 7], [2.0, 3.0]))
    while (await next_block(made)).value[-2:].tolist() != [2.0, 3.0]:
        pass
    await clock.advance(50)
    assert server.added[added:] == [], "its retry costs a connection, so it waits"
    await made.close()


async def test_a_node_that_is_well_again_is_watched_again(clock, server):
    losses: list[str] = []
    poisoning = Poisoning(server, {5})
    made = await opened(clock, server, tags=8)
    await live(made, clock, lambda state: "1 of 8 nodes refused: t5" in state.reason, losses)
    poisoning.rows.clear()
    keep = asyncio.create_task(keep_alive(server, clock))
    await live(made, clock, lambda state: state == OK, losses)
    assert server.added[-1] == [5]
    assert len(losses) == 1
    keep.cancel()
    await made.close()


async def test_a_server_that_recovers_in_the_middle_of_a_search_keeps_all_nodes(clock, server):
    losses: list[str] = []
    poisoning = Poisoning(server, set(range(8)))
    made = await opened(clock, server, tags=8)
    await live(made, clock, lambda state: "searched for, 8 of 8 nodes wait" in state.reason, losses)
    poisoning.rows.clear()
    await live(made, clock, lambda state: state == OK, losses)
    assert len(losses) == 1
    await made.close()


async def until_lost(made) -> None:
    with contextlib.suppress(NotConnected):
        while True:
            await asyncio.wait_for(made.read(), 5)


async def test_connections_that_end_at_once_three_times_are_not_taken_over_again(clock, server):
    """What the session holds may be the reason."""
    made = await opened(clock, server)
    for _ in range(3):
        server.left_behind = True
        server.publish(HungUp("the server hung up"))
        await clock.advance(0.1)
        await until_lost(made)
        await made.close()
        added, revived = len(server.added), server.revived
        await made.open()
    assert server.revived == revived + 1, "to be closed"
    assert server.added[added:] == [[]], "and made anew, behind a search"
    await made.close()


async def test_a_healthy_server_is_asked_nothing_for_the_sake_of_the_search(clock, server):
    made = await opened(clock, server)
    server.publish(values([0, 1, 2], [1.0, 2.0, 3.0]))
    await clock.advance(2)
    assert (server.added, server.removed) == ([[0, 1, 2]], [])
    assert server.reads_s == []
    await made.close()


async def test_a_node_that_makes_the_server_fall_silent_is_found_however_long_silence_is_waited_for(clock, server):
    """With timeout: 10s the wait alone lasts as long as a connection that is called stable."""
    losses: list[str] = []
    add = server.values.subscribe

    async def added(items):
        if any(item.row == 2 for item in items):
            await clock.sleep(4 * 10)
            raise Unanswered("cannot watch nodes: no answer in time")
        statuses = await add(items)
        server.publish(values([item.row for item in items], [1.0] * len(items)))
        return statuses

    server.values.subscribe = added
    made = source(clock, server)
    for _ in range(2):
        opening = asyncio.create_task(made.open())
        await clock.advance(41)
        with pytest.raises(Unanswered):
            await opening
        await made.close()
    await asyncio.wait_for(made.open(), 5)
    await live(made, clock, lambda state: state.reason.startswith("1 of 3 nodes refused: t2"), losses)
    assert losses == []
    await made.close()


async def test_a_look_that_the_loss_of_the_connection_interrupts_is_made_up_for(clock, server):
    """Notifications were lost, all is read; while it is waited whether the server says it by itself, the connection ends."""
    made = await opened(clock, server)
    server.publish(values([0], [1.0], lost=1))
    await settle()
    assert len(server.reads_s) == 1
    server.left_behind = True
    server.publish(NotConnected("gone"))
    await settle()
    await until_lost(made)
    await made.close()
    await made.open()
    assert server.revived == 1
    keep = asyncio.create_task(keep_alive(server, clock))
    await clock.advance(20)
    assert len(server.reads_s) == 2
    keep.cancel()
    await made.close()


async def test_a_node_that_is_well_again_and_can_only_be_polled_is_polled(clock, server):
    losses: list[str] = []
    poisoning = Poisoning(server, {5})
    made = await opened(clock, server, tags=8)
    await live(made, clock, lambda state: "1 of 8 nodes refused: t5" in state.reason, losses)
    poisoning.rows.clear()
    add = server.values.subscribe

    async def added(items):
        watched = [item for item in items if item.row != 5]
        told = dict(zip((item.row for item in watched), await add(watched), strict=True))
        return [told.get(item.row, NOT_SUPPORTED) for item in items]

    server.values.subscribe = added
    keep = asyncio.create_task(keep_alive(server, clock))
    await clock.advance(70)
    await live(made, clock, lambda state: state == OK, losses)
    assert made.stats()[0]["polled"] == 1
    keep.cancel()
    await made.close()


async def test_the_end_of_a_connection_that_came_too_early_to_be_noted_is_noted_later(clock, server):
    """The server stays away, and the gateway may be stopped before it comes back: then nothing else would note it."""
    watermarks = FakeWatermarks()
    made = await opened(clock, server, tags=1, history=True, watermarks=watermarks)
    for second in (1, 2):
        server.publish(values([0], [1.0], source_ns=DAY_NS + second))
        await settle()
        await next_block(made)
        server.publish(NotConnected("gone"))
        await until_lost(made)
        await made.close()
        if second == 1:
            await made.open()
    server.failure = NotConnected("cannot connect")

    async def noted_after(seconds: float) -> dict[str, int]:
        await clock.advance(seconds)
        with pytest.raises(NotConnected, match="cannot connect"):
            await made.open()
        await made.close()
        watermarks.commit()
        return json.loads(watermarks.disk["opcua/state/plc"].value)["nodes"]

    assert await noted_after(10) == {"ns=1;s=v0": DAY_NS + 1}
    assert await noted_after(51) == {"ns=1;s=v0": DAY_NS + 2}


async def test_a_node_that_comes_back_and_can_only_be_polled_is_polled(clock, server):
    """Perhaps the server holds as many monitored items by now as it can."""
    losses: list[str] = []
    told = BAD_NODE_ID_UNKNOWN

    async def added(items):
        return [told if item.row == 1 else 0 for item in items]

    server.values.subscribe = added
    made = await opened(clock, server)
    keep = asyncio.create_task(keep_alive(server, clock))
    await live(made, clock, lambda state: "1 of 3 nodes refused: t1" in state.reason, losses)
    told = 0x80DB0000
    await live(made, clock, lambda state: state == OK, losses)
    assert losses == ["some nodes are polled from now on"]
    assert made.stats()[0]["polled"] == 1
    keep.cancel()
    await made.close()


async def test_a_server_that_hangs_up_over_its_model_is_not_asked_again_with_refused_events(clock, server):
    server.hangs_up_on_model = True
    server.refused["i=2253"] = 0x801F0000
    made = source(clock, server, browse={}, events=[{"notifier": "i=2253"}])
    with pytest.raises(NotConnected):
        await made.open()
    await made.close()
    await made.open()
    keep = asyncio.create_task(keep_alive(server, clock))
    await clock.advance(150)
    assert len(server.events_added) == 3
    keep.cancel()
    await made.close()
