"""Structures as templates and arrays of them as data sets, read with Eclipse Tahu's own library: statement by statement.

The names are those of the specification 3.0.0 (`tck-id-...`); `docs/sparkplug-structures.md` lists all of them, those that
do not apply as well.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.core.ports.layout import Packet
from tests.conftest import NODE
from tests.integration.test_sparkplug_foreign import exact, tahu, through  # noqa: F401  # a fixture
from tests.unit.layouts.sparkplug.test_layout import ALL, Bench, rebirth

BASIC = {"Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double", "Boolean", "String",
         "DateTime", "Text"}  # fmt: skip
AXIS = {"speed": 12.5, "count": 7, "running": True, "name": "X/1 Ä", "limits": {"low": -5, "high": 5.5}, "codes": [1, 2],
        "spare": None}  # fmt: skip
PARTS = [{"id": 1, "weight": 2.5, "ok": True, "label": "a"}, {"id": 2, "weight": None, "ok": False, "label": ""}]


@dataclass
class Read:
    """A payload as Tahu's library reads it."""

    kind: str
    body: dict[str, Any]


def packets() -> list[Packet]:
    """A node whose structures come one after the other, change, and go; a rebirth at the end."""
    bench = Bench(structures="templates")
    node = bench.node
    node.will()
    sent = [*node.births(ALL)]
    values = [
        (3, AXIS), (3, AXIS | {"speed": 13.0}), (0, PARTS), (0, []), (1, {"rows": PARTS, "more": {"inner": {"x": 1}}}),
        (3, AXIS | {"spare": "now a text", "extra": 1}), (3, None), (2, {"only": None}),
    ]  # fmt: skip
    for tag, value in values:
        sent += node.packets(bench.value(tag, value), hist=False, most_bytes=ALL)
    node.received("spBv1.0/plant/NCMD/press-1", rebirth())
    return [node.numbered(packet) for packet in (*sent, *node.changes(ALL))]


@pytest.fixture(scope="module")
def payloads(tahu: object) -> list[Read]:  # noqa: F811
    del tahu
    sent = packets()
    lines = through(NODE, [base64.b64encode(one.payload).decode() for one in sent])
    return [Read(one.topic.split("/")[2], json.loads(line)) for one, line in zip(sent, lines, strict=True)]


