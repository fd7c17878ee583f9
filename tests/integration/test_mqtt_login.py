"""Passwords that are renewed while the gateway runs, and proxies before the broker: real brokers, real proxies."""

import asyncio
import base64
import json
import os
import stat
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import NotConnected
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from gateway.sinks.mqtt.login import read_password
from tests.support.listener import Listener
from tests.support.mosquitto import Authority, Mosquitto, password_lines
from tests.support.proxies import http_proxy, socks_proxy

ProxyMaker = Callable[..., AbstractAsyncContextManager[tuple[str, Path]]]
PROXIES = pytest.mark.parametrize("proxy", [http_proxy, socks_proxy])


@pytest.fixture
async def broker(mosquitto: str, tmp_path: Path) -> AsyncIterator[Mosquitto]:
    (tmp_path / "broker").mkdir()
    one = Mosquitto(mosquitto, tmp_path / "broker")
    yield one
    one.stop()


def client(url: str, **settings: Any) -> MqttClient:
    return MqttClient(MqttConfig(url=url, **settings))


async def refusal(url: str, **settings: Any) -> str:
    with pytest.raises(NotConnected) as caught:
        await client(url, **settings).open()
    return str(caught.value)


def script(folder: Path, text: str) -> str:
    path = folder / "token.sh"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(stat.S_IRWXU)
    return str(path)


async def test_a_renewed_password_is_read_at_the_next_connect(broker: Mosquitto, mosquitto: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    await broker.start(*password_lines(mosquitto, tmp_path, "gw", "first"))
    one = client(broker.url, username="gw", password_file=file)
    await one.open()
    broker.stop()
    await broker.start(*password_lines(mosquitto, tmp_path, "gw", "second"))
    with pytest.raises(NotConnected, match=r"mqtt\.password"):
        await one.open()
    file.write_text("second\n")
    await one.open()
    await one.close()


async def test_a_credential_of_systemd_and_a_command_give_it_too(
    broker: Mosquitto, mosquitto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await broker.start(*password_lines(mosquitto, tmp_path, "gw", "secret"))
    (tmp_path / "mqtt").write_text("secret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for way in ({"password_credential": "mqtt"}, {"password_command": (script(tmp_path, 'echo "$1"'), "secret")}):
        one = client(broker.url, username="gw", **way)
        await one.open()
        await one.close()


def token(ends_s: float) -> str:
    """A JSON Web Token, which nobody has signed."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, {"exp": ends_s})]
    return ".".join([*parts, "c2ln"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo oops >&2; exit 3", "ends with exit code 3"),
        ("true", "there is no password in it"),
        ("yes", "more than 65535 bytes"),
        ("printf '\\377'", "not UTF-8"),
        (f"echo {token(1_700_000_000)}", "the token has expired at 2023-11-14 22:13:20"),
    ],
)
async def test_what_a_command_does_wrong_is_said(broker: Mosquitto, tmp_path: Path, text: str, words: str) -> None:
    await broker.start()
    reason = await refusal(broker.url, username="gw", password_command=(script(tmp_path, text),))
    assert words in reason
    assert "mqtt.password_command" in reason


async def test_a_command_that_hangs_is_ended_with_what_it_has_started(tmp_path: Path) -> None:
    begin = time.monotonic()
    text = f"sleep 300 & echo $! > {tmp_path}/child; wait"
    config = MqttConfig(username="gw", password_command=(script(tmp_path, text),))
    with pytest.raises(NotConnected, match="takes longer"):
        await asyncio.to_thread(read_password, config, 0.5)
    assert time.monotonic() - begin < 10
    child = int((tmp_path / "child").read_text())
    async with asyncio.timeout(5):
        while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]:
            await asyncio.sleep(0.02)


async def test_a_token_that_lasts_is_taken_and_a_file_that_is_gone_named(broker: Mosquitto, tmp_path: Path) -> None:
    await broker.start()
    one = client(broker.url, username="gw", password_command=(script(tmp_path, f"echo {token(time.time() + 60)}"),))
    await one.open()
    await one.close()
    reason = await refusal(broker.url, username="gw", password_file=tmp_path / "none")
    assert reason == f"mqtt.password_file: cannot read {tmp_path}/none (No such file or directory)"
    os.environ.pop("CREDENTIALS_DIRECTORY", None)
    assert "LoadCredential=mqtt" in await refusal(broker.url, username="gw", password_credential="mqtt")


@PROXIES
async def test_a_broker_behind_a_proxy(broker: Mosquitto, tmp_path: Path, proxy: ProxyMaker) -> None:
    authority = Authority(tmp_path)
    await broker.start(*authority.tls_lines())
    async with proxy(tmp_path, login=("px", "pw")) as (url, log):
        tls = {"ca": authority.certificate, "server_name": "127.0.0.1"}
        settings = {"tls": tls, "proxy": {"url": url, "username": "px", "password": "pw"}}
        # a name, which the proxy looks up
        one = client(f"mqtts://localhost:{broker.port}", **settings)
        await one.open()
        await one.subscribe("a")
        await asyncio.wait_for(one.publish("a", b"x" * 100_000), 10)
        assert (await asyncio.wait_for(one.receive(), 10)).payload == b"x" * 100_000
        await one.close()
        assert "localhost" in log.read_text()
        wrong = {"url": url, "username": "px", "password": "no"}
        reason = await refusal(f"mqtts://localhost:{broker.port}", tls=tls, proxy=wrong)
        assert "mqtt.proxy.password" in reason
        assert "no\n" not in reason


@PROXIES
async def test_proxy_and_broker_are_told_apart(tmp_path: Path, proxy: ProxyMaker, port: int) -> None:
    async with proxy(tmp_path) as (url, _):
        reason = await refusal(f"mqtt://127.0.0.1:{port}", proxy={"url": url}, timeout="2s")
        assert f"the proxy {url} does not connect to 127.0.0.1:{port}" in reason
    reason = await refusal(f"mqtt://127.0.0.1:{port}", proxy={"url": url}, timeout="2s")
    assert f"the proxy {url} cannot be reached: check mqtt.proxy.url" in reason


class _Babbler(Listener):
    """A proxy whose answer never ends."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X: y\r\n")
            await writer.drain()
            await asyncio.sleep(0.001)


async def test_a_proxy_that_never_ends_its_answer_costs_one_timeout() -> None:
    async with _Babbler() as babbler:
        begin = time.monotonic()
        reason = await refusal(
            "mqtt://broker.example:1883", proxy={"url": f"http://127.0.0.1:{babbler.port}"}, timeout="500ms"
        )
        assert "0.5 s" in reason
        assert time.monotonic() - begin < 5


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"password": "a", "password_file": "b", "username": "u"}, "in two ways"),
        ({"password_command": ["/bin/true"]}, "without username"),
        ({"username": "u", "password_command": ["token"]}, "not the path of a program"),
        ({"username": "u", "password_credential": "../shadow"}, "not the name of a credential"),
        ({"proxy": {"url": "ftp://proxy:21"}}, "not a proxy"),
        ({"proxy": {"url": "http://user:secret@proxy:3128"}}, "must not carry user name"),
        ({"proxy": {"username": "u"}}, "need its url"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        MqttConfig.model_validate(settings)
    assert "secret" not in str(caught.value)
