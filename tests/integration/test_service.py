"""The gateway as a service: the unit, notifications, exit codes, and the commands an administrator types."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.support.absent import absent
from tests.support.gateway import ROOT, GatewayProcess, Modbus, write_config
from tests.support.network import free_port

UNIT = ROOT / "systemd" / "gateway.service"


def gateway(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the product to its end."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments], capture_output=True, text=True, timeout=60, cwd=ROOT,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1"} | environ,
    )  # fmt: skip


def nobody_home(folder: Path) -> Path:
    """A configuration whose broker and device do not exist."""
    devices = [Modbus("press", f"tcp://127.0.0.1:{free_port()}", 3)]
    return write_config(folder, f"mqtt://127.0.0.1:{free_port()}", devices)


def test_the_unit_is_clean(tmp_path: Path) -> None:
    """systemd finds nothing to complain about; the program is replaced by one that is there."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        absent("systemd-analyze (in CI make test installs it)")
    program = "/opt/gateway/bin/gateway"
    text = UNIT.read_text()
    assert program in text
    unit = tmp_path / "gateway.service"
    unit.write_text(text.replace(program, "/bin/true"))
    result = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_manager_hears_of_start_progress_and_stop(tmp_path: Path) -> None:
    """READY once it runs, WATCHDOG while it moves, STOPPING on SIGTERM; then exit code 0. Broker and device are away."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        process = GatewayProcess(nobody_home(tmp_path), NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="1500000")
        with process:
            lines: list[str] = []
            while lines.count("WATCHDOG=1") < 3:
                lines += manager.recv(4096).decode().splitlines()
            assert process.terminate() == 0
            manager.settimeout(0.2)
            while "STOPPING=1" not in lines:
                lines += manager.recv(4096).decode().splitlines()
    ready = lines.index("READY=1")
    assert lines[:2] == ["EXTEND_TIMEOUT_USEC=60000000", "STATUS=reading the configuration"], "many tags take a while"
    told = [line for line in lines[ready:] if line.startswith("STATUS=")]
    assert all(line.startswith("STATUS=devices: 1 down (press); broker away; 0 messages delivered, ") for line in told)
    assert told[-1].endswith(" waiting")
    log = process.log()
    assert 'logger=gateway.pipeline event=device device=press state=down reason="127.0.0.1:' in log, "the journal knows"
    assert "no progress" not in process.log()


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_wrong_configuration_ends_with_2_and_all_problems(tmp_path: Path, command: str) -> None:
    """Three mistakes in two files and the environment, each with file, line and key; no traceback."""
    config = nobody_home(tmp_path)
    device = config / "devices" / "press.yaml"
    device.write_text(device.read_text() + "intervall: 1s\nunit: 300\n")
    result = gateway(command, "--config", str(config), GATEWAY__MQTT__KEEPALIVE="soon")
    assert result.returncode == 2
    told = result.stdout + result.stderr
    lines = device.read_text().splitlines()
    for key in ("intervall", "unit"):
        number = next(n for n, line in enumerate(lines, 1) if line.startswith(f"{key}: 3" if key == "unit" else key))
        assert f"press.yaml:{number}" in told
    assert "interval" in told
    assert "GATEWAY__MQTT__KEEPALIVE" in told
    assert "Traceback" not in told


def test_a_right_configuration_is_shown_without_touching_anything(tmp_path: Path) -> None:
    """`check` ends with 0, names the requests and the topics, and leaves no outbox behind."""
    result = gateway("check", "--config", str(nobody_home(tmp_path)))
    assert result.returncode == 0, result.stderr
    assert "holding" in result.stdout
    assert "test/press/window" in result.stdout
    assert not list(tmp_path.glob("outbox*"))


def test_the_schema_knows_every_key_of_the_example() -> None:
    """`schema` prints JSON Schema; each key of the shipped configuration stands in it."""
    result = gateway("schema")
    assert result.returncode == 0, result.stderr
    schema = json.loads(result.stdout)
    assert schema["$schema"].startswith("https://json-schema.org/")
    root = yaml.safe_load((ROOT / "config" / "gateway.yaml").read_text())
    assert root.keys() <= schema["properties"].keys()
    definitions = schema["$defs"].values()
    for path in (ROOT / "config" / "devices").glob("*.yaml"):
        keys = yaml.safe_load(path.read_text()).keys()
        assert any(keys <= definition.get("properties", {}).keys() for definition in definitions), path


def test_two_gateways_on_one_outbox_the_second_says_so_and_ends_with_2(tmp_path: Path) -> None:
    """An administrator who starts it by hand beside the service."""
    config = nobody_home(tmp_path)
    with GatewayProcess(config) as first:
        deadline = time.monotonic() + 30
        while "running" not in first.log():
            assert time.monotonic() < deadline, first.log()
            time.sleep(0.05)
        second = gateway("run", "--config", str(config))
    assert second.returncode == 2
    assert "outbox.path" in second.stderr
    assert "Traceback" not in second.stderr
