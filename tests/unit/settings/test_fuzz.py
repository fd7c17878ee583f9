"""Whatever stands in the files and variables: settings, or one ConfigError. Never another exception."""

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ConfigError, Problem
from gateway.settings import load
from tests.unit.settings.folders import CSV, LINE, PRESS, ROOT, write

FILES = {"gateway.yaml": ROOT, "devices/press.yaml": PRESS, "devices/line.yaml": LINE, "tags/press.csv": CSV}

PIECES = (
    "name: |mqtt:|url: |protocol: |modbus|opcua|tags:|tag_file: |press.csv|address: |holding:1|node: |ns=2;s=a|defaults:"
    "|deadband: |hi: |anomaly: |off|~|null|true|.nan|-.inf|1e400|0x|0b|1_0|12:30|2024-01-01|2024-13-45|<<: |=|? |: |- |, "
    "|[|]|{|}|&a |*a|!!int |!!float |!!bool |!!binary |!!timestamp |!!set |!!omap |!!null |!!str |!x |!!python/object:os.x "
    "|'|\"|||>|%YAML 1.1\n|---\n|...\n|#|\t|\\|\n|\n  |\n    |\n- |\ufeff|\0|é|😀|\u2028|\x85|5|1s|1GiB|1%"
)
WORDS = st.sampled_from(PIECES.split("|"))
TEXTS = st.lists(WORDS | st.text(max_size=3), max_size=40).map("".join)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just(10**400), st.just("9" * 400),
    st.sampled_from(["9" * 400 + unit for unit in ("s", "GiB", "%")]),
    st.sampled_from(["tcp://[", "opc.tcp://[::1", "mqtt://h:99999", "ns=1;i="]),
    st.sampled_from(["1s", "512MiB", "tcp://h", "opc.tcp://h", "mqtt://h", "holding:1", "ns=2;g=x", "press.csv", "a/b", ""]),
    st.dates(), st.binary(max_size=4),
)  # fmt: skip
CUTS = st.tuples(st.floats(0, 1), st.integers(0, 6), st.binary(max_size=4))
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
)
KNOWN = (
    "name mqtt url version client_id username password root keepalive timeout in_flight tls ca cert key insecure "
    "outbox path commit_interval max_bytes max_age memory keep_free window length grace detection memory warmup "
    "publish windows summaries defaults deadband max_silence hysteresis anomaly hihi hi lo lolo protocol unit "
    "interval byte_order max_registers max_bits max_gap enabled tags tag_file address type scale offset node mode "
    "sampling queue_size session_timeout security description "
)
KEYS = KNOWN.split()
SECTIONS = ("mqtt", "outbox", "window", "detection", "publish", "defaults")


def survives(files: dict[str, str | bytes], variables: dict[str, str] | None = None) -> None:
    """Load the folder; a refusal must carry problems that can be shown."""
    with TemporaryDirectory() as place, mock.patch.dict(os.environ, variables or {}):
        folder = write(Path(place), dict(files))
        problems: Sequence[Problem] | None = None
        try:
            load(folder)
        except ConfigError as error:
            problems = error.problems
        assert problems is None or (problems and all(problem.message for problem in problems))


@given(st.dictionaries(st.sampled_from(sorted(FILES)), TEXTS, min_size=1))
def test_any_text_is_refused_or_understood(files: dict[str, str]) -> None:
    """Text that looks like YAML or CSV and mostly is not."""
    survives(dict(files))


@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), st.binary(max_size=4)), max_size=4),
)
def test_any_damage_to_a_valid_file_is_refused_or_understood(name: str, cuts: list[tuple[float, int, bytes]]) -> None:
    """Bytes cut out and put in: half-saved files, wrong encodings, a disk that lies."""
    content = FILES[name].encode()
    for place, size, added in cuts:
        at = round(place * len(content))
        content = content[:at] + added + content[at + size :]
    survives({name: content})


def _documents(value: Any) -> Any:
    """Valid documents in which some keys have any value."""
    return st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4).map(lambda more: value | more)


@given(
    _documents({"name": "g"}),
    st.dictionaries(
        st.sampled_from(["mqtt", "outbox", "window", "detection", "publish", "defaults"]), _documents({}), max_size=3
    ),
    _documents({"protocol": "modbus", "url": "tcp://h"}),
    _documents({"protocol": "opcua", "url": "opc.tcp://h"}),
    st.lists(_documents({"name": "a", "address": "holding:1"}) | _documents({"name": "a", "node": "i=1"}), max_size=3),
)
def test_any_value_of_any_key_is_refused_or_understood(
    root: dict[str, Any], sections: dict[str, Any], modbus: dict[str, Any], opcua: dict[str, Any], tags: list[Any]
) -> None:
    """Well-formed YAML with keys that exist and values that nobody would write."""
    documents = {
        "gateway.yaml": root | sections,
        "devices/press.yaml": {"tags": tags} | modbus,
        "devices/line.yaml": {"tags": tags} | opcua,
    }
    survives({name: yaml.safe_dump(value, allow_unicode=True) for name, value in documents.items()})


NAMES = st.lists(
    st.sampled_from(["MQTT", "URL", "DEVICES", "PRESS", "LINE", "NAME", "TLS", "", "X", "TAGS", "UNIT"]), max_size=4
).map("__".join)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
ODD = st.sampled_from(["{}", "[]", "5", '{"url": 5}', "\udcff"])


@given(st.dictionaries(NAMES, TEXT | ODD, max_size=3))
def test_any_variable_is_refused_or_understood(variables: dict[str, str]) -> None:
    """Names that nest wrongly, values that are JSON or not even text."""
    survives({}, {f"GATEWAY__{name}": value for name, value in variables.items()})
