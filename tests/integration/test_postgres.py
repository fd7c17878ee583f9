"""The sink for PostgreSQL against a real server. One server for the whole file, a database for each test."""

import asyncio
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.app.uplinks import _document as document_of_rows
from gateway.core.clock import SystemClock
from gateway.core.errors import NotConnected, Permanent, Retryable
from gateway.core.ports.sink import Certified, Sink
from gateway.core.ports.sink_plugin import SinkServices
from gateway.encoding.columns import columns_of
from gateway.layouts.device.layout import DeviceLayout
from gateway.plugins import SINKS
from tests.support.gateway import ROOT
from tests.support.mosquitto import Authority
from tests.support.postgres import PASSWORD, Postgres
from tests.support.sink_stand import build, delivery, put, served
from tests.support.status import FakeStatus

_numbers = count()
GOOD = {"n": 5, "good": 5, "min": 1.5, "max": 1e308, "mean": 0.1, "std": 0.25, "first": 2.0, "last": 5e-324, "q": "good"}
BAD = {"n": 0, "good": 0, "min": None, "max": None, "mean": None, "std": None, "first": None, "last": 7.0,
       "last_ts": 1_796_060_600_123, "q": "bad", "reason": "not_connected"}  # fmt: skip


@dataclass
class Stand:
    """The server and a database of the test's own."""

    server: Postgres
    authority: Authority
    database: str

    def sink(self, **settings: Any) -> Sink:
        url = f"postgresql://127.0.0.1:{self.server.port}/{self.database}"
        return build("postgres", **({"url": url, "password": PASSWORD} | settings))

    async def rows(self, *statements: str) -> list[Any]:
        return await self.server.execute(*statements, database=self.database)


@pytest.fixture(scope="module")
def server(postgres: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Postgres, Authority]]:
    folder = tmp_path_factory.mktemp("postgres")
    running, authority = Postgres(postgres), Authority(folder)
    running.encrypt(*authority.issue("127.0.0.1"))
    running.start_now()
    yield running, authority
    running.kill()
    shutil.rmtree(folder)


@pytest.fixture
async def stand(server: tuple[Postgres, Authority]) -> Stand:
    database = f"plant{next(_numbers)}"
    await server[0].execute(f"CREATE DATABASE {database}", database="postgres")
    return Stand(*server, database)


async def test_messages_become_rows_and_sending_them_again_changes_nothing(stand: Stand) -> None:
    messages = [
        delivery({"dur": 1000, "tags": {"oil": GOOD, "slide": BAD}, "late": True}, live=False),
        delivery({"dur": 60000, "tags": {"oil": GOOD | {"used": 4}}}, stream="summary"),
        delivery({"kind": "alarm", "severity": 500, "tag": "oil", "state": "active", "value": 7.5}, stream="event"),
        delivery({"kind": "clock_jump", "severity": 400, "by_ms": 5}, stream="event", device=""),
        delivery({"tags": {"recipe": {"value": "A'\"17\\ ü", "ts": 1_764_000_000_123, "q": "good"},
                           "big": {"value": 18446744073709551615, "ts": 1, "q": "good"}}}, stream="value"),
        delivery({"stats": {"requests": 7}}, stream="stats"),
    ]  # fmt: skip
    for _ in range(2):
        async with served(stand.sink()) as sink:
            assert await put(sink, *messages) == [None] * 6
    windows = await stand.rows("SELECT * FROM gateway_windows ORDER BY stream DESC, tag")
    assert [(row["stream"], row["tag"], row["hist"], row["late"]) for row in windows] == [
        ("window", "oil", True, True), ("window", "slide", True, True), ("summary", "oil", False, False),
    ]  # fmt: skip
    oil, slide, minute = map(dict, windows)
    assert {key: oil[key] for key in GOOD} == GOOD
    assert oil["ts"].timestamp() == 1_796_060_604.0
    assert slide["last_ts"].timestamp() == 1_796_060_600.123
    assert (slide["mean"], slide["q"], slide["reason"]) == (None, "bad", "not_connected")
    assert (minute["dur_ms"], minute["used"], minute["device"], minute["gateway"]) == (60000, 4, "press", "gw")
    events = await stand.rows("SELECT * FROM gateway_events ORDER BY seq")
    assert [(row["device"], row["kind"], row["tag"], row["state"]) for row in events] == [
        ("press", "alarm", "oil", "active"), ("", "clock_jump", None, None),
    ]  # fmt: skip
    values = await stand.rows("SELECT tag, value #>> '{}' AS text FROM gateway_values ORDER BY tag")
    assert [tuple(row) for row in values] == [("big", "18446744073709551615"), ("recipe", "A'\"17\\ ü")]
    assert len(await stand.rows("SELECT * FROM gateway_messages")) == 1


