"""Equal devices from one template; every mistake is told in the file that is to be corrected."""

from pathlib import Path

import pytest

from gateway.settings import load
from tests.unit.settings.folders import PRESS, places_of, problems_of, write

METER = """\
protocol: modbus
parameters: {base: 0, interval: 1s}
unit: ${unit}
interval: ${interval}
tags:
  - {name: power, address: "holding:${base}", type: float32}
  - {name: "phase ${unit}", address: "input:${unit}"}
"""


def meter(unit: int, more: str = "") -> str:
    return f"template: meters/em340.yaml\nurl: rtu+tcp://moxa:4001\nparameters: {{unit: {unit}{more}}}\n"


def folder(tmp_path: Path, files: dict[str, str | bytes | None]) -> Path:
    return write(tmp_path, {"templates/meters/em340.yaml": METER, **files})


def test_fifty_equal_meters_are_fifty_short_files(tmp_path: Path) -> None:
    files: dict[str, str | bytes | None] = {f"devices/m{n:02}.yaml": meter(n, f", base: {100 * n}") for n in range(1, 51)}
    settings = load(folder(tmp_path, files))
    meters = [entry for entry in settings.entries if entry.config.name.startswith("m")]
    assert [entry.config.unit for entry in meters] == list(range(1, 51))
    assert {entry.config.url for entry in meters} == {"rtu+tcp://moxa:4001"}
    assert [(tag.name, tag.start) for tag in meters[6].tags] == [("power", 700), ("phase 7", 7)]


def test_defaults_of_parameters_and_keys_of_the_device_that_win(tmp_path: Path) -> None:
    settings = load(folder(tmp_path, {"devices/m.yaml": meter(3) + "interval: 5s\n"}))
    (entry,) = [entry for entry in settings.entries if entry.config.name == "m"]
    assert (entry.config.interval, entry.tags[0].start) == (5 * 10**9, 0)


def test_a_change_of_the_template_changes_the_hash(tmp_path: Path) -> None:
    before = load(folder(tmp_path, {"devices/m.yaml": meter(3)})).hash
    assert load(folder(tmp_path, {"devices/m.yaml": meter(3), "templates/meters/em340.yaml": METER + "\n"})).hash != before


def test_a_mistake_in_the_template_is_told_once_and_there(tmp_path: Path) -> None:
    bad = METER.replace("type: float32", "type: float31").replace("interval: ${interval}", "intervall: 1s")
    files: dict[str, str | bytes | None] = {f"devices/m{n}.yaml": meter(n) for n in (1, 2)}
    assert places_of(folder(tmp_path, files | {"templates/meters/em340.yaml": bad})) == [
        ("templates/meters/em340.yaml", 4, "intervall"),
        ("templates/meters/em340.yaml", 6, "tags.0.type"),
    ]


@pytest.mark.parametrize(
    ("device", "place", "said"),
    [
        ("template: meters/none.yaml\n", ("devices/m.yaml", 1, "template"), "is not a template that is there"),
        ("template: ../gateway.yaml\n", ("devices/m.yaml", 1, "template"), "is not a template that is there"),
        ("template: 7\n", ("devices/m.yaml", 1, "template"), "is not a template that is there"),
        (PRESS + "parameters: {unit: 1}\n", ("devices/m.yaml", 4, "parameters"), "without a template"),
        (meter(1, ", bse: 5"), ("devices/m.yaml", 3, "parameters.bse"), "is not a parameter"),
        (meter(1, ", base: [5]"), ("devices/m.yaml", 3, "parameters.base"), "is not a plain value"),
        (meter(1) + "tags: []\n", ("devices/m.yaml", 4, "tags"), "in the template already"),
        (
            "template: meters/em340.yaml\nurl: tcp://a\n",
            ("templates/meters/em340.yaml", 3, "unit"),
            "needs the parameter",
        ),
        (meter(300), ("templates/meters/em340.yaml", 3, "unit"), "255"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(
    tmp_path: Path, device: str, place: tuple[str, int, str], said: str
) -> None:
    problems = problems_of(folder(tmp_path, {"devices/m.yaml": device}))
    assert place in [(p.file, p.line, p.key) for p in problems]
    assert any(said in f"{p.message} {p.expected}" for p in problems)


def test_overlapping_masks_are_refused_at_their_line(tmp_path: Path) -> None:
    tags = "tags:\n  - {name: a, address: holding:1, mask: 0x0F}\n  - {name: b, address: holding:1, mask: 0x18}\n"
    device = "protocol: modbus\nurl: tcp://a\n" + tags
    (problem,) = problems_of(write(tmp_path, {"devices/m.yaml": device}))
    assert (problem.file, problem.line, problem.key) == ("devices/m.yaml", 5, "tags.1.mask")
    assert "overlaps with tag 'a'" in problem.message


def test_a_shipped_template_is_found_and_one_of_the_folder_goes_before_it(tmp_path: Path) -> None:
    device = "template: meters/eastron-sdm120.yaml\nurl: tcp://10.0.0.9\n"
    place = write(tmp_path, {"devices/m.yaml": device})
    shipped = next(entry for entry in load(place).entries if entry.config.name == "m")
    assert "voltage" in [tag.name for tag in shipped.tags]
    write(tmp_path, {"devices/m.yaml": device, "templates/meters/eastron-sdm120.yaml": METER.replace("${unit}", "1")})
    own = next(entry for entry in load(place).entries if entry.config.name == "m")
    assert [tag.name for tag in own.tags] == ["power", "phase 1"]


def test_a_name_that_is_nearly_that_of_a_template_is_told(tmp_path: Path) -> None:
    text = "protocol: modbus\ntemplate: meters/eastron-sdm63.yaml\nurl: tcp://a\n"
    problem = problems_of(write(tmp_path, {"devices/m.yaml": text}))[0]
    assert problem.expected == "meters/eastron-sdm630.yaml?"
