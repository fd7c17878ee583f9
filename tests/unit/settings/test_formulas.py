"""Computed tags in device files and tag files: what they rest on, and every fault with its line."""

from pathlib import Path

import pytest

from gateway.plugins import LAYOUTS
from gateway.settings import load
from tests.unit.settings.folders import problems_of, write

INVERTER = """\
protocol: modbus
url: tcp://10.0.0.7
interval: 1s
tags:
  - {name: raw, address: "holding:0", type: int16, publish: false}
  - {name: sf, address: "holding:9", type: int16, publish: false}
"""


def folder(tmp_path: Path, tags: str, **files: str) -> Path:
    return write(tmp_path, {"devices/inverter.yaml": INVERTER + tags} | files)  # type: ignore[arg-type]


def test_they_follow_the_tags_that_are_read_and_rest_on_those_alone(tmp_path: Path) -> None:
    tags = """\
  - {name: Double, formula: 2 * Power + raw, deadband: 1}
  - {name: Power, formula: raw * 10 ** sf, unit: W, hi: 300}
  - {name: text, address: "holding:20", type: string, length: 8}
"""
    settings = load(folder(tmp_path, tags))
    names = [tag.name for tag in settings.table.tags]
    number = settings.table.devices.index("inverter")
    first, end = settings.table.range_of(number)
    assert names[first:end] == ["raw", "sf", "text", "Double", "Power"]
    assert [tag.published for tag in settings.table.tags[first:end]] == [False, False, True, True, True]
    assert [tag.interval_ns for tag in settings.table.tags[first:end]] == [10**9] * 5
    double, power = settings.formulas
    assert (double.tag, double.operands, double.is_polled) == (first + 3, (first, first + 1), True)
    assert (power.tag, power.operands) == (first + 4, (first, first + 1))
    assert settings.policies[power.tag].hi == 300
    assert [tag.name for tag in settings.entries[number].tags] == ["raw", "sf", "text"]


def test_a_tag_file_may_have_both_kinds(tmp_path: Path) -> None:
    csv = (
        'name,address,type,formula,unit\noil,holding:0,float32,,\nwater,holding:2,float32,,\nmean,,,"mean(oil, water)",bar\n'
    )
    settings = load(write(tmp_path, {"tags/press.csv": csv}))
    (formula,) = settings.formulas
    assert settings.table.tags[formula.tag].name == "mean"
    assert settings.table.tags[formula.tag].unit == "bar"


@pytest.mark.parametrize(
    ("tags", "key", "message", "expected"),
    [
        ("{name: x, formula: rew * 2}", "formula", "'rew' is not a tag of this device", "raw?"),
        ("{name: x, formula: x + raw}", "formula", "needs its own value: x -> x", "tags that do not need each other"),
        ("{name: x, formula: raw +}", "formula", "'raw +' is not a formula", ""),
        ("{name: x, formula: 7}", "formula", "7 is not allowed", ""),
        ('{name: x, formula: raw, address: "holding:3"}', "address", "has no effect beside formula", ""),
        ("{name: raw, formula: sf}", "name", "'raw' is already a tag of this device", ""),
        ("{name: x, formula: raw, hii: 3}", "hii", "is not a known key", "hihi?"),
        (
            "{name: x, formula: raw + t}\n  - {name: t, address: 'holding:5', type: string, length: 4}",
            "formula",
            "'t' is no number",
            "tags with numbers",
        ),
        (
            "{name: x, formula: raw + slow}\n  - {name: slow, address: 'holding:5', interval: 60s}",
            "formula",
            "its tags are not read together: raw every 1 s, slow every 60 s",
            "one interval for all of them: values of one poll belong together",
        ),
    ],
)
def test_faults_name_their_line(tmp_path: Path, tags: str, key: str, message: str, expected: str) -> None:
    (problem,) = problems_of(folder(tmp_path, f"  - {tags}\n"))
    assert (problem.file, problem.line) == ("devices/inverter.yaml", 7)
    assert problem.key == f"tags.2.{key}"
    assert problem.message.startswith(message)
    assert not expected or problem.expected == expected


def test_a_circle_of_formulas_and_a_tower_of_them_are_refused(tmp_path: Path) -> None:
    circle = "  - {name: a, formula: b}\n  - {name: b, formula: c}\n  - {name: c, formula: a + raw}\n"
    assert {p.line for p in problems_of(folder(tmp_path, circle))} == {7, 8, 9}
    tower = "  - {name: t0, formula: raw + sf}\n" + "".join(
        f"  - {{name: t{n}, formula: t{n - 1} + t{n - 1}}}\n" for n in range(1, 40)
    )
    problems = problems_of(folder(tmp_path, tower))
    assert problems
    assert all("steps" in problem.message for problem in problems)


def test_what_was_not_found_yet_is_a_warning(tmp_path: Path) -> None:
    line = (
        "protocol: opcua\nurl: opc.tcp://10.0.0.6:4840\nbrowse: {root: ns=2;s=Line}\n"
        f"found: {tmp_path}/found\ntags:\n  - {{name: twice, formula: 2 * speed}}\n"
    )
    settings = load(write(tmp_path, {"devices/line.yaml": line}))
    assert any("'speed' is not a tag of this device as far as is known" in warning for warning in settings.warnings)
    assert settings.formulas == ()


def test_a_tag_that_is_not_published_needs_no_topic_of_its_own(tmp_path: Path) -> None:
    """Nor does a device on which nothing was found yet: both have no place in a layout."""
    root = "name: press-1\npublish: {layout: tag, topic: '{root}/{tag}'}\n"
    line = f"protocol: opcua\nurl: opc.tcp://10.0.0.6:4840\nbrowse: {{root: ns=2;s=Line}}\nfound: {tmp_path}/found\n"
    shared = '  - {name: pressure, address: "holding:3", publish: false}\n'
    settings = load(folder(tmp_path, shared, **{"gateway.yaml": root, "devices/line.yaml": line}))
    by_name = {device.name: list(device.tags) for device in settings.layout_scope.devices}
    assert by_name == {"inverter": [], "line": [], "press": ["oil_temp", "pressure"]}
    lines = [LAYOUTS["tag"].describe_device(settings.layout_scope, number) for number in range(3)]
    assert [one[0].split()[0] for one in lines] == ["plant/{tag}", "plant/{tag}", "plant/oil_temp"]


def test_a_fault_in_a_tag_file_is_a_problem_too(tmp_path: Path) -> None:
    csv = "name,address,formula\noil,holding:0,\ntwice,,2 * oill\n"
    (problem,) = problems_of(write(tmp_path, {"tags/press.csv": csv}))
    assert (problem.file, problem.line, problem.key) == ("tags/press.csv", 3, "formula")
    assert problem.expected == "oil?"
