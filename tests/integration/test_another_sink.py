"""A sink that exists only in the tests, added with one line, takes the place of MQTT in the whole program."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import ROOT, GatewayProcess
from tests.support.network import free_port, until

PROGRAM = ("-m", "tests.support.gateway_with_line_sink")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A gateway with one device that does not answer: it has enough to report."""
    folder = tmp_path / "config"
    (folder / "devices").mkdir(parents=True)
    (folder / "gateway.yaml").write_text(
        f"name: gw\nlines: {{file: {tmp_path / 'lines'}}}\noutbox: {{path: {tmp_path / 'outbox.db'}, keep_free: 0B}}\n"
    )
    (folder / "devices" / "pump.yaml").write_text(
        f"protocol: modbus\nurl: tcp://127.0.0.1:{free_port()}\n"
        "tags: [{name: speed, address: 'holding:0', type: uint16}]\n"
    )
    return folder


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *PROGRAM, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=60)


def lines(config: Path) -> list[dict[str, Any]]:
    path = config.parent / "lines"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def test_messages_go_to_it_and_a_stop_gives_its_reason(config: Path) -> None:
    gateway = GatewayProcess(config)
    gateway.program = PROGRAM
    with gateway:
        await until(lambda: any(line.get("topic") == "plant/v1/gw/pump/event" for line in lines(config)), 20, gateway.log())
        assert gateway.terminate() == 0
    told = lines(config)
    assert told[-1] == {"stopped": "stopped"}
    assert any(line.get("topic") == "plant/v1/gw/event" and line["body"]["kind"] == "configuration" for line in told)
    assert any(line.get("live") for line in told)


async def test_while_it_is_away_the_outbox_keeps_messages(config: Path) -> None:
    folder = config.parent / "away"
    text = (config / "gateway.yaml").read_text()
    (config / "gateway.yaml").write_text(text.replace(str(config.parent / "lines"), str(folder / "lines")))
    gateway = GatewayProcess(config)
    gateway.program = PROGRAM
    with gateway:
        await until(lambda: "sink not connected" in gateway.log(), 20, gateway.log())
        folder.mkdir()
        await until(lambda: (folder / "lines").exists(), 20, gateway.log())
        await until(lambda: "configuration" in (folder / "lines").read_text(), 20, gateway.log())
        assert gateway.terminate() == 0
    first = json.loads((folder / "lines").read_text().splitlines()[0])
    assert first["live"] is False


def test_check_says_where_messages_go(config: Path) -> None:
    done = command("check", "--config", str(config))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Would publish to" in done.stdout
    assert "lines" in done.stdout
    assert "plant/v1/gw/pump/window" in done.stdout


def test_only_one_sink_may_be_given(config: Path) -> None:
    path = config / "gateway.yaml"
    path.write_text(path.read_text() + "mqtt: {url: mqtt://localhost}\n")
    done = command("check", "--config", str(config))
    assert done.returncode == 2
    assert "mqtt and lines are both given" in " ".join((done.stdout + done.stderr).split())


def test_without_the_capability_tail_says_so_in_one_sentence(config: Path) -> None:
    done = command("tail", "--config", str(config))
    assert done.returncode == 2
    assert done.stderr.strip() == "what goes to lines cannot be followed: there is nothing to subscribe to"


def several(config: Path) -> Path:
    """Two sinks of it, of which one has no folder to write to, and one of MQTT."""
    folder = config.parent
    (config / "gateway.yaml").write_text(
        f"name: gw\noutbox: {{path: {folder / 'outbox.db'}, keep_free: 0B}}\nsinks:\n"
        f"  - {{name: here, kind: lines, file: {folder / 'lines'}}}\n"
        f"  - {{name: gone, kind: lines, file: {folder / 'missing' / 'lines'}, streams: [events, windows]}}\n"
        f"  - {{name: broker, kind: mqtt, url: mqtt://127.0.0.1:{free_port()}, streams: [stats]}}\n"
    )
    return folder


async def test_commands_speak_of_each_of_several_sinks(config: Path) -> None:
    folder = several(config)
    gateway = GatewayProcess(config)
    gateway.program = PROGRAM
    with gateway:
        await until(lambda: any(line.get("topic") == "plant/v1/gw/pump/event" for line in lines(config)), 20, gateway.log())
        status = json.loads(command("status", "--config", str(config), "--json").stdout)
        found = {one["name"]: one["connected"] for one in status["outbox"]["sinks"]}
        assert found == {"here": True, "gone": False, "broker": False}
        assert any("gone, broker are not connected" in reason for reason in status["health"]["reasons"])
        assert gateway.terminate() == 0
    stats = json.loads(command("outbox", "stats", "--json", str(config)).stdout)["sinks"]
    waiting = {name: sum(lane["messages"] for lane in one["lanes"].values()) for name, one in stats.items()}
    assert waiting["here"] == waiting["broker"] == 0
    assert waiting["gone"] > 1
    verified = command("outbox", "verify", str(config))
    assert verified.returncode == 0, verified.stdout
    assert f"sink gone: {folder / 'outbox@gone.db'}" in verified.stdout
    refused = command("outbox", "export", str(config), "-")
    assert refused.returncode == 2
    assert "name one with --sink" in refused.stderr
    exported = command("outbox", "export", str(config), "-", "--sink", "gone")
    assert len(exported.stdout.splitlines()) == waiting["gone"]
    assert command("outbox", "peek", str(config), "--sink", "nobody").stderr.startswith("--sink nobody: no such sink")


def test_check_names_what_waits_for_a_sink_that_is_gone(config: Path) -> None:
    several(config)
    (config.parent / "outbox@old.db").touch()
    done = command("check", "--config", str(config))
    assert done.returncode == 0, done.stdout + done.stderr
    text = " ".join(done.stdout.split())
    assert "only events, windows, and its own loss records" in text
    assert "old is configured no more" in text
    assert "was: old takes it over" in text


def test_tail_takes_the_sink_that_is_named(config: Path) -> None:
    several(config)
    done = command("tail", "--config", str(config), "--sink", "gone")
    assert done.stderr.strip() == "what goes to lines cannot be followed: there is nothing to subscribe to"
    done = command("tail", "--config", str(config), "--sink", "nobody")
    assert done.stderr.strip() == "--sink nobody: no such sink; expected here, gone, broker"
    done = command("tail", "--config", str(config))
    assert "127.0.0.1" in done.stderr, "the first that can be followed"
