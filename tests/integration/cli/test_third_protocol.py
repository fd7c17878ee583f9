"""A protocol that nothing in the gateway knows: one entry in `plugins.py`, and the commands work for it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.main import app
from gateway.plugins import SOURCES
from tests.support.gateway import write_config
from tests.support.third_protocol import DEVICE_FILE, FieldbusPlugin, FieldbusWithTools


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one device of the third protocol, which has the tools of `read` and `plan`."""
    monkeypatch.setitem(SOURCES, "fieldbus", FieldbusWithTools())
    return write_config(tmp_path, "mqtt://127.0.0.1:1", [], files={"crane.yaml": DEVICE_FILE})


@pytest.fixture
def bare(config: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same of a protocol that has no tools at all."""
    monkeypatch.setitem(SOURCES, "fieldbus", FieldbusPlugin())
    return config


def command(*words: str, config: Path | None = None) -> Result:
    return CliRunner().invoke(app, [*words, *(["--config", str(config)] if config else [])])


def test_check_says_what_would_be_read(config: Path) -> None:
    result = command("check", config=config)
    assert result.exit_code == 0, result.output
    assert "crane: 2 slots of fieldbus://crane" in result.stdout
    assert ["crane", "fieldbus", "fieldbus://crane", "2", "0", "2"] in [line.split() for line in result.stdout.splitlines()]


def test_check_finds_what_the_protocol_finds_wrong_with_its_line(config: Path) -> None:
    (config / "devices" / "crane.yaml").write_text(DEVICE_FILE.replace("slot: 11", "slot: -1"))
    result = command("check", config=config)
    assert result.exit_code == 2
    assert "crane.yaml:5: tags.1.slot: -1 is no slot; expected 0 or more" in result.stderr


def test_the_schema_knows_its_devices(config: Path) -> None:
    assert "FieldbusDeviceFile" in command("schema").stdout


def test_read_shows_configured_tags_and_urls(config: Path) -> None:
    result = command("read", "crane", "load", config=config)
    assert (result.exit_code, result.stdout.split()) == (0, ["fieldbus://crane", "tag", "value", "load", "11"])
    assert command("read", "fieldbus://crane", "9").stdout == "fieldbus://crane: slot 9\n"


def test_plan_shows_its_requests(config: Path) -> None:
    result = command("plan", config=config)
    assert (result.exit_code, result.stdout) == (0, "crane: one frame for 2 slots\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["read", "crane"], "protocol fieldbus cannot be read; modbus and opcua can"),
        (["plan"], "protocol fieldbus cannot be planned; modbus can"),
        (["scan", "crane"], "protocol fieldbus cannot be scanned; modbus can"),
        (["browse", "crane"], "protocol fieldbus cannot be browsed; opcua can"),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else "",
)
def test_what_a_device_cannot_is_said_in_one_sentence(bare: Path, words: list[str], said: str) -> None:
    result = command(*words, config=bare)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1].endswith(said)
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["read", "fieldbus://crane"], "protocol fieldbus cannot be read; modbus and opcua can"),
        (["scan", "fieldbus://crane"], "protocol fieldbus cannot be scanned; modbus can"),
        (["browse", "fieldbus://crane"], "protocol fieldbus cannot be browsed; opcua can"),
        (["discover", "fieldbus://crane"], "protocol fieldbus cannot be discovered; opcua can"),
        (["scan", "opc.tcp://plc"], "protocol opcua cannot be scanned; modbus can"),
        (["discover", "tcp://plc"], "protocol modbus cannot be discovered; opcua can"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_what_a_url_cannot_is_said_in_one_sentence(bare: Path, words: list[str], said: str) -> None:
    result = command(*words)
    assert (result.exit_code, result.output) == (2, f"{said}\n")


def test_the_demo_says_which_device_it_cannot_simulate(bare: Path) -> None:
    result = command("demo", config=bare)
    assert result.exit_code == 1
    assert result.stderr == "crane: protocol fieldbus cannot be simulated; modbus and opcua can\n"
