"""`gateway status` and `gateway top` against a server on a socket file."""

import asyncio
import json
from pathlib import Path

from typer.testing import CliRunner, Result

from gateway.cli.logs import PARTS
from gateway.cli.main import app
from gateway.core.log_levels import LEVELS, LOG_LEVELS
from tests.support.web_client import serving
from tests.support.web_view import fake_plant


async def _run(*arguments: str) -> Result:
    return await asyncio.to_thread(lambda: CliRunner().invoke(app, list(arguments), env={"COLUMNS": "120"}))


async def test_the_exit_code_says_how_it_is(tmp_path: Path) -> None:
    plant = fake_plant(interval_ns=0)
    async with serving(plant.view(), tmp_path) as served:
        socket = ("status", "--socket", str(served.socket))
        result = await _run(*socket)
        assert result.exit_code == 0, result.output
        assert "well" in result.output
        plant.set_state(1, "down", "the device does not answer")
        result = await _run(*socket)
        assert result.exit_code == 1
        assert "the device does not answer" in " ".join(result.output.split())
        assert "gateway read d1" in " ".join(result.output.split())
        plant.set_state(0, "down", "gone too")
        result = await _run(*socket, "--json")
        assert result.exit_code == 2
        answer = json.loads(result.output)
        assert answer["health"]["level"] == "red"
        assert [device["state"] for device in answer["device_list"]] == ["down", "down"]


async def test_a_gateway_that_does_not_run_is_red_and_says_where_was_looked(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(f"name: test\nmqtt:\n  url: mqtt://127.0.0.1\noutbox:\n  path: {tmp_path}/o.db\n")
    result = await _run("status", "--config", str(tmp_path))
    assert result.exit_code == 2
    assert str(tmp_path / "o.db.sock") in result.output.replace("\n", "")


async def test_the_socket_beside_the_outbox_is_found_by_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(
        f"name: test\nmqtt:\n  url: mqtt://127.0.0.1\noutbox:\n  path: {tmp_path}/outbox.db\n"
    )
    async with serving(fake_plant(interval_ns=0).view(), tmp_path):
        assert (await _run("status", "--config", str(tmp_path))).exit_code == 0
        assert (await _run("top", "--config", str(tmp_path / "nowhere"), "--socket", "/nonexistent")).exit_code == 2


async def test_log_levels_are_shown_and_changed_through_the_socket_only(tmp_path: Path) -> None:
    LOG_LEVELS.begin("info", PARTS)
    async with serving(fake_plant(interval_ns=0).view(), tmp_path) as served:
        socket = ("--socket", str(served.socket))
        result = await _run("log-level", *socket)
        assert result.exit_code == 0, result.output
        assert result.output.split() == ["part", "level", "all", "info", "libraries", "warning"]
        result = await _run("log-level", "opcua", "debug", *socket)
        assert result.exit_code == 0, result.output
        assert LOG_LEVELS.wants("gateway.opcua", LEVELS["debug"])
        assert "logs: opcua debug" in (await _run("status", *socket)).output
        result = await _run("log-level", "modem", "debug", *socket)
        assert result.exit_code == 2
        assert "'modem' is no part; expected all, libraries, app" in " ".join(result.output.split())
        url = f"{served.url}/api/v1/log-level?part=all&level=debug"
        async with served.http.post(url) as response:
            assert response.status == 405
        assert LOG_LEVELS.shown()["all"] == "info"
    LOG_LEVELS.begin("info")


async def test_a_gateway_that_stands_still_is_red(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("gateway.cli.api_client.ANSWER_S", 0.3)
    from gateway.web.unix_socket import listen_private

    with listen_private(tmp_path / "s") as _:
        result = await _run("status", "--socket", str(tmp_path / "s"))
    assert result.exit_code == 2
    assert "stands still" in result.output