async def test_a_bad_row_costs_that_row_and_says_which(stand: Stand) -> None:
    async with served(stand.sink()) as sink:
        many = {f"t{number}": GOOD for number in range(50)}
        messages = [delivery({"tags": {"oil": GOOD}}) for _ in range(20)]
        messages[7] = delivery({"tags": many | {"t17": {"n": "seventeen"}, "t33": {"mean": "x"}}})
        messages[12] = delivery({"tags": {"text": {"value": "a\0b", "q": "good"}}}, stream="value")
        ends = await put(sink, *messages)
    assert [number for number, end in enumerate(ends) if end is not None] == [7, 12]
    assert isinstance(ends[7], Permanent)
    assert "tag t17, t33" in str(ends[7])
    assert "the other 48 tags have arrived" in str(ends[7])
    assert isinstance(ends[12], Permanent)
    assert len(await stand.rows("SELECT * FROM gateway_windows")) == 18 + 48


async def test_what_a_trigger_or_constraint_of_the_owner_refuses_is_such_a_row(stand: Stand) -> None:
    async with served(stand.sink()) as sink:
        await stand.rows("ALTER TABLE gateway_windows ADD CONSTRAINT no_oil CHECK (tag <> 'oil')")
        assert await put(sink, delivery({"tags": {"slide": GOOD}})) == [None]
        ends = await put(sink, delivery({"tags": {"oil": GOOD, "slide": GOOD}}), delivery({"tags": {"slide": GOOD}}))
    assert ends[1] is None
    assert isinstance(ends[0], Permanent)
    assert "tag oil" in str(ends[0])
    assert "no_oil" in str(ends[0])


async def test_a_database_that_takes_nothing_now_is_no_fault_of_the_messages(stand: Stand) -> None:
    async with served(stand.sink()) as sink:
        await stand.rows("REVOKE ALL ON gateway_windows FROM gateway")
        await stand.rows(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$",
            "CREATE TRIGGER full_disk BEFORE INSERT ON gateway_windows EXECUTE FUNCTION full_disk()",
        )
        ends = await put(sink, *[delivery({"tags": {"oil": GOOD}}) for _ in range(3)])
        assert [type(end) for end in ends] == [Retryable] * 3
        await stand.rows("DROP TRIGGER full_disk ON gateway_windows")
        assert await put(sink, delivery({"tags": {"oil": GOOD}})) == [None]


