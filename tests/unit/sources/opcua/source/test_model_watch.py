"""When a server's model is looked at again."""

import asyncio
import itertools

import pytest

from gateway.core.errors import NotConnected
from gateway.core.messages import DeviceState
from gateway.sources.opcua.port.errors import NotFound
from gateway.sources.opcua.port.findings import FoundTag
from gateway.sources.opcua.port.units import EngineeringUnit
from tests.support.clock import ManualClock, settle
from tests.support.opcua_fake import FakeSession, entry, source, values
from tests.unit.sources.opcua.source.test_source import OK, at_once, keep_alive, opened

SPEED = FoundTag(("Line", "speed"), "nsu=urn:x;s=speed")


@pytest.fixture
def clock():
    return ManualClock(monotonic_s=0)


@pytest.fixture
def server(clock):
    return FakeSession(clock)


@pytest.fixture(autouse=True)
def no_threads(monkeypatch):
    """A thread's time is not the fake clock's."""
    monkeypatch.setattr(asyncio, "to_thread", at_once)


@pytest.fixture
def looks(server, clock):
    """When the model was looked at, seconds."""
    times, find = [], server.metadata.browse

    async def counted(wanted):
        times.append(round(clock.monotonic()))
        return await find(wanted)

    server.metadata.browse = counted
    return times


async def model_events(made):
    """What of the model is told by now."""
    told = []
    while True:
        try:
            told.append(await asyncio.wait_for(made.read(), 0.01))
        except TimeoutError:
            return [one for one in told if getattr(one, "kind", "") == "model"]


async def test_a_polled_device_hears_of_changes_where_the_server_has_events(clock, server, looks, tmp_path):
    made = await opened(clock, server, mode="poll", browse={}, found=str(tmp_path), refresh="7d")
    assert server.model_watched
    server.publish(values([], []))
    await clock.advance(100)
    server.publish(values([], [], model_changed=True))
    await clock.advance(10)
    assert looks == [30, 102]
    server.publish(NotConnected("the subscription is lost: BadSubscriptionIdInvalid"))
    before = len(server.reads_s)
    await clock.advance(10)
    assert len(server.reads_s) >= before + 10, "the polls do not depend on it"
    await made.close()


async def test_a_polled_device_without_browse_needs_no_subscription(clock, server, tmp_path):
    made = await opened(clock, server, mode="poll", found=str(tmp_path))
    assert (server.model_watched, server.events_added) == (False, [])
    await made.close()


async def test_a_server_without_events_is_polled_all_the_same(clock, tmp_path):
    server = FakeSession(clock, keepalive_s=0)
    server.refused["model"] = 0x800B0000
    made = await opened(clock, server, mode="poll", browse={}, found=str(tmp_path))
    await clock.advance(5)
    assert len(server.reads_s) >= 5
    await made.close()


@pytest.mark.parametrize("mode", ["subscribe", "poll"])
async def test_a_server_that_hangs_up_when_asked_for_changes_serves_without_them(clock, server, tmp_path, mode):
    server.hangs_up_on_model = True
    made = source(clock, server, mode=mode, browse={}, found=str(tmp_path))
    with pytest.raises(NotConnected, match="hung up"):
        await made.open()
    await made.close()
    await made.open()
    assert not server.model_watched
    server.hangs_up_on_model = False
    await made.close()
    await made.open()
    assert server.model_watched, "it may have been something else"
    await made.close()


async def test_after_a_new_session_the_model_is_looked_at_and_after_a_takeover_not(clock, server, looks, tmp_path):
    """Of changes while there was no session nobody has heard; what a session's queues hold comes."""
    made = await opened(clock, server, mode="poll", browse={}, found=str(tmp_path), refresh="7d")
    await clock.advance(200)
    for left_behind in (False, True):
        server.left_behind = left_behind
        await made.close()
        await made.open()
        await clock.advance(100)
    assert looks == [30, 202]
    assert server.revived == 1
    await made.close()


async def test_another_mark_is_looked_at_by_a_server_that_says_nothing(clock, server, looks, tmp_path):
    made = await opened(clock, server, mode="poll", browse={}, found=str(tmp_path), refresh="7d")
    await clock.advance(200)
    server.marked = ("namespaces", "start", "another version")
    await clock.advance(120)
    assert len(looks) == 2
    assert 202 <= looks[1] <= 264
    await made.close()


async def test_a_server_that_never_comes_to_rest_is_looked_at_less_and_less(clock, server, looks, tmp_path):
    made = await opened(clock, server, mode="poll", browse={}, found=str(tmp_path), refresh="1h", interval="1min")
    for _ in range(150):
        server.publish(values([], [], model_changed=True))
        await clock.advance(20)
    pauses = [b - a for a, b in itertools.pairwise(looks[1:])]
    assert 60 <= pauses[0] <= 80
    assert [later >= before for before, later in itertools.pairwise(pauses)] == [True] * (len(pauses) - 1)
    assert pauses[-1] > 300
    assert len(looks) <= 12, "every minute would be 50 times"
    await made.close()


