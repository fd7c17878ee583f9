"""The web server on real sockets: what it answers, whom, and what clients cannot do to it."""

import asyncio
import contextlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.core.events.process import LimitAlarm
from gateway.web.openapi import OPERATIONS, document
from gateway.web.server import MOST_CONNECTIONS
from gateway.web.view import HistoryView
from tests.support.network import free_port, until
from tests.support.web_client import serving
from tests.support.web_view import FakePlant, fake_plant

QUERIES = {
    "tag": "?device=d0&name=t1",
    "values": "?tags=0,3,4",
    "history": "?tag=2&points=10",
    "tags": "?q=d1&limit=3&offset=1&quality=good",
}


def _plant() -> FakePlant:
    plant = fake_plant()
    plant.read(range(10), [0.1 * n for n in range(10)])
    plant.set_state(1, "degraded", "two registers are not there")
    return plant


async def _history(tag: int, from_ns: int, to_ns: int, points: int) -> HistoryView:
    import numpy as np

    del tag, to_ns
    times = from_ns // 1_000_000 + np.arange(points) * 1_000
    values = np.linspace(0, 1, points)
    values[3] = np.nan
    return HistoryView(times, values, values, values)


@pytest.mark.parametrize("name", [one.name for one in OPERATIONS])
async def test_each_answer_is_as_the_openapi_document_says(tmp_path: Path, name: str) -> None:
    found = document("x")
    schema = {"$ref": f"#/components/schemas/{next(o.answer.__name__ for o in OPERATIONS if o.name == name)}"}
    async with serving(_plant().view(history=_history), tmp_path) as served:
        status, answer = await served.get(f"/api/v1/{name}{QUERIES.get(name, '')}")
        assert status == 200, answer
        jsonschema.Draft202012Validator({**found, **schema}).validate(answer)
        assert (await served.get("/api/v1/openapi.json"))[1]["paths"]
        status, refused = await served.get(f"/api/v1/{name}?nonsense=1")
        assert status in (400, 404)
        assert refused["error"]


async def test_health_is_red_and_green_again(tmp_path: Path) -> None:
    plant = _plant()
    async with serving(plant.view(), tmp_path) as served:
        assert (await served.get("/healthz"))[0] == (await served.get("/readyz"))[0] == 200
        for device in (0, 1):
            plant.set_state(device, "down", "no answer")
        assert ((await served.get("/healthz"))[0], (await served.get("/readyz"))[0]) == (200, 503)
        plant.stuck = ["outbox"]
        status, answer = await served.get("/healthz")
        assert (status, answer["reasons"][0]) == (503, "no progress: outbox")
        plant.stuck = []
        plant.set_state(0, "ok")
        assert (await served.get("/healthz"))[0] == (await served.get("/readyz"))[0] == 200


async def test_the_metrics_are_read_by_the_reference_parser(tmp_path: Path) -> None:
    async with serving(_plant().view(), tmp_path) as served:
        names = {family.name for family in text_string_to_metric_families(await served.text("/metrics"))}
        assert {"gateway_healthy", "gateway_device_round_trip_ms"} <= names


async def test_nobody_can_change_anything_and_no_other_site_can_ask(tmp_path: Path) -> None:
    async with serving(_plant().view(), tmp_path) as served:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            async with served.http.request(method, served.url + "/api/v1/status") as response:
                assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
        assert (await served.get("/api/v1/status", Host="evil.example"))[0] == 403
        assert (await served.get("/api/v1/status", Origin="http://evil.example"))[0] == 403
        async with served.http.get(served.url + "/") as response:
            assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "Access-Control-Allow-Origin" not in response.headers
        async with served.http.head(served.url + "/api/v1/status") as response:
            assert (response.status, await response.read()) == (200, b"")
        assert (await served.get("/page/../../../pyproject.toml"))[0] == 404
        assert (await served.get("/page/%2e%2e/server.py"))[0] == 404


