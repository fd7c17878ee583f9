"""Tags that a device told of, kept outside the configuration folder."""

from pathlib import Path

from gateway.settings import load
from tests.unit.settings.folders import LINE, problems_of, write

FOUND = "name,node,unit\nspeed,nsu=urn:x;s=other,\nload,nsu=urn:x;s=load,kN\n"


def folder(tmp_path: Path, tags: bool = True) -> Path:
    line = LINE if tags else LINE.split("tags:")[0]
    line += f"found: {tmp_path / 'found'}\nbrowse: {{root: /Objects/2:Line}}\ndefaults: {{deadband: 2}}\n"
    return write(tmp_path / "config", {"devices/line.yaml": line, "devices/press.yaml": None, "tags/press.csv": None})


def keep(tmp_path: Path, text: str) -> None:
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "line.csv").write_text(text)


def test_before_anything_was_found_a_device_may_have_no_tags(tmp_path: Path) -> None:
    settings = load(folder(tmp_path, tags=False))
    assert len(settings.table) == 0
    assert "nothing was found on line yet" in settings.warnings[0]


def test_a_device_on_which_nothing_was_found_is_told(tmp_path: Path) -> None:
    place = folder(tmp_path, tags=False)
    keep(tmp_path, "name,node,unit,range\n")
    settings = load(place)
    assert len(settings.table) == 0
    assert [f"{tmp_path}/found/line.csv: nothing that is wanted was found on line; gateway browse shows what is there"] == [
        *settings.warnings
    ]


def test_found_tags_stand_beside_configured_ones_which_win(tmp_path: Path) -> None:
    before = load(folder(tmp_path)).hash
    keep(tmp_path, FOUND)
    settings = load(folder(tmp_path))
    assert [(tag.node, tag.unit) for tag in settings.entries[0].tags] == [
        ("ns=2;s=Speed", ""), ("nsu=urn:x;s=load", "kN")
    ]  # fmt: skip
    assert [tag.name for tag in settings.table.tags] == ["speed", "load"]
    assert settings.policies[1].deadband == (2.0, 0.0)
    assert not settings.warnings
    assert settings.hash != before


def test_a_damaged_file_of_found_tags_is_no_error(tmp_path: Path) -> None:
    keep(tmp_path, "name,node\nspeed2,not a node\nload,i=5\n")
    settings = load(folder(tmp_path))
    assert [tag.name for tag in settings.table.tags] == ["speed", "load"]
    assert "line.csv:2: node: 'not a node' is not a NodeId" in settings.warnings[0]
    (tmp_path / "found" / "line.csv").write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8" in load(folder(tmp_path)).warnings[0]


def test_what_is_wrong_with_browse_is_told_with_its_line(tmp_path: Path) -> None:
    place = folder(tmp_path)
    (place / "devices" / "line.yaml").write_text(LINE + "browse:\n  root: Line\n")
    problems = problems_of(place)
    assert [(p.file, p.line, p.key) for p in problems] == [("devices/line.yaml", 5, "browse.0.root")]


def told(tmp_path: Path, text: str) -> None:
    (tmp_path / "found" / "units").mkdir(parents=True)
    (tmp_path / "found" / "units" / "line.csv").write_text(text)


TAGS = """tags:
  - {name: speed, node: ns=2;s=Speed}
  - {name: load, node: ns=2;s=Load, unit: t}
  - {name: power, node: ns=2;s=Power, range: 0 to 9, scale: 0.001}
  - {name: torque, node: ns=2;s=Torque}
"""
TOLD = """name,node,unit,range
speed,ns=2;s=Speed,mm/s,0 to 100
load,ns=2;s=Load,kg,0 to 5
power,ns=2;s=Power,W,0 to 9000
torque,ns=2;s=OtherTorque,Nm,0 to 7
nobody,ns=2;s=Speed,mm/s,0 to 1
"""


def test_what_the_server_tells_fills_what_the_configuration_leaves_out(tmp_path: Path) -> None:
    told(tmp_path, TOLD)
    head = LINE.split("tags:")[0] + f"found: {tmp_path / 'found'}\n"
    files = {"devices/line.yaml": head + TAGS, "devices/press.yaml": None, "tags/press.csv": None}
    settings = load(write(tmp_path / "config", files))
    assert [(tag.name, tag.unit, tag.range) for tag in settings.table.tags] == [
        ("speed", "mm/s", (0, 100)),
        ("load", "t", (0, 5)),
        ("power", "", (0, 9)),  # scaled: the server's unit is not the tag's
        ("torque", "", None),  # told of another node
    ]
    assert not settings.warnings
    assert [tag.is_completed for tag in settings.entries[0].tags] == [True, True, False, False]


def test_a_damaged_file_of_units_is_no_error(tmp_path: Path) -> None:
    told(tmp_path, "name,node,unit,range\nspeed,ns=2;s=Speed,mm/s,much\n")
    line = LINE + f"found: {tmp_path / 'found'}\n"
    config = write(tmp_path / "config", {"devices/line.yaml": line, "devices/press.yaml": None, "tags/press.csv": None})
    assert load(config).table.tags[0].range is None
    (tmp_path / "found" / "units" / "line.csv").write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8" in load(config).warnings[0]


def test_a_range_is_two_numbers_that_rise(tmp_path: Path) -> None:
    place = folder(tmp_path)
    (place / "devices" / "line.yaml").write_text(LINE.replace("Speed}", "Speed, range: 5 to 1}"))
    assert ["tags.0.range" in p.key and "does not rise" in p.message for p in problems_of(place)] == [True]
