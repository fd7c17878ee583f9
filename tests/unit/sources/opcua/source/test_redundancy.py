"""Which of several servers is used."""

import pytest

from gateway.core.errors import NotConnected
from gateway.core.ports.plugin import SourceServices
from gateway.sources.opcua.port.session import ServerHealth
from gateway.sources.opcua.source.intervals import Intervals
from gateway.sources.opcua.source.redundancy import AskedServer, RedundantServers, best
from gateway.sources.opcua.source.source import OpcUaSource
from tests.support.clock import ManualClock, settle
from tests.support.opcua_fake import FakeSession, entry
from tests.support.watermarks_fake import FakeWatermarks

A, B, C = (f"opc.tcp://{name}:4840" for name in "abc")
SUSPENDED = 2
FAILBACK_S = Intervals().failback_s


class Plant:
    """Servers by address; counts the sessions that are open at once, and remembers the order in which they were made."""

    def __init__(self, **levels: int) -> None:
        self.clock = ManualClock(monotonic_s=0)
        self.stands = {f"opc.tcp://{name}:4840": ServerHealth(0, level) for name, level in levels.items()}
        self.away: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self.connections: list[FakeSession] = []

    async def connect(self, config, clock, patience):
        self.asked.append((config.url, config.mode))
        if config.url in self.away:
            raise NotConnected(f"cannot connect to {config.url}")
        connection = FakeSession(clock, keepalive_s=1e6)
        connection.url = config.url
        plant = self

        async def health():
            return plant.stands[connection.url]

        connection.health = health
        self.connections.append(connection)
        return connection

    @property
    def open(self) -> list[str]:
        return [one.url for one in self.connections if not one.closed]

    def servers(self) -> RedundantServers:
        return RedundantServers(
            entry(1, url=A, urls=[url for url in self.stands if url != A]).config, self.connect, self.clock
        )


@pytest.mark.parametrize(
    ("standings", "place"),
    [
        ([ServerHealth(0, 255), ServerHealth(0, 255)], 0),
        ([ServerHealth(0, 200), ServerHealth(0, 201)], 1),
        ([ServerHealth(SUSPENDED, 255), ServerHealth(0, 1)], 1),
        ([None, ServerHealth(SUSPENDED, 0)], 1),
        ([ServerHealth(SUSPENDED, 10), ServerHealth(SUSPENDED, 20), None], 1),
    ],
)
def test_the_best_runs_and_has_the_highest_level(standings, place):
    found = best([AskedServer(i, standing) for i, standing in enumerate(standings)])
    assert found is not None
    assert found.place == place


def test_nobody_is_best_where_nobody_is():
    assert best([AskedServer(0, None), AskedServer(1, None)]) is None


async def test_one_server_is_connected_without_asking():
    plant = Plant(a=0)
    await plant.servers().open()
    assert plant.asked == [(A, "subscribe")]


async def test_a_perfect_first_server_is_taken_without_asking_others():
    plant = Plant(a=255, b=255)
    await plant.servers().open()
    assert plant.asked == [(A, "poll"), (A, "subscribe")]
    assert plant.open == [A]


async def test_the_highest_level_is_chosen_one_connection_at_a_time():
    plant = Plant(a=210, b=240, c=230)
    servers = plant.servers()
    await servers.open()
    assert plant.open == [B]
    assert [url for url, _ in plant.asked] == [A, B, C, B]
    assert servers.state_text == f"on server 2 of 3, {B}"


async def test_an_unreachable_server_is_passed_over_and_none_is_told():
    plant = Plant(a=255, b=100)
    plant.away = {A}
    servers = plant.servers()
    await servers.open()
    assert plant.open == [B]
    plant.away = {A, B}
    with pytest.raises(NotConnected, match=f"no server can be reached: cannot connect to {A}; cannot connect to {B}"):
        await plant.servers().open()


async def test_the_server_that_was_lost_is_asked_last():
    plant = Plant(a=255, b=255)
    servers = plant.servers()
    (await servers.open(), plant.asked.clear())
    await servers.open()
    assert [url for url, _ in plant.asked] == [B, B]


@pytest.mark.parametrize("standing", [ServerHealth(0, 199), ServerHealth(SUSPENDED, 255)])
async def test_it_fails_over_when_another_is_better(standing):
    plant = Plant(a=255, b=240)
    servers = plant.servers()
    connection = await servers.open()
    await servers.evaluate(connection)
    plant.stands[A] = standing
    with pytest.raises(NotConnected, match=f"fails over to {B}: ServiceLevel 240 there, ServiceLevel {standing.level}"):
        await servers.evaluate(connection)
    assert plant.open == [A], "the session to ask by is closed"


