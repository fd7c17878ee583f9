"""The sink of line protocol against real servers: InfluxDB 1 and VictoriaMetrics, and answers that only others give."""

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.core.errors import NotConnected, Permanent, Retryable
from gateway.core.ports.sink import Certified
from tests.support.gateway import ROOT
from tests.support.influx import PASSWORD, Influx1, Victoria
from tests.support.line_protocol import read
from tests.support.mosquitto import Authority
from tests.support.network import free_port, until
from tests.support.sink_stand import START_MS, build, delivery, put, served

GOOD = {"n": 5, "good": 5, "min": 1.5, "max": 1e300, "mean": 0.1, "std": 0.25, "first": 2.0, "last": 5.0, "q": "good"}
TOKEN = "t0ken-of-influx"


@pytest.fixture(scope="module")
def influx(influxd: str) -> Iterator[Influx1]:
    server = Influx1(influxd)
    server.start_now()
    yield server
    server.kill()


async def test_influxdb_has_what_was_sent_once_however_often(influx: Influx1) -> None:
    messages = [
        delivery(
            {"dur": 1000, "tags": {"oil, hot=1": GOOD, "sl\\ide": GOOD | {"q": "uncertain", "reason": "partial"}}}, seq=3
        ),
        delivery({"dur": 1000, "late": True, "tags": {"oil, hot=1": GOOD | {"mean": 9.5}}}, seq=4, live=False),
        delivery({"kind": "alarm", "severity": 500, "tag": "oil", "state": "active", "note": 'a "b" \\ c'}, stream="event"),
        delivery({"tags": {"recipe": {"value": "A-17 ü", "ts": START_MS, "q": "good"}}}, stream="value"),
        delivery({"stats": {"waiting": 3, "refused": "no"}}, stream="stats", device=""),
    ]
    for _ in range(2):
        async with served(build("influx", version=1, url=influx.url)) as sink:
            assert await put(sink, *messages) == [None] * 5
    rows = await influx.rows("SELECT * FROM gateway_window")
    assert [(row["tag"], row["mean"], row["hist"]) for row in rows] == [
        ("oil, hot=1", 0.1, False), ("sl\\ide", 0.1, False), ("oil, hot=1", 9.5, True),
    ]  # fmt: skip
    assert (rows[0]["max"], rows[0]["n"], rows[0]["device"], rows[0]["time"]) == (1e300, 5, "press", START_MS * 1_000_000)
    (event,) = await influx.rows("SELECT * FROM gateway_event")
    assert json.loads(event["body"])["note"] == 'a "b" \\ c'
    assert (await influx.rows("SELECT value_text FROM gateway_value"))[0]["value_text"] == "A-17 ü"
    assert (await influx.rows("SELECT waiting, refused_text FROM gateway_stats"))[0]["waiting"] == 3.0


async def test_a_bad_row_costs_that_row_and_says_which(influx: Influx1) -> None:
    """The type of a field is that of its first value: a server has it from somebody else."""
    async with served(build("influx", version=1, url=influx.url, prefix="own_")) as sink:
        assert await put(sink, delivery({"tags": {"oil": GOOD}})) == [None]
        many = {f"t{number}": GOOD for number in range(20)}
        influx.write(f'own_window,tag=foreign used="a text" {START_MS * 1_000_000}')
        good = [delivery({"tags": {"oil": GOOD}}) for _ in range(6)]
        foreign = delivery({"tags": many | {"t7": GOOD | {"used": 4}}})
        ends = await put(sink, *good[:5], foreign, good[5])
    assert [type(end) for end in ends] == [type(None)] * 5 + [Permanent, type(None)]
    assert "tag t7" in str(ends[5])
    assert "the other 19 tags have arrived" in str(ends[5])
    rows = await influx.rows('SELECT count(mean) FROM own_window WHERE "tag" =~ /^t/ GROUP BY "tag"')
    assert len(rows) == 19


async def test_a_database_that_is_not_there_is_said(influx: Influx1) -> None:
    sink = build("influx", version=1, url=influx.url, database="nowhere")
    with pytest.raises(NotConnected, match=r"database not found.*check influx\.database"):
        await sink.open()
    await sink.close()


