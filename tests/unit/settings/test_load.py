"""A configuration folder becomes settings."""

import contextlib
import gc
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.plugins import SINKS, SOURCES
from gateway.settings import load
from gateway.settings.source_files import is_secret
from gateway.stages.detector_choice import DetectorChoice
from tests.unit.settings.folders import CSV, LINE, PRESS, ROOT, write

SECOND = 1_000_000_000


def test_a_minimal_folder_is_enough(tmp_path: Path) -> None:
    """A name, a device, a tag: everything else has a default."""
    settings = load(write(tmp_path))
    assert settings.root.name == "press-1"
    assert settings.table.devices == ("line", "press")
    assert [(tag.name, tag.device, tag.single) for tag in settings.table.tags] == [
        ("speed", 0, False),
        ("oil_temp", 1, True),
        ("pressure", 1, True),
    ]
    assert [(e.number, e.first_tag, len(e.tags)) for e in settings.entries] == [(0, 0, 1), (1, 1, 2)]
    assert [plugin.name for plugin in settings.plugins] == ["opcua", "modbus"]
    assert (len(settings.policies), settings.warnings) == (3, ())


def test_a_tag_takes_what_it_does_not_say_from_device_then_gateway_then_model(tmp_path: Path) -> None:
    """Four layers, nearest first; a tag that says the model's own default means it."""
    tags = "tags:\n  - {name: a, node: i=1, deadband: 0}\n  - {name: b, node: i=2, max_silence: 5s}\n"
    write(
        tmp_path,
        {
            "gateway.yaml": "name: g\ndefaults:\n  deadband: 3\n  max_silence: 30s\n  anomaly: 7\n",
            "devices/line.yaml": LINE.split("tags:")[0] + "defaults:\n  deadband: 2%\n" + tags,
        },
    )
    a, b, press = load(tmp_path).policies[:3]
    assert (a.deadband, b.deadband, press.deadband) == ((0.0, 0.0), (0.0, 0.02), (3.0, 0.0))
    assert (a.max_silence, b.max_silence) == (30 * SECOND, 5 * SECOND)
    assert (a.anomaly, a.hysteresis) == ((DetectorChoice("ewma", (("threshold", 7.0),)),), (0.0, 0.01))


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("name", ["name: g\n", "nmae: g\n"])
def test_collection_of_garbage_is_as_it_was_before(tmp_path: Path, on: bool, name: str) -> None:
    """Loading pauses it, also where it ends with problems."""
    folder = write(tmp_path, {"gateway.yaml": name})
    before = gc.isenabled()
    try:
        (gc.enable if on else gc.disable)()
        with contextlib.suppress(ConfigError):
            load(folder)
        assert gc.isenabled() is on
    finally:
        (gc.enable if before else gc.disable)()


def test_a_section_of_which_every_line_is_commented_out_is_as_good_as_none(tmp_path: Path) -> None:
    """What is left of `mqtt:` then is a key without a value."""
    write(tmp_path, {"gateway.yaml": "name: g\nmqtt:\n#  url: mqtt://elsewhere\nwindow: {}\n"})
    assert load(tmp_path).root.mqtt.url == "mqtt://localhost:1883"


SPREADSHEETS = {
    "semicolons": CSV.replace(",", ";"),
    "tabs": CSV.replace(",", "\t"),
    "BOM": "\ufeff" + CSV,
    "CRLF": CSV.replace("\n", "\r\n"),
    "old Mac": CSV.replace("\n", "\r"),
    "no last newline": CSV.rstrip(),
    "empty lines": CSV.replace("\n", "\n\n,,,\n"),
    "comments": "# from; the; drawing; 7\n  # and, more\n" + CSV + "#pump,holding:9,,\n",
    "spaces": CSV.replace(",", " , "),
    "quotes": CSV.replace("oil_temp", '"oil_temp"').replace("bar", '"bar"'),
    "cells of rest": CSV.replace("\n", ",,,\n"),
}


@pytest.mark.parametrize("form", SPREADSHEETS)
def test_a_tag_file_may_come_from_any_spreadsheet(tmp_path: Path, form: str) -> None:
    """Separators, line ends, byte order mark, empty lines and comments do not matter."""
    settings = load(write(tmp_path, {"tags/press.csv": SPREADSHEETS[form]}))
    assert [(tag.name, tag.unit) for tag in settings.table.tags[1:]] == [("oil_temp", "°C"), ("pressure", "bar")]


def test_inline_tags_come_before_those_of_the_tag_file(tmp_path: Path) -> None:
    """Both may be given; ids follow the order of the files."""
    inline = PRESS + "tags:\n  - {name: running, address: coil:0}\n"
    settings = load(write(tmp_path, {"devices/press.yaml": inline}))
    assert [tag.name for tag in settings.table.tags] == ["speed", "running", "oil_temp", "pressure"]


def test_a_device_can_be_left_out_or_named_otherwise(tmp_path: Path) -> None:
    """`enabled: false` leaves it out with its tags; `name:` replaces the file's name."""
    write(tmp_path, {"devices/press.yaml": PRESS + "enabled: false\n", "devices/line.yaml": "name: Linie 7\n" + LINE})
    settings = load(tmp_path)
    assert settings.table.devices == ("Linie 7",)
    assert len(settings.table) == 1