async def test_it_stays_where_nobody_is_better():
    plant = Plant(a=255, b=100)
    servers = plant.servers()
    connection = await servers.open()
    plant.stands[A] = ServerHealth(0, 150)
    await servers.evaluate(connection)
    plant.away = {B}
    plant.stands[A] = ServerHealth(0, 50)
    await servers.evaluate(connection)
    assert plant.open == [A]


async def on_the_second():
    plant = Plant(a=255, b=255)
    plant.away = {A}
    servers = plant.servers()
    connection = await servers.open()
    plant.away = set()
    return plant, servers, connection


async def judged(plant, servers, connection, for_s, step_s=10.0):
    for _ in range(round(for_s / step_s)):
        await plant.clock.advance(step_s)
        await servers.evaluate(connection)


async def test_it_comes_back_when_the_first_has_been_as_good_for_a_minute():
    plant, servers, connection = await on_the_second()
    await judged(plant, servers, connection, FAILBACK_S)
    with pytest.raises(NotConnected, match=f"comes back to {A}"):
        await judged(plant, servers, connection, 2 * FAILBACK_S)
    await connection.close()
    await servers.open()
    assert plant.open == [A]
    assert servers.state_text == ""


async def test_a_first_server_that_falters_is_not_taken_back():
    plant, servers, connection = await on_the_second()
    for _ in range(10):
        await judged(plant, servers, connection, 40)
        plant.away = {A} if not plant.away else set()
    assert plant.open == [B]


async def test_a_first_server_that_is_worse_is_not_taken_back():
    plant, servers, connection = await on_the_second()
    plant.stands[A] = ServerHealth(0, 250)
    await judged(plant, servers, connection, 5 * FAILBACK_S)
    assert plant.open == [B]


async def test_a_source_changes_servers_and_says_so():
    plant = Plant(a=255, b=255)
    made = OpcUaSource(entry(2, url=A, urls=[B]), SourceServices(plant.clock, FakeWatermarks()), plant.connect)
    await made.open()
    plant.stands[A] = ServerHealth(SUSPENDED, 0)
    await plant.clock.advance(11)
    assert (await made.read()).state == "ok"
    with pytest.raises(NotConnected, match=rf"fails over to {B}: ServiceLevel 255 there, ServiceLevel 0 and not running"):
        await made.read()
    await made.close()
    assert plant.open == []
    await made.open()
    await settle()
    assert (await made.read()).reason == f"on server 2 of 2, {B}"
    assert plant.open == [B]
    await made.close()


async def left_behind(plant):
    """A source whose connection to A was lost without being closed."""
    made = OpcUaSource(entry(2, url=A, urls=[B]), SourceServices(plant.clock, FakeWatermarks()), plant.connect)
    await made.open()
    (connection,) = (one for one in plant.connections if not one.closed)
    connection.left_behind = True
    await made.close()
    plant.asked.clear()
    return made, connection


async def read_on(made):
    while True:
        await made.read()


async def test_a_session_left_behind_is_gone_on_with_although_there_are_others():
    plant = Plant(a=255, b=255)
    made, connection = await left_behind(plant)
    await made.open()
    assert (connection.revived, plant.asked, plant.open) == (1, [], [A])
    assert connection.added == [[0, 1]]
    await made.close()


async def test_another_server_is_taken_where_the_session_cannot_be_gone_on_with():
    plant = Plant(a=255, b=255)
    made, connection = await left_behind(plant)
    connection.failure = NotConnected("away")
    await made.open()
    assert [url for url, _ in plant.asked] == [B, B]
    assert plant.open == [B]
    connection.failure = None
    await plant.clock.advance(3 * FAILBACK_S + 20)
    assert (connection.revived, connection.closed) == (1, True), "taken over to be closed, not to be used"
    with pytest.raises(NotConnected, match=f"comes back to {A}"):
        await read_on(made)
    await made.close()
    await made.open()
    assert plant.open == [A]
    assert connection.closed
    await made.close()


async def test_a_server_that_forgot_the_session_is_asked_last():
    plant = Plant(a=255, b=255)
    made, connection = await left_behind(plant)
    connection.knows_session = False
    await made.open()
    assert plant.open == [B]
    await made.close()


@pytest.mark.parametrize(
    ("urls", "word"),
    [
        ([A], "is named twice in url and urls; expected a different server each"),
        ([B, B], "is named twice"),
        (["http://b"], "expected opc.tcp://HOST"),
        (B, "tuple"),
    ],
)
def test_servers_that_cannot_be_are_refused(urls, word):
    with pytest.raises(ValueError, match=word):
        entry(1, url=A, urls=urls)