def walk(metrics: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """All metrics, members of templates too."""
    for metric in metrics:
        yield metric
        if metric["type"] == "Template" and metric["value"] is not None:
            yield from walk(metric["value"]["metrics"])


def templates(read: Read) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((m.get("name", ""), m["value"]) for m in walk(read.body["metrics"]) if m["type"] == "Template" and m["value"])


def tables(payloads: list[Read]) -> list[dict[str, Any]]:
    found = [m["value"] for read in payloads for m in walk(read.body.get("metrics", [])) if m["type"] == "DataSet"]
    return [table for table in found if table is not None]


def definitions(payloads: list[Read]) -> list[tuple[Read, str, dict[str, Any]]]:
    return [(read, name, one) for read in payloads for name, one in templates(read) if one["isDefinition"]]


def instances(payloads: list[Read]) -> list[tuple[Read, dict[str, dict[str, Any]], dict[str, Any]]]:
    """Each with the definitions of the last birth of the node before it."""
    found, known = [], {}
    for read in payloads:
        if read.kind == "NBIRTH":
            known = {name: one for name, one in templates(read) if one["isDefinition"]}
        found += [(read, known, one) for _, one in templates(read) if not one["isDefinition"]]
    return found


def members(template: dict[str, Any]) -> dict[str, str]:
    return {member["name"]: member["type"] for member in template["metrics"]}


Check = Callable[[list[Read]], None]
STATEMENTS: dict[str, Check] = {}


def statement(*names: str) -> Callable[[Check], Check]:
    def keep(check: Check) -> Check:
        STATEMENTS.update(dict.fromkeys(names, check))
        return check

    return keep


@statement("payloads-dataset-column-size", "payloads-dataset-column-num-headers", "payloads-dataset-types-num")
def columns(payloads: list[Read]) -> None:
    for table in tables(payloads):
        assert int(table["numOfColumns"]) == len(table["columns"]) == len(table["types"]) > 0
        assert all(len(row) == len(table["columns"]) for row in table["rows"])


@statement(
    "payloads-dataset-types-def", "payloads-dataset-types-type", "payloads-dataset-types-value",
    "payloads-dataset-parameter-type-req",
)  # fmt: skip
def types(payloads: list[Read]) -> None:
    assert all(kind in BASIC for table in tables(payloads) for kind in table["types"])


@statement("payloads-template-dataset-value")
def cells(payloads: list[Read]) -> None:
    """The library reads each cell by its type, and throws where there is none. NaN, for no number, is null in JSON."""
    full = [table for table in tables(payloads) if table["rows"]]
    assert full[0]["columns"] == ["id", "weight", "ok", "label"]
    assert full[0]["types"] == ["Int64", "Double", "Boolean", "String"]
    assert full[0]["rows"] == [["1", 2.5, True, "a"], ["2", None, False, ""]]


@statement("payloads-template-definition-nbirth-only")
def definition_only_there(payloads: list[Read]) -> None:
    assert {read.kind for read, _, _ in definitions(payloads)} == {"NBIRTH"}


@statement(
    "payloads-template-definition-is-definition", "payloads-template-is-definition",
    "payloads-template-is-definition-definition",
)  # fmt: skip
def is_definition(payloads: list[Read]) -> None:
    named = [m for read in payloads if read.kind == "NBIRTH" for m in read.body["metrics"] if m["type"] == "Template"]
    assert len(named) > 3
    assert all(m["value"]["isDefinition"] is True for m in named)
    assert all("isDefinition" in one for read in payloads for _, one in templates(read))


@statement("payloads-template-definition-ref", "payloads-template-ref-definition")
def definition_without_reference(payloads: list[Read]) -> None:
    assert not any(one.get("templateRef") for _, _, one in definitions(payloads))


@statement("payloads-template-definition-members", "payloads-template-instance-members")
def members_are_defined(payloads: list[Read]) -> None:
    for _, known, one in instances(payloads):
        assert members(one).items() <= members(known[one["templateRef"]]).items()


@statement("payloads-template-definition-nbirth", "payloads-template-instance-ref", "payloads-template-ref-instance")
def instances_are_defined(payloads: list[Read]) -> None:
    """Inner ones, and those of definitions, too."""
    found = instances(payloads)
    assert len(found) > 10
    assert all(one["templateRef"] in known for _, known, one in found)


@statement("payloads-template-instance-is-definition", "payloads-template-is-definition-instance")
def instance_is_none(payloads: list[Read]) -> None:
    tops = [
        m for read in payloads if read.kind in ("DBIRTH", "DDATA") for m in read.body["metrics"] if m["type"] == "Template"
    ]
    assert len([m for m in tops if m["value"]]) > 5
    assert all(m["value"] is None or m["value"]["isDefinition"] is False for m in tops)


@statement("payloads-template-instance-members-birth")
def births_have_all_members(payloads: list[Read]) -> None:
    for read, known, one in instances(payloads):
        if read.kind in ("NBIRTH", "DBIRTH"):
            assert members(one) == members(known[one["templateRef"]])


@statement("payloads-template-instance-members-data")
def data_have_all_members_too(payloads: list[Read]) -> None:
    """A subset is allowed; an absent member is told as null instead, since a host would keep its old value."""
    for _, known, one in instances(payloads):
        assert members(one) == members(known[one["templateRef"]])


@statement("payloads-template-version")
def version(payloads: list[Read]) -> None:
    assert all(one["version"] == "1" for read in payloads for _, one in templates(read))


@statement(
    "payloads-template-definition-parameters", "payloads-template-definition-parameters-default",
    "payloads-template-instance-parameters", "payloads-template-parameter-name-required",
    "payloads-template-parameter-name-type", "payloads-template-parameter-value-type",
    "payloads-template-parameter-type-value", "payloads-template-parameter-type-req",
    "payloads-template-parameter-value",
)  # fmt: skip
def no_parameters(payloads: list[Read]) -> None:
    """There are none: an OPC UA structure has no constant that all its instances share."""
    assert not any(one.get("parameters") for read in payloads for _, one in templates(read))


@pytest.mark.parametrize("name", STATEMENTS)
def test_statement(payloads: list[Read], name: str) -> None:
    STATEMENTS[name](payloads)


def test_every_statement_is_in_the_documentation() -> None:
    """All of 6.4.11 to 6.4.15, one row each."""
    text = (NODE.parents[1] / "docs" / "sparkplug-structures.md").read_text("utf-8")
    listed = re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)
    assert sorted(listed) == sorted(STATEMENTS)
    assert len(listed) == 33


def number(value: object, kind: str) -> object:
    """Return what was meant: the library does not see the sign of an Int64 where npm has installed `long` twice."""
    read = exact(value, kind)
    return read - 2**64 if isinstance(read, int) and kind == "Int64" and read >= 2**63 else read


def test_values_arrive_as_they_were(payloads: list[Read]) -> None:
    """Numbers, bits, text, inner structures, arrays as JSON, nulls; the members of a later value in its order."""
    data = [m for read in payloads if read.kind == "DDATA" for m in read.body["metrics"]]
    first = {m["name"]: number(m["value"], m["type"]) for m in data[0]["value"]["metrics"]}
    limits = {m["name"]: number(m["value"], m["type"]) for m in first.pop("limits")["metrics"]}
    assert first == {"speed": 12.5, "count": 7, "running": True, "name": "X/1 Ä", "codes": "[1,2]", "spare": None}
    assert limits == {"low": -5, "high": 5.5}
    empty = data[3]["value"]
    assert (empty["columns"], empty["rows"]) == (["id", "weight", "ok", "label"], [])
    grown = {m["name"]: m["value"] for m in data[5]["value"]["metrics"]}
    assert (grown["spare"], grown["extra"]) == ("now a text", "1")
    assert data[6]["value"] is None


def test_a_birth_of_the_node_comes_before_what_it_has_to_define(payloads: list[Read]) -> None:
    """Only where a definition is missing: a value of a known shape, or a table, costs no birth of the node."""
    kinds = [read.kind for read in payloads]
    text = " ".join(kinds)
    births = "NBIRTH DBIRTH DBIRTH"
    assert text.startswith(f"{births} {births} DDATA DDATA DBIRTH DDATA DDATA {births} DDATA {births} DDATA DDATA")
    assert kinds[-3:] == births.split()
