"""Alarms that make no sense are refused where they stand."""

from pathlib import Path

import pytest

from tests.unit.settings.folders import problems_of, write

HEAD = "protocol: opcua\nurl: opc.tcp://127.0.0.1:1\ntags:\n  - {name: wanted, node: i=1}\n"


@pytest.mark.parametrize(
    ("tag", "key", "message"),
    [
        ("hi: 5, lo: 6", "lo", "lo (6) must lie below hi (5)"),
        ("alarms: [{deviation: 5, set_point: wnated}]", "alarms.0.set_point", "'wnated' is no tag of this device"),
        ("alarms: [{discrepancy: 5, other: a}]", "alarms.0.other", "'a' is the tag itself"),
        ("alarms: [{deviation: 5}]", "alarms.0.deviation", "deviation needs the key set_point"),
        ("alarms: [{hi: 5, severity: 0}]", "alarms.0.severity", "0 is not allowed"),
        ("alarms: [{hi: 5, lo: 3}]", "alarms.0.hi", "an alarm has one of hihi, hi"),
        ("alarms: [{hi: 5, message: '{tga}'}]", "alarms.0.message", "{tga} is not known"),
        ("alarms: [{hi: 5, shelved_until: tomorrow}]", "alarms.0.shelved_until", "not a time with its zone"),
        ("alarms: [{deviation: 5, set_point: wanted, on_delay: 1ms}]", "alarms.0.deviation", "never read at once"),
        ("hi: 5, alarms: [{hi: 7}]", "alarms", "there are two alarms hi"),
        ("hi: 5, lo: 3, hysteresis: 2", "hysteresis", "2 is not less than the 2 between hi and lo"),
        ("hi: 90, range: 0 to 100, alarms: [{lo: 5, hysteresis: 95%}]", "alarms.0.hysteresis", "95 is not less than the 85"),
        ("alarms: [{normal: running}]", "alarms.0.normal", "'running' is no value of a discrete tag"),
        ("hi: 5, on_delay: 3", "on_delay", "not understood"),
    ],
)
def test_nonsense_is_refused_with_its_place(tmp_path: Path, tag: str, key: str, message: str) -> None:
    write(tmp_path, {"devices/line.yaml": f"{HEAD}  - {{name: a, node: i=2, {tag}}}\n"})
    (problem,) = [one for one in problems_of(tmp_path) if message in one.message]
    assert problem.key == f"tags.1.{key}".rstrip(".")