def test_a_tag_file_that_nobody_uses_is_a_warning(tmp_path: Path) -> None:
    """It may be a device that was forgotten; it is no reason not to start."""
    (warning,) = load(write(tmp_path, {"tags/pump.csv": CSV})).warnings
    assert "pump.csv" in warning
    assert "no device uses this file" in warning


def test_the_hash_names_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same bytes, same hash, wherever they are; any change of any file or variable changes it."""
    first = load(write(tmp_path / "a")).hash
    assert first == load(write(tmp_path / "b")).hash
    changed: list[dict[str, str | bytes | None]] = [
        {"gateway.yaml": "name: press-1 \n"},
        {"devices/line.yaml": LINE + "\n"},
        {"tags/press.csv": CSV + "\n"},
        {"devices/press.yaml": None, "devices/press2.yaml": PRESS},
    ]
    hashes = {load(write(tmp_path / str(number), files)).hash for number, files in enumerate(changed)}
    monkeypatch.setenv("GATEWAY__MQTT__URL", "mqtt://elsewhere")
    hashes.add(load(tmp_path / "a").hash)
    assert len(hashes | {first}) == 6
    assert len(first) == 12


@pytest.mark.parametrize(
    ("gateway", "press"),
    [
        ("  password: {}\n", ""),
        ("  'password': '{}'\n", ""),
        ('  "pass\\u0077ord": "{}"\n', ""),
        ("  password: |-\n    {}\n", ""),
    ],
)
def test_the_hash_says_nothing_of_passwords(tmp_path: Path, gateway: str, press: str) -> None:
    """It is published, so with them in it anybody could try words against it. All else in the same file counts."""

    def hash_of(number: int, secret: str, name: str = "press-1") -> str:
        text = f"name: {name}\nmqtt:\n  url: mqtts://broker\n  username: me\n" + gateway.format(secret)
        return load(write(tmp_path / str(number), {"gateway.yaml": text})).hash

    assert hash_of(1, "one") == hash_of(2, "another one")
    assert hash_of(3, "one") != hash_of(4, "one", name="press-2")


def test_the_hash_says_nothing_of_passwords_in_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY__MQTT__USERNAME", "me")
    hashes = set()
    for secret in ("one", "another"):
        monkeypatch.setenv("GATEWAY__MQTT__PASSWORD", secret)
        hashes.add(load(write(tmp_path / secret)).hash)
    assert len(hashes) == 1


def test_every_secret_of_a_model_is_named_as_one() -> None:
    """What the hash leaves out goes by the key's name."""
    models = [*(plugin.device_model for plugin in SOURCES.values()), *(sink.config_model for sink in SINKS.values())]
    secret = [name for model in models for name, field in model.model_fields.items() if "SecretStr" in str(field.annotation)]
    assert secret
    assert all(is_secret((name,)) for name in secret)


@pytest.mark.parametrize("writing", ["1s", "1000ms", " 1 s "])
def test_durations_are_written_with_units(tmp_path: Path, writing: str) -> None:
    """All of them say the same."""
    settings = load(
        write(tmp_path, {"gateway.yaml": f"name: g\noutbox: {{commit_interval: '{writing}', max_bytes: 1GiB}}\n"})
    )
    assert (settings.root.outbox.commit_interval, settings.root.outbox.max_bytes) == (SECOND, 2**30)


def test_the_shipped_configuration_is_valid() -> None:
    """What a user copies can be used as it is."""
    settings = load(Path(__file__).parents[3] / "config")
    assert len(settings.table) > 10
    assert settings.warnings == ()


@pytest.mark.parametrize("tags", [300])
def test_a_large_inline_file_loads_in_reasonable_time(tmp_path: Path, tags: int) -> None:
    """Ten thousand tags in one YAML file are unusual and must not take a minute (the test's own timeout is the judge)."""
    lines = "".join(f"  - {{name: t{i}, node: ns=2;i={i}, deadband: 1%}}\n" for i in range(tags))
    settings = load(write(tmp_path, {"devices/line.yaml": LINE + lines}))
    assert len(settings.table) == tags + 3


def test_a_variable_sets_what_a_device_publishes(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWAY__DEVICES__PRESS__PUBLISH__FORMAT", "cbor")
    settings = load(write(tmp_path))
    assert [p.format for p in settings.publishing] == [None, "cbor"]


def test_a_bit_is_known_as_one(tmp_path):
    """From the configuration alone; one with labels is text."""
    device = (
        "protocol: modbus\nurl: tcp://h\ntags:\n"
        "  - {name: a, address: coil:0}\n  - {name: b, address: holding:0, type: bool}\n"
        "  - {name: c, address: holding:1}\n  - {name: d, address: coil:1, labels: {0: stopped, 1: running}}\n"
    )
    settings = load(write(tmp_path, {"devices/press.yaml": device, "tags/press.csv": None}))
    assert {t.name: t.logical for t in settings.table.tags} == {"speed": False, "a": True, "b": True, "c": False, "d": False}


def test_a_device_says_what_it_publishes_differently(tmp_path):
    """`publish:` in a device file; the others leave everything to gateway.yaml."""
    own = {
        "gateway.yaml": ROOT + "publish: {format: json+zstd}\n",
        "devices/press.yaml": PRESS + "publish: {format: cbor}\n",
    }
    settings = load(write(tmp_path, own))
    assert settings.root.publish.format == "json+zstd"
    assert dict(zip(settings.table.devices, [p.format for p in settings.publishing], strict=True)) == {
        "line": None,
        "press": "cbor",
    }