async def test_a_token_opens_the_door_and_may_be_renewed(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("the-first-token-of-all\n")
    async with serving(_plant().view(), tmp_path, token_file=str(file)) as served:
        assert (await served.get("/api/v1/status"))[0] == 401
        assert not served.events, "to bring none is no attempt: each browser does so first"
        assert (await served.get("/api/v1/status", Authorization="Bearer wrong-but-long-enough"))[0] == 401
        (event,) = served.events
        assert event.payload()["what"] == "access_refused"
        assert "wrong-but-long" not in str(event.payload())
        assert (await served.get("/api/v1/status", Authorization="Bearer the-first-token-of-all"))[0] == 200
        file.write_text("the-second-token-of-all\n")
        assert (await served.get("/api/v1/status", Authorization="Bearer the-second-token-of-all"))[0] == 200
        file.write_text("short")
        assert (await served.get("/api/v1/status", Authorization="Bearer short"))[0] == 503


async def _events(response: aiohttp.ClientResponse) -> Any:
    """Yield name and content of each event."""
    name = ""
    async for line in response.content:
        if line.startswith(b"event: "):
            name = line[7:].strip().decode()
        elif line.startswith(b"data: "):
            yield name, json.loads(line[6:])


async def test_a_viewer_sees_all_that_is_true_and_then_what_changes(tmp_path: Path) -> None:
    plant = _plant()
    async with (
        serving(plant.view(), tmp_path) as served,
        served.http.get(served.url + "/api/v1/stream?tags=1,2") as response,
    ):
        seen: list[tuple[str, Any]] = []
        async with asyncio.timeout(90):
            async for name, content in _events(response):
                seen.append((name, content))
                names = [one for one, _ in seen]
                if names == ["status", "devices", "alarms"]:
                    plant.live.event(_alarm(plant))
                    plant.set_state(0, "down", "gone")
                if {"events", "values"} <= set(names) and names.count("devices") == names.count("alarms") == 2:
                    break
        last = dict(seen)
        assert last["devices"]["devices"][0]["reason"] == "gone"
        assert last["alarms"]["alarms"][0]["condition"] == "hi"
        assert last["events"]["events"][0]["kind"] == "alarm"
        assert last["values"]["tag"] == [1, 2]
        assert len(served.site.stream) == 1
    await until(lambda: len(served.site.stream) == 0, 10, "the viewer is forgotten")


def _alarm(plant: FakePlant) -> LimitAlarm:
    return LimitAlarm(
        time_ns=plant.now_ns(), device=0, tag=1, state="active", condition="hi", value=9.0, limit=8.0, severity=500
    )  # fmt: skip


async def test_a_viewer_who_does_not_read_is_dropped_and_the_others_go_on(tmp_path: Path) -> None:
    plant = fake_plant(devices=400)
    async with serving(plant.view(), tmp_path) as served:
        stream = served.site.stream
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1_024)
        writer.write(b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: len(stream) == 1, 60, "a viewer")
        big = b"x" * 2**20
        viewer = next(iter(stream._viewers))
        for _ in range(64):
            if viewer.is_dropped:
                break
            stream._give(viewer, big)
            await asyncio.sleep(0)
        assert viewer.is_dropped
        assert len(stream) == 0
        assert (await served.get("/healthz"))[0] == 200
        writer.close()
        del reader


async def test_connections_are_bounded_and_slow_ones_do_not_stay(tmp_path: Path) -> None:
    async with serving(_plant().view(), tmp_path) as served:
        slow = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(MOST_CONNECTIONS + 5)]
        for _, writer in slow:
            writer.write(b"GET / HTTP/1.1\r\nHo")
        closed = 0
        for reader, _ in slow[MOST_CONNECTIONS:]:
            try:
                closed += await asyncio.wait_for(reader.read(1), 60) == b""
            except ConnectionResetError:
                closed += 1
        assert closed == 5
        connector = aiohttp.UnixConnector(path=str(served.socket))
        async with aiohttp.ClientSession(connector=connector) as local, local.get("http://gateway/healthz") as response:
            assert response.status == 200, "commands have a door of their own"
        for reader, _ in slow[:3]:  # headers must be there within 10 s
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(1), 60) == b""
        for _, writer in slow:
            writer.close()


async def test_bodies_and_headers_beyond_measure_are_refused(tmp_path: Path) -> None:
    async with serving(_plant().view(), tmp_path) as served:
        for request in (
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
            b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 500 + b"\r\n",
            b"\x16\x03\x01\x00\xff not HTTP\r\n\r\n",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(request)
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                answer = await asyncio.wait_for(reader.read(12), 60)
            assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")) or answer == b"", "an answer, or none"
            writer.close()
        assert (await served.get("/healthz"))[0] == 200


async def test_the_socket_file_is_private_replaces_a_left_one_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db.sock"
    async with serving(_plant().view(), tmp_path):
        mode = path.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert not path.exists()
    from gateway.web.unix_socket import listen_private

    listen_private(path).close()  # left behind, as by a kill
    async with serving(_plant().view(), tmp_path):
        pass
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        listen_private(path)
    path.unlink()
    os.symlink("/etc/passwd", path)
    with pytest.raises(FileExistsError):
        listen_private(path)


async def test_a_deep_folder_has_room_for_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100) / ("y" * 100)
    deep.mkdir(parents=True)
    async with serving(_plant().view(), deep) as served:
        assert served.socket.exists()


async def test_a_port_that_is_taken_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.server._RETRY_S", 0.05)
    port = free_port()
    other = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    async with serving(_plant().view(), tmp_path, port) as served:
        other.close()
        await other.wait_closed()
        async with asyncio.timeout(90):
            while True:
                try:
                    if (await served.get("/healthz"))[0] == 200:
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)


async def test_a_bug_in_an_answer_costs_that_answer(tmp_path: Path) -> None:
    def bug() -> Any:
        raise RuntimeError("secret inside")

    async with serving(_plant().view(plan=bug), tmp_path) as served:
        async with served.http.get(served.url + "/api/v1/plan") as response:
            assert response.status == 500
            assert "secret" not in await response.text()
        assert (await served.get("/healthz"))[0] == 200


async def test_after_a_reload_viewers_come_again(tmp_path: Path) -> None:
    """The numbers of tags mean others then: no viewer is shown a value under another tag's name."""
    plant = _plant()
    async with serving(plant.view(), tmp_path) as served, served.http.get(served.url + "/api/v1/stream?tags=1") as response:
        await until(lambda: len(served.site.stream) == 1, 60, "a viewer")
        plant.live.table_version += 1
        with contextlib.suppress(aiohttp.ClientError):
            async with asyncio.timeout(90):
                async for _ in _events(response):
                    pass
        assert len(served.site.stream) == 0