@pytest.mark.parametrize("mode", ["subscribe", "poll"])
async def test_a_value_that_says_that_its_meaning_has_changed_has_its_unit_asked_again(clock, server, tmp_path, mode):
    """SemanticsChanged, bit 14 of a status that is good all the same; told once, and kept for the next start."""
    made = await opened(clock, server, mode=mode, found=str(tmp_path), refresh="7d")
    keep = asyncio.create_task(keep_alive(server, clock)) if mode == "subscribe" else None
    await clock.advance(100)
    assert await model_events(made) == []
    server.measures_of["ns=1;s=v1"] = EngineeringUnit("bar", "0 to 10")
    for _ in range(3):
        if mode == "subscribe":
            server.publish(values([1], [5.0], status=0x4000, received_ns=clock.now_ns()))
        else:
            server.refused["ns=1;s=v1"] = 0x4000
        await clock.advance(1)
    server.refused.clear()
    await clock.advance(200)
    (event,) = await model_events(made)
    assert (event.altered, event.names) == (1, ["t1"])
    assert (tmp_path / "units" / "plc.csv").read_text().splitlines()[1:] == ["t1,ns=1;s=v1,bar,0 to 10"]
    if keep is not None:
        keep.cancel()
    await made.close()


async def test_units_that_all_stand_in_the_configuration_are_never_asked(clock, server, tmp_path):
    given = [{"node": "ns=1;s=v0", "unit": "m", "range": "0 to 1"}]
    assert entry(nodes=given).tags[0].unit == "m"
    made = await opened(clock, server, nodes=given, found=str(tmp_path), refresh="1min")
    assert not server.model_watched
    server.publish(values([0], [5.0], status=0x4000))
    await clock.advance(300)
    await settle()
    assert list(tmp_path.iterdir()) == []
    await made.close()


async def told(made):
    """All that is told by now: the device state last told, and the events of the model."""
    state, events = None, []
    while True:
        try:
            news = await asyncio.wait_for(made.read(), 0.01)
        except TimeoutError:
            return state, events
        if isinstance(news, DeviceState):
            state = news
        elif getattr(news, "kind", "") == "model":
            events.append(news)


@pytest.mark.parametrize("mode", ["subscribe", "poll"])
async def test_a_device_whose_root_is_not_there_says_so_until_its_tags_are_found(clock, server, tmp_path, mode):
    server.found = NotFound("/Objects/2:Lien is not there: BadNoMatch")
    made = await opened(clock, server, mode=mode, tags=0, browse={}, found=str(tmp_path), refresh="10min")
    keep = asyncio.create_task(keep_alive(server, clock))
    await clock.advance(2)
    state, events = await told(made)
    why = "browse has found no tags: /Objects/2:Lien is not there: BadNoMatch; gateway browse shows what is there"
    assert (state, events) == (DeviceState(0, "degraded", why), [])
    await clock.advance(200)
    assert await told(made) == (None, []), "said once, and it does not fade"
    server.found = [SPEED]
    await clock.advance(600)
    state, (event,) = await told(made)
    assert state.reason == "browse has found tags, which do not run yet: they are taken at the next start"
    assert event.added == 1
    keep.cancel()
    await made.close()


async def test_a_browse_that_finds_nothing_names_where_it_has_looked_and_is_no_change(clock, server, tmp_path):
    browse = [{"root": "/Objects/2:A", "include": "Speed"}, {"root": "/Objects/2:B", "on_change": "restart"}]
    made = await opened(clock, server, tags=0, browse=browse, found=str(tmp_path))
    keep = asyncio.create_task(keep_alive(server, clock))
    await clock.advance(2)
    state, events = await told(made)
    assert (state.state, events) == ("degraded", [])
    assert "below /Objects/2:A, /Objects/2:B is nothing that include, exclude, type, values and depth let" in state.reason
    keep.cancel()
    await made.close()


async def test_a_device_without_tags_says_what_was_left_out_and_by_which_key(clock, server, tmp_path):
    server.findings.no_numbers.add("DB.motor")
    server.findings.properties.add("DB.speed.Scan")
    made = await opened(clock, server, tags=0, browse={}, found=str(tmp_path))
    keep = asyncio.create_task(keep_alive(server, clock))
    await clock.advance(2)
    state, _ = await told(made)
    why = "1 variable not a single number (values): DB.motor; 1 property of a variable (properties): DB.speed.Scan"
    assert state.reason == f"browse has found no tags: {why}; gateway browse shows what is there"
    keep.cancel()
    await made.close()


async def test_a_device_without_tags_says_so_where_the_look_takes_long(clock, server, tmp_path):
    server.metadata.browse = lambda _: asyncio.Event().wait()
    made = await opened(clock, server, tags=0, browse={}, found=str(tmp_path))
    keep = asyncio.create_task(keep_alive(server, clock))
    await clock.advance(1)
    assert await told(made) == (None, []), "a moment later it may say why, in the one event of this state"
    await clock.advance(10)
    assert await made.read() == DeviceState(0, "degraded", "browse has found no tags yet")
    keep.cancel()
    await made.close()


async def test_a_folder_that_cannot_be_written_is_named(clock, server, tmp_path):
    server.found = [SPEED]
    (tmp_path / "file").write_text("")
    made = await opened(clock, server, tags=0, browse={}, found=str(tmp_path / "file" / "below"))
    keep = asyncio.create_task(keep_alive(server, clock))
    await clock.advance(2)
    state, _ = await told(made)
    assert state.reason.startswith(f"browse has found no tags: {tmp_path}/file/below/plc.csv cannot be kept: ")
    assert state.reason.endswith("found: names its folder")
    keep.cancel()
    await made.close()


async def test_kept_tags_go_on_without_a_word_where_the_root_has_gone(clock, server, tmp_path):
    (tmp_path / "plc.csv").write_text("name,node,unit,range\nt0,ns=1;s=v0,,\n")
    server.found = NotFound("/Objects/2:Line is not there: BadNoMatch")
    made = await opened(clock, server, browse={}, found=str(tmp_path))
    keep = asyncio.create_task(keep_alive(server, clock))
    await clock.advance(40)
    assert await told(made) == (OK, [])
    keep.cancel()
    await made.close()
