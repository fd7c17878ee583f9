"""Several devices in one file: what they share stands once."""

from pathlib import Path

import pytest

from gateway.settings import load
from tests.unit.settings.folders import problems_of, write

METER = """\
parameters: {unit: 1}
protocol: modbus
unit: "${unit}"
tags:
  - {name: power, address: "holding:${base}", type: float32}
"""
LIST = """\
template: meter.yaml
url: rtu:///dev/ttyUSB0
parameters: {base: 10}
devices:
  - {name: m1}
  - {name: m2, parameters: {unit: 2}}
  - name: m3
    parameters: {unit: 3, base: 20}
    url: tcp://10.0.0.9
"""
FOLDER: dict[str, str | bytes | None] = {"templates/meter.yaml": METER, "devices/press.yaml": None, "tags/press.csv": None}


def test_each_takes_what_is_common_and_its_own(tmp_path: Path) -> None:
    settings = load(write(tmp_path, FOLDER | {"devices/meters.yaml": LIST}))
    assert settings.table.devices == ("line", "m1", "m2", "m3")
    found = [(e.config.url, e.config.unit, e.tags[0].address) for e in settings.entries[1:]]
    assert found == [
        ("rtu:///dev/ttyUSB0", 1, "holding:10"),
        ("rtu:///dev/ttyUSB0", 2, "holding:10"),
        ("tcp://10.0.0.9:502", 3, "holding:20"),
    ]


def test_a_variable_sets_a_key_of_one_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY__DEVICES__M2__TIMEOUT", "3s")
    settings = load(write(tmp_path, FOLDER | {"devices/meters.yaml": LIST}))
    assert [e.config.timeout for e in settings.entries[1:]] == [10**9, 3 * 10**9, 10**9]


def test_problems_name_the_line_where_the_mistake_stands(tmp_path: Path) -> None:
    """In the entry, in what is common (once), and between devices."""
    text = """\
protocol: modbus
unit: 300
devices:
  - {name: a, url: "rtu:///dev/ttyS0", tags: [{name: t, address: "holding:0"}]}
  - name: b
    ulr: x
  - 7
  - {url: x}
"""
    write(tmp_path, {"devices/list.yaml": text})
    assert {(p.line, p.key, p.message) for p in problems_of(tmp_path)} == {
        (2, "unit", "300 is not allowed"),
        (6, "devices.1.ulr", "is not a known key"),
        (5, "devices.1.url", "is missing"),
        (7, "devices.2", "7 is not a device"),
        (8, "devices.3.name", "is missing"),
    }


def test_a_serial_line_is_opened_in_one_way(tmp_path: Path) -> None:
    tag = "tags: [{name: t, address: 'holding:0'}]"
    text = f"protocol: modbus\n{tag}\ndevices:\n" + "".join(
        f"  - {{name: {name}, url: 'rtu:///dev/ttyS0?baudrate={baud}'}}\n" for name, baud in (("a", 9600), ("b", 19200))
    )
    write(tmp_path, {"devices/list.yaml": text})
    (problem,) = problems_of(tmp_path)
    assert (problem.line, problem.key) == (5, "devices.1.url")
    assert "is used with other options by a" in problem.message


@pytest.mark.parametrize("listed", ["", "{}", "[]", "x"])
def test_a_list_must_be_one(listed: str, tmp_path: Path) -> None:
    write(tmp_path, {"devices/list.yaml": f"protocol: modbus\ndevices: {listed}\n"})
    (problem,) = problems_of(tmp_path)
    assert (problem.line, problem.key, problem.message) == (2, "devices", "is not a list")
