"""Variables GATEWAY__... win over the files, and are refused by name when they cannot be used."""

from pathlib import Path

import pytest

from gateway.settings import load
from tests.unit.settings.folders import LINE, PRESS, problems_of, write


def test_variables_win_over_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the root, nested, whatever the case; the rest of a section stays."""
    write(tmp_path, {"gateway.yaml": "name: g\nmqtt:\n  url: mqtt://file\n  root: acme\n"})
    monkeypatch.setenv("GATEWAY__MQTT__URL", "mqtt://variable")
    monkeypatch.setenv("gateway__window__grace", "2s")
    monkeypatch.setenv("GATEWAY__MQTT__TLS__INSECURE", "false")
    root = load(tmp_path).root
    assert (root.mqtt.url, root.mqtt.root, root.window.grace) == ("mqtt://variable", "acme", 2_000_000_000)


def test_variables_win_over_device_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GATEWAY__DEVICES__NAME__KEY, also for keys that the file does not have, and below `defaults`."""
    write(tmp_path, {"devices/press-2 b.yaml": PRESS})
    monkeypatch.setenv("GATEWAY__DEVICES__PRESS__URL", "tcp://10.9.9.9:1502")
    monkeypatch.setenv("GATEWAY__DEVICES__PRESS__UNIT", "7")
    monkeypatch.setenv("GATEWAY__DEVICES__PRESS_2_B__ENABLED", "false")
    monkeypatch.setenv("GATEWAY__DEVICES__LINE__DEFAULTS__DEADBAND", "5%")
    settings = load(tmp_path)
    assert settings.table.devices == ("line", "press")
    assert (settings.entries[1].config.url, settings.entries[1].config.unit) == ("tcp://10.9.9.9:1502", 7)
    assert settings.policies[0].deadband == (0.0, 0.05)


REFUSED = {
    "GATEWAY__MQT__URL": "GATEWAY__MQTT...",
    "GATEWAY__": "not a known setting",
    "GATEWAY__MQTT__ULR": "url?",
    "GATEWAY__MQTT__URL__HOST": "one address or a list",
    "GATEWAY__MQTT__TLS__CAA": "ca?",
    "GATEWAY__MQTT__URL": "mqtt://",
    "GATEWAY__MQTT": "not valid JSON",
    "GATEWAY__NAME": "'/'",
    "GATEWAY__WINDOW__LENGTH": "is not understood",
    "GATEWAY__DEVICES": "names no device",
    "GATEWAY__DEVICES__": "names no device file",
    "GATEWAY__DEVICES__PRES__URL": "PRESS",
    "GATEWAY__DEVICES__PRESS": "names no key",
    "GATEWAY__DEVICES__PRESS__": "names no key",
    "GATEWAY__DEVICES__PRESS__ULR": "url?",
    "GATEWAY__DEVICES__PRESS__URL": "tcp://host",
    "GATEWAY__DEVICES__PRESS__URL__HOST": "not a mapping",
    "GATEWAY__DEVICES__PRESS__TAGS": "tags cannot be set",
    "GATEWAY__DEVICES__PRESS__DEFAULTS__DEADBAND": "a percentage",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_variable_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Unknown, or with an impossible value: the problem names the variable, not a line of a file that does not say so."""
    monkeypatch.setenv(name, "x/")
    (problem,) = problems_of(write(tmp_path))
    assert (problem.file, problem.line, problem.key) == ("environment", 0, name)
    assert REFUSED[name] in f"{problem.message} {problem.expected}"


def test_a_wrong_section_of_the_file_is_not_hidden_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable may be gone tomorrow."""
    monkeypatch.setenv("GATEWAY__MQTT__URL", "mqtt://variable")
    (problem,) = problems_of(write(tmp_path, {"gateway.yaml": "name: g\nmqtt: 5\n"}))
    assert (problem.file, problem.line, problem.key) == ("gateway.yaml", 2, "mqtt")


def test_a_problem_of_the_file_is_not_blamed_on_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One key from the environment, another wrong one in the file."""
    monkeypatch.setenv("GATEWAY__MQTT__URL", "mqtt://variable")
    monkeypatch.setenv("GATEWAY__DEVICES__PRESS__URL", "tcp://variable")
    files: dict[str, str | bytes | None] = {
        "gateway.yaml": "name: g\nmqtt:\n  root: a//b\n", "devices/press.yaml": PRESS + "unit: 300\n",
    }  # fmt: skip
    assert [(p.file, p.line, p.key) for p in problems_of(write(tmp_path, files))] == [
        ("devices/press.yaml", 4, "unit"),
        ("gateway.yaml", 3, "mqtt.root"),
    ]


BETWEEN_KEYS = {
    ("GATEWAY__WINDOW__LENGTH", "7s"): "divide a minute",
    ("GATEWAY__MQTT__URL", "mqtt://h"): "no url begins with mqtts://",
    ("GATEWAY__MQTT__URL", '["mqtt://h", "mqtt://i"]'): "no url begins with mqtts://",
    ("GATEWAY__DEVICES__LINE__MODE", "poll"): "events come by subscription only",
    ("GATEWAY__PUBLISH__TOPIC", "{line}/{device}/{tag}"): "{line} has no value",
    ("GATEWAY__DEVICES__PRESS__PUBLISH__TOPIC", "{line}/{device}/{tag}"): "{line} has no value for press",
    ("GATEWAY__DEVICES__PRESS__BACKUP", "tcp://10.0.0.5"): "the same as url",
}


@pytest.mark.parametrize(("name", "text"), BETWEEN_KEYS)
def test_a_variable_that_does_not_go_with_the_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """The file alone is right, so no line of it is wrong."""
    files: dict[str, str | bytes | None] = {
        "gateway.yaml": "name: g\nwindow:\n  length: 1s\nmqtt:\n  url: mqtts://h\n  tls: {insecure: true}\n"
        "publish: {layout: tag, topic: '{site}/{device}/{tag}', topic_fields: {site: b}}\n",
        "devices/line.yaml": LINE + "events: [{notifier: i=2253}]\n",
    }
    load(write(tmp_path, files))
    monkeypatch.setenv(name, text)
    problems = problems_of(tmp_path)
    blamed = [problem for problem in problems if BETWEEN_KEYS[name, text] in f"{problem.message} {problem.expected}"]
    assert {(p.file, p.line, p.key) for p in blamed} == {("environment", 0, name)}


def test_what_is_wrong_between_keys_of_the_file_stays_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY__WINDOW__GRACE", "1s")
    (problem,) = problems_of(write(tmp_path, {"gateway.yaml": "name: g\nwindow:\n  length: 7s\n"}))
    assert (problem.file, problem.line, problem.key) == ("gateway.yaml", 3, "window.length")


def test_a_variable_that_is_no_text_is_refused_or_survives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are not UTF-8 arrive as surrogates: a problem for a name, no crash of the hash elsewhere."""
    monkeypatch.setenv("GATEWAY__NAME", "\udcff")
    (problem,) = problems_of(write(tmp_path))
    assert problem.key == "GATEWAY__NAME"


def test_one_underscore_too_few_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_MQTT_URL", "mqtt://h")
    monkeypatch.setenv("GATEWAY_CONFIG", "/etc/gateway")
    (warning,) = load(write(tmp_path)).warnings
    assert warning == "environment: GATEWAY_MQTT_URL is not read; GATEWAY__MQTT__URL is, with two underscores"