async def test_a_wrong_password_is_said_and_never_shown(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    sink = stand.sink(password="wr0ng")
    with pytest.raises(NotConnected, match="refuses the login") as caught:
        await sink.open()
    await sink.close()
    assert caught.value.security == "login_refused"
    assert "wr0ng" not in caplog.text + str(caught.value)


async def test_tls_is_used_and_what_does_not_fit_is_said(stand: Stand) -> None:
    async with served(stand.sink(tls={"ca": str(stand.authority.certificate)})) as sink:
        assert await put(sink, delivery({"tags": {"oil": GOOD}})) == [None]
        assert isinstance(sink, Certified)
        assert [(one.owner, one.subject) for one in sink.certificates] == [("broker", "CN=127.0.0.1")]
    in_use = (
        "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name = 'gateway-gw'"
    )
    async with served(stand.sink(tls={"insecure": True})):
        assert (await stand.rows(in_use))[0][0] == 1
    for settings, words in (
        ({"tls": {}}, "is not trusted: set postgres.tls.ca"),
        ({"tls": {"ca": str(stand.authority.certificate)}, "url": f"postgresql://localhost:{stand.server.port}/plant"},
         "is not for 'localhost'"),
    ):  # fmt: skip
        sink = stand.sink(**settings)
        with pytest.raises(NotConnected, match=words) as caught:
            await sink.open()
        assert caught.value.security == "certificate_refused"
        await sink.close()


async def test_without_the_right_to_create_the_tables_of_the_page_will_do(stand: Stand) -> None:
    sink = stand.sink(create=False)
    with pytest.raises(NotConnected, match=r"set postgres\.create: true, or make the tables yourself"):
        await sink.open()
    await sink.close()
    page = (ROOT / "docs" / "postgres.md").read_text()
    found = re.search(r"```sql\n(CREATE SCHEMA.*?)```", page, re.DOTALL)
    assert found
    await stand.rows(*filter(str.strip, found[1].split(";")))
    async with served(stand.sink(create=False)) as sink:
        assert await put(sink, delivery({"tags": {"oil": GOOD}})) == [None]


async def test_gateways_that_start_together_make_the_tables_once(stand: Stand) -> None:
    sinks = [stand.sink() for _ in range(4)]
    await asyncio.gather(*(sink.open() for sink in sinks))
    await asyncio.gather(*(sink.close() for sink in sinks))
    assert (await stand.rows("SELECT count(*) FROM gateway_schema_version"))[0][0] == 1


async def test_a_server_that_answers_nothing_ends_the_connection(stand: Stand) -> None:
    sink = stand.sink(timeout="1s")
    await sink.open()
    serving = asyncio.create_task(sink.serve(lambda: None))
    await sink.room()
    stand.server.pause()
    try:
        with pytest.raises(NotConnected):
            await asyncio.wait_for(sink.send(delivery({"tags": {"oil": GOOD}})), 60)
        assert "no answer within 1 s" in (await asyncio.wait_for(serving, 60)).reason
        await asyncio.wait_for(sink.close(), 60)
    finally:
        stand.server.resume()


async def test_the_queries_of_the_page_run(stand: Stand) -> None:
    async with served(stand.sink()) as sink:
        loss = {"kind": "loss", "severity": 700, "of_boot": "b", "topic": "t", "count": 2, "cause": "max_age"}
        await put(sink, delivery({"dur": 1000, "tags": {"oil_temperature": GOOD}}), delivery(loss, stream="event"))
    queries = re.findall(r"```sql\n(SELECT.*?|WITH.*?)```", (ROOT / "docs" / "postgres.md").read_text(), re.DOTALL)
    assert len(queries) >= 3
    for query in queries:
        assert await stand.rows(query), query


async def test_windows_that_are_stored_as_columns_become_the_same_rows(stand: Stand) -> None:
    gone = {key: value for key, value in BAD.items() if key != "last_ts"} | {"last": None}
    body = columns_of(orjson.loads(delivery({"dur": 1000, "tags": {"oil": GOOD, "slide": gone}}).message.payload))
    assert body is not None
    columns = delivery(orjson.dumps(body))
    url = f"postgresql://127.0.0.1:{stand.server.port}/{stand.database}"
    plugin = SINKS["postgres"]
    config = plugin.config_model.model_validate({"url": url, "password": PASSWORD})
    services = SinkServices("gw", DeviceLayout(), FakeStatus(), SystemClock(), document=document_of_rows)
    async with served(plugin.build(config, services)) as sink:
        assert await put(sink, columns) == [None]
    found = await stand.rows("SELECT tag, mean, reason FROM gateway_windows ORDER BY tag")
    assert [tuple(row) for row in found] == [("oil", 0.1, None), ("slide", None, "not_connected")]