async def test_victoriametrics_takes_version_2(victoria: str) -> None:
    server = Victoria(victoria)
    await server.start()
    try:
        async with served(build("influx", url=server.url, token=TOKEN)) as sink:
            assert await put(sink, delivery({"dur": 1000, "tags": {"oil": GOOD}})) == [None]
        found: dict[str, Any] = {}

        async def look() -> None:
            while not found.get("data", {}).get("result"):
                query = {"query": 'gateway_window_mean{tag="oil",device="press"}', "time": str(START_MS // 1000 + 1)}
                found.update(await server.get("/api/v1/query", **query))

        await asyncio.wait_for(look(), 60)
        assert found["data"]["result"][0]["value"][1] == "0.1"
    finally:
        server.kill()


async def test_a_login_is_needed_and_a_wrong_one_is_never_shown(influxd: str, caplog: pytest.LogCaptureFixture) -> None:
    server = Influx1(influxd, with_users=True)
    await server.start()
    try:
        async with served(build("influx", version=1, url=server.url, username="gateway", password=PASSWORD)) as sink:
            assert await put(sink, delivery({"tags": {"oil": GOOD}})) == [None]
        sink = build("influx", version=1, url=server.url, username="gateway", password="wr0ng")
        with pytest.raises(NotConnected, match="refuses the login") as caught:
            await sink.open()
        await sink.close()
        assert caught.value.security == "login_refused"
        assert "wr0ng" not in caplog.text + str(caught.value)
    finally:
        server.kill()


Answers = Callable[[web.Request, str], Any]


@asynccontextmanager
async def answering(answer: Answers, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that answers as a test says; it has the request and its lines, which are read strictly."""

    async def handle(request: web.Request) -> web.StreamResponse:
        lines = (await request.read()).decode()  # aiohttp has decompressed it
        if lines:
            read(lines)
        said = answer(request, lines)
        return said if isinstance(said, web.StreamResponse) else web.json_response(said[1], status=said[0])

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/api/v2/write", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def test_version_2_says_org_bucket_and_token() -> None:
    asked: list[web.Request] = []

    def answer(request: web.Request, lines: str) -> tuple[int, Any]:
        asked.append(request)
        return 204, None

    async with (
        answering(answer) as url,
        served(build("influx", url=url, org="acme", bucket="line 1", token=TOKEN, gzip=False)) as sink,
    ):
        assert await put(sink, delivery({"tags": {"oil": GOOD}})) == [None]
    assert dict(asked[-1].query) == {"org": "acme", "bucket": "line 1", "precision": "ns"}
    assert asked[-1].headers["Authorization"] == f"Token {TOKEN}"


async def test_a_server_that_is_busy_or_full_is_no_fault_of_the_messages() -> None:
    codes = [204, 503, 429, 500, 507]

    async with (
        answering(lambda request, lines: (codes.pop(0), {"error": "engine: cache is full"})) as url,
        served(build("influx", url=url)) as sink,
    ):
        ends = [(await put(sink, delivery({"tags": {"oil": GOOD}})))[0] for _ in range(4)]
    assert [type(end) for end in ends] == [Retryable] * 4
    assert "cache is full (HTTP 503)" in str(ends[0])


async def test_a_request_that_is_too_large_goes_in_parts() -> None:
    got: list[str] = []

    def answer(request: web.Request, lines: str) -> tuple[int, Any]:
        count = lines.count("\n") + 1
        if count > 3:
            return 413, {"error": "too large"}
        got.extend(lines.split("\n") if lines else [])
        return 204, None

    async with answering(answer) as url, served(build("influx", url=url)) as sink:
        tags = {f"t{number}": GOOD for number in range(10)}
        assert await put(sink, *[delivery({"tags": tags}) for _ in range(3)]) == [None] * 3
    assert len(got) == 30


async def test_a_server_that_refuses_everything_does_not_cost_the_backlog() -> None:
    """Before anything was taken on a connection a refusal says more about the server."""
    codes = [204]
    async with (
        answering(lambda request, lines: (codes.pop(0) if codes else 400, {"error": "unsupported precision"})) as url,
        served(build("influx", url=url)) as sink,
    ):
        ends = await put(sink, *[delivery({"tags": {"oil": GOOD}}) for _ in range(3)])
    assert [type(end) for end in ends] == [Retryable] * 3


async def test_a_token_that_is_withdrawn_ends_the_connection() -> None:
    codes = [204]
    async with answering(lambda request, lines: (codes.pop(0) if codes else 401, {"message": "unauthorized access"})) as url:
        sink = build("influx", url=url, token=TOKEN)
        await sink.open()
        serving = asyncio.create_task(sink.serve(lambda: None))
        await sink.room()
        with pytest.raises(NotConnected, match="refuses the login"):
            await asyncio.wait_for(sink.send(delivery({"tags": {"oil": GOOD}})), 30)
        await until(serving.done, 10, "the end")
        await sink.close()


async def test_https_is_used_and_its_certificate_known(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("127.0.0.1"))
    async with (
        answering(lambda request, lines: (204, None), context) as url,
        served(build("influx", url=url, tls={"ca": str(authority.certificate)})) as sink,
    ):
        assert await put(sink, delivery({"tags": {"oil": GOOD}})) == [None]
        assert isinstance(sink, Certified)
        assert [(one.owner, one.subject) for one in sink.certificates] == [("broker", "CN=127.0.0.1")]


async def test_it_goes_nowhere_else() -> None:
    """A redirection would take the token along."""

    def answer(request: web.Request, lines: str) -> web.Response:
        return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/"})

    async with answering(answer) as url:
        sink = build("influx", url=url, token=TOKEN)
        with pytest.raises(NotConnected, match="HTTP 307"):
            await sink.open()
        await sink.close()


async def test_the_queries_of_the_page_run(influx: Influx1) -> None:
    recent = delivery({"tags": {"oil_temperature": GOOD}})
    loss = {"kind": "loss", "severity": 700, "of_boot": "b", "topic": "t", "count": 2, "cause": "max_age"}
    async with served(build("influx", version=1, url=influx.url)) as sink:
        assert await put(sink, recent, delivery(loss, stream="event")) == [None] * 2
    queries = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "influx.md").read_text(), re.DOTALL)
    assert len(queries) == 3
    for query in queries:
        assert await influx.rows(query.replace("time > now() - 1d", f"time >= {START_MS}ms AND time <= {START_MS + 1000}ms"))
