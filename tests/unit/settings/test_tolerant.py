"""A device whose files cannot be used costs that device; the last configuration that ran takes the place of a bad one."""

from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.settings import load
from gateway.settings.device_parts import device_parts, with_kept
from gateway.settings.kept_configuration import keep_configuration, kept_folder, load_for_run
from gateway.settings.load_folder import load_tolerant
from tests.unit.settings.folders import write

MODBUS = "protocol: modbus\nurl: tcp://127.0.0.1:1502\n"
TAG = "tags: [{name: a, address: holding:0}]\n"
ROOT = "name: g\nmqtt: {url: mqtt://localhost:1883}\n"


def folder(tmp_path: Path, **devices: str) -> Path:
    files = {f"devices/{name}.yaml": text for name, text in devices.items()}
    gateway = f"{ROOT}outbox: {{path: {tmp_path / 'outbox.db'}}}\n"
    absent = {"tags/press.csv": None, "devices/line.yaml": None}
    return write(tmp_path / "config", {**absent, "devices/press.yaml": None, "gateway.yaml": gateway} | files)


BAD = {
    "an unknown key": MODBUS + TAG + "nonsense: 1\n",
    "no yaml": "protocol: [\n",
    "no mapping": "- 1\n",
    "no protocol": TAG,
    "no tags": MODBUS,
    "a tag file that is not there": MODBUS + "tag_file: none.csv\n",
    "a tag twice": MODBUS + "tags: [{name: a, address: holding:0}, {name: a, address: holding:1}]\n",
    "a formula": MODBUS + "tags: [{name: a, address: holding:0}, {name: f, formula: nobody + 1}]\n",
    "a detector": MODBUS + "tags: [{name: a, address: holding:0, anomaly: [{nobody: {}}]}]\n",
    "a template": "template: none.yaml\n",
    "another form of the line": "protocol: modbus\nurl: rtu+tcp://127.0.0.1:1502\n" + TAG,
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_bad_device_file_costs_that_device(tmp_path: Path, text: str) -> None:
    """`check` refuses all of it; a start runs the others, and says the file and what is wrong."""
    config = folder(tmp_path, good=MODBUS + TAG, other=text)
    with pytest.raises(ConfigError):
        load(config)
    settings = load_tolerant(config)
    assert settings.table.devices == ("good",)
    (refused,) = settings.refused
    assert refused.name == "other"
    assert "other.yaml" in refused.reason or "none" in refused.reason


def test_of_two_devices_of_one_name_the_later_one_is_left_out(tmp_path: Path) -> None:
    settings = load_tolerant(folder(tmp_path, good=MODBUS + TAG, other=MODBUS + "name: good\n" + TAG))
    assert settings.table.devices == ("good",)
    assert settings.refused[0].name.endswith("other.yaml")


def test_a_fault_of_a_list_costs_its_devices(tmp_path: Path) -> None:
    many = MODBUS + TAG + "devices:\n  - {name: a1}\n  - 5\n"
    settings = load_tolerant(folder(tmp_path, good=MODBUS + TAG, many=many))
    assert settings.table.devices == ("good",)
    assert [one.name for one in settings.refused] == ["a1"]


def test_a_device_that_is_switched_off_is_not_missed(tmp_path: Path) -> None:
    settings = load_tolerant(folder(tmp_path, good=MODBUS + TAG, other=MODBUS + "enabled: false\ntags: [5]\n"))
    assert settings.refused == ()


@pytest.mark.parametrize("what", ["root", "variable", "all"])
def test_what_is_of_no_device_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    config = folder(tmp_path, good=MODBUS + (TAG if what != "all" else ""))
    if what == "root":
        (config / "gateway.yaml").write_text("nonsense: 1\n")
    if what == "variable":
        monkeypatch.setenv("GATEWAY__NONSENSE", "1")
    with pytest.raises(ConfigError) as error:
        load_tolerant(config)
    assert error.value.problems


def test_the_last_configuration_that_ran_takes_the_place_of_a_bad_device(tmp_path: Path) -> None:
    config = folder(tmp_path, good=MODBUS + TAG, other=MODBUS + "unit: 7\n" + TAG)
    assert keep_configuration(load(config))
    (config / "devices" / "other.yaml").write_text("protocol: [\n")
    (config / "devices" / "third.yaml").write_text(MODBUS + TAG)
    settings = load_for_run(config)
    assert set(settings.table.devices) == {"good", "other", "third"}
    assert device_parts(settings)["other"].entry.config.unit == 7
    assert [(one.name, one.is_kept) for one in settings.refused] == [("other", True)]


@pytest.mark.parametrize("outbox", ["path", "nothing"])
def test_the_last_configuration_that_ran_takes_the_place_of_a_bad_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outbox: str
) -> None:
    config = folder(tmp_path, good=MODBUS + TAG)
    assert keep_configuration(load(config))
    text = (config / "gateway.yaml").read_text()
    (config / "gateway.yaml").write_text(text + "nonsense: 1\n" if outbox == "path" else "name: [\n")
    if outbox == "nothing":
        monkeypatch.setenv("GATEWAY__OUTBOX__PATH", str(tmp_path / "outbox.db"))
    settings = load_for_run(config)
    assert settings.table.devices == ("good",)
    assert "gateway.yaml" in settings.refused_root
    assert settings.folder == config


def test_what_is_kept_is_for_the_own_user_only_and_as_it_was_written(tmp_path: Path) -> None:
    config = folder(tmp_path, good=MODBUS + TAG)
    keep_configuration(load(config))
    place = kept_folder(tmp_path / "outbox.db")
    assert place.stat().st_mode & 0o777 == 0o700
    copies = [path for path in place.rglob("*") if path.is_file()]
    assert sorted(path.name for path in copies) == ["gateway.yaml", "good.yaml"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in copies)
    assert (place / "devices" / "good.yaml").read_text() == MODBUS + TAG


def test_files_that_are_not_those_that_run_are_not_kept(tmp_path: Path) -> None:
    config = folder(tmp_path, good=MODBUS + TAG)
    settings = load(config)
    (config / "devices" / "good.yaml").write_text(MODBUS + "unit: 9\n" + TAG)
    assert not keep_configuration(settings)
    assert not kept_folder(tmp_path / "outbox.db").exists()


def test_devices_are_taken_from_two_configurations(tmp_path: Path) -> None:
    """Ids are dense again, and formulas rest on the tags of their own device."""
    formula = MODBUS + "tags: [{name: a, address: holding:0}, {name: f, formula: a + 1}]\n"
    before = load(folder(tmp_path, one=formula, two=formula, three=MODBUS + TAG))
    after = load(folder(tmp_path, one=MODBUS + "unit: 5\n" + TAG, two=formula, three=MODBUS + "unit: 6\n" + TAG))
    mixed = with_kept(after, before, {"one"})
    assert mixed.table.devices == after.table.devices
    assert [mixed.table.label(f.tag) for f in mixed.formulas] == ["one/f", "two/f"]
    assert [[mixed.table.label(o) for o in f.operands] for f in mixed.formulas] == [["one/a"], ["two/a"]]
    assert device_parts(mixed)["one"] == device_parts(before)["one"]
    assert device_parts(mixed)["three"] == device_parts(after)["three"]
    assert mixed.hash not in {before.hash, after.hash}
