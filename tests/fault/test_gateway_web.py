"""The whole gateway with its page, against a real broker: health, what is never shown, what its port cannot do to it."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp

from gateway.web.openapi import OPERATIONS
from tests.support.gateway import ROOT
from tests.support.line import EVERY_WINDOW, Line, running_line
from tests.support.modbus_server import obedient, silent
from tests.support.network import free_port, until

SECRET = "pa-55-word-that-nobody-sees"
QUERIES = {"tag": "?device=press&name=t1", "values": "?tags=0", "history": "?tag=0"}


async def _status(line: Line) -> tuple[int, str]:
    """Exit code and output of `gateway status`."""
    command = [sys.executable, "-m", "gateway", "status", "--json", "--config", str(line.gateway.config)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, cwd=ROOT, check=False)
    return done.returncode, done.stdout


async def _code(http: aiohttp.ClientSession, url: str) -> int:
    try:
        async with http.get(url, timeout=aiohttp.ClientTimeout(5)) as response:
            return response.status
    except (OSError, TimeoutError, aiohttp.ClientError):
        return 0


async def _until_code(http: aiohttp.ClientSession, url: str, code: int, deadline_s: float = 120) -> None:
    async with asyncio.timeout(deadline_s):
        while await _code(http, url) != code:
            await asyncio.sleep(0.1)


async def test_health_follows_the_devices_and_a_gateway_that_stands_still_is_red(tmp_path: Path, mosquitto: str) -> None:
    port = free_port()
    root = f"{EVERY_WINDOW}web:\n  listen: 127.0.0.1:{port}\n"
    async with running_line(tmp_path, mosquitto, root=root) as line, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{port}"
        await line.more_windows(1)
        await _until_code(http, f"{url}/readyz", 200)
        code, output = await _status(line)
        assert code == 0, output
        assert json.loads(output)["device_list"][0]["state"] == "ok"
        line.device.script = silent
        await _until_code(http, f"{url}/readyz", 503)
        assert await _code(http, f"{url}/healthz") == 200, "a plant that is switched off is no reason to restart"
        assert (await _status(line))[0] == 2
        line.device.script = obedient
        await _until_code(http, f"{url}/readyz", 200)
        assert line.gateway.process is not None
        line.gateway.process.send_signal(signal.SIGSTOP)
        try:
            assert (await _status(line))[0] == 2, "no answer is red"
        finally:
            line.gateway.process.send_signal(signal.SIGCONT)
        await _until_code(http, f"{url}/healthz", 200)


async def test_no_secret_is_in_page_api_metrics_or_status(tmp_path: Path, mosquitto: str) -> None:
    port = free_port()
    root = f"{EVERY_WINDOW}web:\n  listen: 127.0.0.1:{port}\n"
    environ = {"GATEWAY__MQTT__USERNAME": "press", "GATEWAY__MQTT__PASSWORD": SECRET}
    async with running_line(tmp_path, mosquitto, root=root, **environ) as line, aiohttp.ClientSession() as http:
        await line.more_windows(1)
        await _until_code(http, f"http://127.0.0.1:{port}/healthz", 200)
        paths = [f"/api/v1/{one.name}{QUERIES.get(one.name, '')}" for one in OPERATIONS]
        shown = ""
        for path in (*paths, "/", "/metrics", "/readyz", "/api/v1/openapi.json"):
            async with http.get(f"http://127.0.0.1:{port}{path}") as response:
                assert response.status == 200, path
                shown += await response.text()
        assert "(not shown)" in shown, "that there is a password is said"
        assert "GATEWAY__MQTT__PASSWORD" in shown
        shown += (await _status(line))[1] + line.gateway.log()
        assert SECRET not in shown


async def test_a_port_that_is_taken_costs_the_plant_nothing(tmp_path: Path, mosquitto: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        root = f"{EVERY_WINDOW}web:\n  listen: 127.0.0.1:{taken.getsockname()[1]}\n"
        async with running_line(tmp_path, mosquitto, root=root) as line:
            await line.more_windows(2)
            await until(lambda: "cannot listen" in line.gateway.log(), 30, "a line in the log")
            assert (await _status(line))[0] == 0, "the socket file is there all the same"
            assert line.gateway.terminate() == 0
            assert not (tmp_path / "outbox.db.sock").exists()
