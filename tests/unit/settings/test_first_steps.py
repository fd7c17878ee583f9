"""What people bring: tables as spreadsheets save them, types in other words, names of a fleet, folders by a variable."""

import socket
from pathlib import Path

import pytest

from gateway.settings import load
from gateway.sources.opcua.config.device import OpcUaDevice
from tests.unit.settings.folders import CSV, LINE, PRESS, ROOT, problems_of, write

EUROPE = "name;address;type;unit;scale;hi;description\noil_temp;holding:0;int16;°C;0,1;55,5;1,5 bar\n"


@pytest.mark.parametrize(
    "content",
    [
        EUROPE.encode("cp1252"),
        EUROPE.encode("utf-8-sig"),
        EUROPE.encode("utf-16"),
        ("sep=;\r\n" + EUROPE.replace("\n", "\r\n")).encode("cp1252"),
        ("sep=;\n" + EUROPE).encode("utf-16"),
        EUROPE.replace(";", "\t").encode("utf-16"),
    ],
)
def test_tables_are_read_as_a_spreadsheet_saves_them(content: bytes, tmp_path: Path) -> None:
    settings = load(write(tmp_path, {"tags/press.csv": content}))
    (tag,) = next(entry for entry in settings.entries if entry.config.name == "press").tags
    assert (tag.name, tag.unit, tag.scale, tag.hi, tag.description) == ("oil_temp", "°C", 0.1, 55.5, "1,5 bar")


def test_a_table_in_another_encoding_than_utf_8_is_a_warning(tmp_path: Path) -> None:
    warnings = load(write(tmp_path, {"tags/press.csv": EUROPE.encode("cp1252")})).warnings
    assert [warning for warning in warnings if "is not UTF-8 and was read as cp1252" in warning]


def test_a_wrong_header_is_one_problem(tmp_path: Path) -> None:
    (problem,) = problems_of(write(tmp_path, {"tags/press.csv": CSV.replace("address", "adress")}))
    assert (problem.line, problem.key, problem.expected) == (1, "adress", "address?")


@pytest.mark.parametrize(
    ("word", "meant"), [("FLOAT32", "float32"), ("REAL", "float32"), ("int", "int16"), ("DINT", "int32"), ("Word", "uint16")]
)
def test_another_word_for_a_type_names_the_one_that_is_meant(word: str, meant: str, tmp_path: Path) -> None:
    (problem,) = problems_of(write(tmp_path, {"tags/press.csv": CSV.replace("float32,°C", f"{word},°C")}))
    assert (problem.line, problem.key) == (2, "type")
    assert f"{meant}?" in problem.expected + problem.message


@pytest.mark.parametrize("key", ["unit", "unit_id"])
def test_the_unit_id_has_a_word_of_its_own_and_the_old_one_is_understood(key: str, tmp_path: Path) -> None:
    settings = load(write(tmp_path, {"devices/press.yaml": PRESS + f"{key}: 7\n"}))
    assert next(entry for entry in settings.entries if entry.config.name == "press").config.unit == 7
    problem = problems_of(write(tmp_path, {"devices/press.yaml": PRESS + f"{key}: 300\n"}))[0]
    assert (problem.line, problem.key) == (4, key)


@pytest.mark.parametrize("name", ["%H", "${HOSTNAME}", "line-%H"])
def test_a_gateway_of_a_fleet_is_called_like_its_machine(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "box-17")
    settings = load(write(tmp_path, {"gateway.yaml": ROOT.replace("press-1", f"'{name}'")}))
    assert settings.root.name == name.replace("%H", "box-17").replace("${HOSTNAME}", "box-17")


def test_a_machine_id_is_a_name_or_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "machine-id"
    monkeypatch.setattr("gateway.settings.host_name._MACHINE_ID", file)
    folder = write(tmp_path / "config", {"gateway.yaml": ROOT.replace("press-1", "'%m'")})
    (problem,) = problems_of(folder)
    assert (problem.line, problem.key) == (1, "name")
    file.write_text("4c4c4544004d3510804cb5c04f4e3432\n")
    assert load(folder).root.name == "4c4c4544004d3510804cb5c04f4e3432"


def test_the_folder_of_certificates_comes_from_the_variable_unless_it_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_OPCUA_PKI", str(tmp_path / "mine"))
    folder = write(tmp_path / "config", {"devices/line.yaml": LINE, "devices/second.yaml": LINE + "pki: own\n"})
    found: dict[str, OpcUaDevice] = {entry.config.name: entry.config for entry in load(folder).entries}
    assert found["line"].pki == tmp_path / "mine"
    assert found["second"].pki == folder / "own"


def test_registers_that_two_tags_read_in_different_ways_are_a_warning_with_both_lines(tmp_path: Path) -> None:
    table = "name,address,type,bit\na,holding:0,float32,\nb,holding:1,uint16,\nc,holding:4,uint16,\nd,holding:4,,3\n"
    table += "e,holding:4,uint16,\nf,holding:6,uint32,\ng,holding:6,float32,\nh,input:0,int16,\n"
    folder = write(tmp_path, {"tags/press.csv": table})
    found = [warning for warning in load(folder).warnings if "reads as well" in warning]
    place = f"{folder}/tags/press.csv"
    assert found == [
        f"{place}:3: tag 'b' reads holding:1, which tag 'a' reads as well ({place}:2)",
        f"{place}:8: tag 'g' reads holding:6-7, which tag 'f' reads as well ({place}:7)",
    ]
