"""Secrets of a whole gateway: renewed while it runs, missing for one device only, and shown nowhere."""

import asyncio
import subprocess
import sys
from pathlib import Path

from tests.support.gateway import ROOT, GatewayProcess, Modbus, write_config
from tests.support.mosquitto import Mosquitto, password_lines
from tests.support.network import free_port, until
from tests.support.opcua_server import AsyncuaServer

FIRST, SECOND = "pa$$w0rd-one", "pa$$w0rd-two"
LINE = (
    "protocol: opcua\nurl: opc.tcp://127.0.0.1:{port}\nusername: me\npassword: !secret line\ntags: [{{name: a, node: i=1}}]"
)


class Verbose(GatewayProcess):
    """A gateway that logs all it can."""

    def start(self) -> None:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.program, "run", "--config", str(self.config), "--log-level", "debug"],
                stdout=log, stderr=log, env=self._environ, cwd=ROOT,
            )  # fmt: skip


def command(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    words = (sys.executable, "-m", "gateway", *words, "--config", str(config))
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)


async def test_a_password_is_renewed_without_a_restart_and_shown_nowhere(mosquitto: str, tmp_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    await broker.start("max_queued_messages 100000", *password_lines(mosquitto, tmp_path, "gw", FIRST))
    device = Modbus("press", f"tcp://127.0.0.1:{free_port()}", 1)
    root = "publish:\n  stats: 1s\n"
    config = write_config(tmp_path, broker.url, [device], root=root, files={"line.yaml": LINE.format(port=free_port())})
    text = (config / "gateway.yaml").read_text()
    login = "mqtt:\n  username: gw\n  password: !secret broker\n"
    (config / "gateway.yaml").write_text(text.replace("mqtt:\n", login))
    (config / "secrets").mkdir()
    (config / "secrets" / "broker").write_text(FIRST + "\n")
    with Verbose(config) as gateway:
        await until(lambda: gateway.log().count("sink connected") == 1, 30, "the first connection")
        broker.stop()
        (config / "secrets" / "broker").write_text(SECOND + "\n")
        await broker.start("max_queued_messages 100000", *password_lines(mosquitto, tmp_path, "gw", SECOND))
        await until(lambda: gateway.log().count("sink connected") == 2, 60, "the connection with the new password")
        assert "secret line is in none of its places" in gateway.log()
        assert gateway.terminate() == 0
    checked = command(config, "check")
    assert checked.returncode == 2
    assert "devices/line.yaml:4: password: secret line is in none of its places" in checked.stderr
    planned = command(config, "plan")
    assert planned.returncode == 0, planned.stderr
    (config / "secrets" / "line").write_text(FIRST)
    (config / "secrets" / "broker").write_text(SECOND)
    checked = command(config, "check")
    assert checked.returncode == 0, checked.stderr
    shown = [gateway.log(), planned.stdout, checked.stdout, checked.stderr]
    shown += [path.read_bytes().decode("latin-1") for path in tmp_path.glob("outbox.db*") if path.is_file()]
    assert not [part for part in shown if FIRST in part or SECOND in part or "pa$$" in part]
    broker.stop()


async def test_a_login_without_its_secret_says_so_and_works_once_it_is_there(tmp_path: Path) -> None:
    port = free_port()
    device = LINE.format(port=port).replace("i=1}", "i=2258}") + "\nsecurity: none\nplain_password: true\n"
    config = write_config(tmp_path, "mqtt://127.0.0.1:1", [], files={"line.yaml": device})
    async with AsyncuaServer(port):
        missing = await asyncio.to_thread(command, config, "read", "line")
        (config / "secrets").mkdir()
        (config / "secrets" / "line").write_text(FIRST)
        there = await asyncio.to_thread(command, config, "read", "line")
    assert missing.returncode == 1
    assert "secret line is in none of its places" in missing.stderr
    assert there.returncode == 0, there.stderr
    assert FIRST not in there.stdout + there.stderr


def test_commands_need_only_the_secrets_that_they_use(tmp_path: Path) -> None:
    """Also at keys that are shown, as an address: the device that needs it is left out with the reason."""
    device = LINE.format(port=1).replace("opc.tcp://127.0.0.1:1", "!secret line-url")
    press = Modbus("press", f"tcp://127.0.0.1:{free_port()}", 1)
    config = write_config(tmp_path, f"mqtt://127.0.0.1:{free_port()}", [press], files={"line.yaml": device})
    planned = command(config, "plan")
    assert planned.returncode == 0, planned.stderr
    assert planned.stderr.startswith("line is left out: ")
    assert "devices/line.yaml:2: url: secret line-url is in none of its places" in planned.stderr
    for words in (("read", "press"), ("tail", "--seconds", "1")):
        found = command(config, *words)
        assert "refuse" in found.stderr, found.stderr
        assert "cannot be used" not in found.stderr
    gateway = (config / "gateway.yaml").read_text()
    (config / "gateway.yaml").write_text(
        gateway.replace("url: mqtt://", "username: !secret user\n  password: !secret pass\n  url: !secret broker-url # ")
    )
    planned = command(config, "plan")
    assert planned.returncode == 0, planned.stderr
    assert "mqtt.url: secret broker-url is in none of its places" in planned.stderr
    assert command(config, "tail", "--seconds", "1").returncode == 2, "it needs the broker"
    needed = command(config, "read", "line")
    assert needed.returncode == 2
    assert "secret line-url is in none of its places" in needed.stderr
