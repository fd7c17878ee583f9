"""A configuration that cannot be used: one error, every problem, each with its place."""

import os
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.settings import load
from tests.unit.settings.folders import CSV, LINE, PRESS, ROOT, places_of, problems_of, write

MODBUS = "protocol: modbus\nurl: tcp://h\n"
TAG = "tags:\n  - {name: a, address: holding:1}\n"

# file, content, then (line, key, part of message or expectation) of the only problem
ONE: dict[str, tuple[str, str | bytes, tuple[int, str, str]]] = {
    "unknown root key": ("gateway.yaml", "name: g\n\nmqt:\n  url: x\n", (3, "mqt", "mqtt?")),
    "unknown nested key": ("gateway.yaml", "name: g\nmqtt:\n  ulr: x\n", (3, "mqtt.ulr", "url?")),
    "option of the library": ("gateway.yaml", "name: g\n_env_file: x\n", (2, "_env_file", "not a known key")),
    "unknown device key": ("devices/press.yaml", MODBUS + "intervall: 1s\n" + TAG, (3, "intervall", "interval?")),
    "unknown tag key": ("devices/press.yaml", MODBUS + "tags:\n  - name: a\n    adress: 1\n    address: coil:1\n",
                        (5, "tags.0.adress", "address?")),
    "unknown key in a list": ("devices/line.yaml", LINE + "events:\n  - notifyer: i=2253\n",
                              (6, "events.0.notifyer", "notifier?")),
    "strange key in a list": ("devices/line.yaml", LINE + "events:\n  - xyz: i=2253\n",
                              (6, "events.0.xyz", "one of notifier, severity, fields")),
    "unknown default": ("devices/press.yaml", MODBUS + "defaults:\n  dead_band: 1\n" + TAG,
                        (4, "defaults.dead_band", "deadband?")),
    "key stands twice": ("gateway.yaml", "name: g\nmqtt:\n  root: a\n  url: mqtt://h\n  root: b\n",
                         (5, "mqtt.root", "stands twice, first in line 3")),
    "name missing": ("gateway.yaml", "mqtt: {}\n", (1, "name", "is missing")),
    "name with slash": ("gateway.yaml", "name: a/b\n", (1, "name", "'/'")),
    "name with plus": ("gateway.yaml", "name: a+b\n", (1, "name", "'+'")),
    "name with hash": ("gateway.yaml", "name: 'a#b'\n", (1, "name", "'#'")),
    "name empty": ("gateway.yaml", "name: ''\n", (1, "name", "must not be empty")),
    "name a number": ("gateway.yaml", "name: 7\n", (1, "name", "put it in quotes")),
    "name too long": ("gateway.yaml", f"name: {'x' * 129}\n", (1, "name", "longer than 128")),
    "duration without unit": ("gateway.yaml", "name: g\noutbox:\n  commit_interval: 5\n",
                              (3, "outbox.commit_interval", "250ms")),
    "duration of another unit": ("gateway.yaml", "name: g\nwindow:\n  grace: 5 parsec\n", (3, "window.grace", "250ms")),
    "duration out of range": ("gateway.yaml", "name: g\nwindow:\n  length: 2min\n", (3, "window.length", "1s to 60s")),
    "window does not divide": ("gateway.yaml", "name: g\nwindow:\n  length: 7s\n", (3, "window.length", "divide a minute")),
    "size without unit": ("gateway.yaml", "name: g\noutbox:\n  max_bytes: 512\n", (3, "outbox.max_bytes", "512MiB")),
    "broker url": ("gateway.yaml", "name: g\nmqtt:\n  url: tcp://h\n", (3, "mqtt.url", "mqtt://")),
    "outbox is a folder": ("gateway.yaml", "name: g\noutbox:\n  path: /\n", (3, "outbox.path", "expected a file")),
    "outbox is the folder itself": ("gateway.yaml", "name: g\noutbox:\n  path: .\n", (3, "outbox.path", "expected a file")),
    "outbox without a path": ("gateway.yaml", "name: g\noutbox:\n  path:\n", (3, "outbox.path", "the name of a file")),
    "control character": ("gateway.yaml", "name: g\nmqtt:\n  root: a\4b\n", (3, "", "U+0004")),
    "topic root": ("gateway.yaml", "name: g\nmqtt:\n  root: a//b\n", (3, "mqtt.root", "empty topic level")),
    "template without tag": ("gateway.yaml", "name: g\npublish: {topic: 'a/{device}'}\n", (2, "publish.topic", "no {tag}")),
    "template with a wildcard": ("gateway.yaml", "name: g\npublish:\n  topic: '+/{tag}'\n", (3, "publish.topic", "'+'")),
    "template with a hash": ("gateway.yaml", "name: g\npublish:\n  topic: '{tag}/#'\n", (3, "publish.topic", "'#'")),
    "template with an empty level": ("gateway.yaml", "name: g\npublish:\n  topic: '{device}//{tag}'\n",
                                     (3, "publish.topic", "empty topic level")),
    "template for the broker": ("gateway.yaml", "name: g\npublish:\n  topic: '$share/{tag}'\n",
                                (3, "publish.topic", "begin with $")),
    "template with a stray brace": ("gateway.yaml", "name: g\npublish:\n  topic: '{device/{tag}'\n",
                                    (3, "publish.topic", "brace without its partner")),
    "template with a strange field": ("gateway.yaml", "name: g\npublish:\n  topic: '{Site X}/{tag}'\n",
                                      (3, "publish.topic", "not the name of a field")),
    "template that is a number": ("gateway.yaml", "name: g\npublish:\n  topic: 5\n", (3, "publish.topic", "topic template")),
    "unknown field": ("gateway.yaml", "name: g\npublish:\n  layout: tag\n  topic: '{sit}/{device}/{tag}'\n",
                      (4, "publish.topic", "{sit} has no value for line, press")),
    "unknown field of a device": ("devices/press.yaml", MODBUS + TAG + "publish: {layout: tag, topic: '{line}/{tag}'}\n",
                                  (5, "publish.topic", "line: ... below topic_fields")),
    "field that no topic has": ("gateway.yaml", "name: g\npublish:\n  layout: tag\n  topic_fields:\n    site: a\n",
                                (5, "publish.topic_fields.site", "does not stand in {root}/{gateway}/{device}/{tag}")),
    "field that no topic of the device has": (
        "devices/press.yaml", MODBUS + TAG + "publish:\n  layout: tag\n  topic: 'a/{tag}'\n  topic_fields: {line: 4a}\n",
        (8, "publish.topic_fields.line", "does not stand in a/{tag}")),
    "fields without the layout": ("gateway.yaml", "name: g\npublish:\n  topic_fields: {site: a}\n",
                                  (3, "publish.topic_fields", "publish.layout: tag")),
    "topic without the layout": ("devices/press.yaml", MODBUS + TAG + "publish: {topic: 'a/{tag}'}\n",
                                 (5, "publish.topic", "has no effect with another layout")),
    "topic for Sparkplug": ("gateway.yaml", "name: g\npublish:\n  layout: sparkplug\n  topic: 'a/{tag}'\n",
                            (4, "publish.topic", "has no effect with another layout")),
    "retain without the layout": ("gateway.yaml", "name: g\npublish:\n  retain: true\n",
                                  (3, "publish.retain", "publish.layout: tag")),
    "limit of a text": ("tags/press.csv", "name,address,type,length,hi\na,holding:1,string,4,80\n",
                        (2, "hi", "no numbers (expected a type of numbers, or no hi)")),
    "deadband of raw bytes": ("devices/press.yaml", MODBUS +
                              "tags:\n  - {name: a, address: holding:7, type: bytes, length: 4, deadband: 1%}\n",
                              (4, "tags.0.deadband", "no numbers")),
    "anomaly of a text": ("devices/press.yaml", MODBUS +
                          "tags:\n  - {name: a, address: holding:7, type: string, length: 4, anomaly: 5}\n",
                          (4, "tags.0.anomaly", "no numbers")),
    "unknown detector": ("devices/press.yaml", MODBUS + "tags:\n  - name: a\n    address: holding:7\n"
                         "    anomaly:\n      - emwa: {threshold: 6}\n",
                         (7, "tags.0.anomaly.0", "'emwa' is not a known detector (expected ewma?)")),
    "setting of a detector": ("devices/press.yaml", MODBUS + "tags:\n  - name: a\n    address: holding:7\n"
                              "    anomaly:\n      - ewma:\n          threshold: 6\n          memory: 5\n",
                              (9, "tags.0.anomaly.0.ewma.memory", "a number with a unit")),
    "unknown setting of a detector": ("devices/press.yaml", MODBUS + TAG + "defaults:\n  anomaly:\n"
                                      "    - ewma: {threshold: 6, memry: 1min}\n",
                                      (7, "defaults.anomaly.0.ewma.memry", "memory?")),
    "detector without its threshold": ("gateway.yaml", "name: g\ndefaults:\n  anomaly:\n    - ewma\n",
                                       (4, "defaults.anomaly.0.ewma.threshold", "is missing")),
    "detector twice": ("gateway.yaml", "name: g\ndefaults:\n  anomaly: [ewma, ewma]\n",
                       (3, "defaults.anomaly", "ewma is listed twice")),
    "detector as a number in a list": ("gateway.yaml", "name: g\ndefaults:\n  anomaly: [6]\n",
                                       (3, "defaults.anomaly", "a name with settings: - ewma: {threshold: 6}")),
    "threshold of a spreadsheet": ("tags/press.csv", "name,address,anomaly\na,holding:1,ewma\n",
                                   (2, "anomaly", "a list of detectors stands in YAML, without quotes and not in a cell")),
    "list in a cell": ("tags/press.csv", "name,address,anomaly\na,holding:1,[{ewma: 6}]\n",
                       (2, "anomaly", "'[{ewma: 6}]' is no z-score; expected on, off or a number from 1")),
    "truth for a threshold where another tag has 1": (
        "gateway.yaml", "name: g\ndefaults:\n  anomaly:\n    - ewma: {threshold: true}\n",
        (4, "defaults.anomaly.0.ewma.threshold", "is not a number"),
    ),
    "field of the gateway's own": ("gateway.yaml", "name: g\npublish:\n  topic_fields: {device: x}\n",
                                   (3, "publish.topic_fields.device", "filled in by the gateway")),
    "field with an empty level": ("gateway.yaml", "name: g\npublish:\n  topic_fields:\n    site: a//b\n",
                                  (4, "publish.topic_fields.site", "must not be empty")),
    "field with a wildcard": ("gateway.yaml", "name: g\npublish:\n  topic_fields:\n    site: a/+\n",
                              (4, "publish.topic_fields.site", "'+'")),
    "field that is a number": ("gateway.yaml", "name: g\npublish:\n  topic_fields:\n    site: 7\n",
                               (4, "publish.topic_fields.site", "put it in quotes")),
    "a tag on the status topic": ("devices/press.yaml",
                                  MODBUS + "publish: {layout: tag, topic: '{root}/v1/{gateway}/{tag}'}\n"
                                  "tags:\n  - {name: status, address: coil:1}\n",
                                  (5, "tags.0.name", "already that of the gateway's status")),
    "sparkplug for one device": ("devices/press.yaml", MODBUS + TAG + "publish: {layout: sparkplug}\n",
                                 (5, "publish.layout", "expected device or tag")),
    "sparkplug section without the layout": ("gateway.yaml", "name: g\npublish:\n  sparkplug: {group: a}\n",
                                             (3, "publish.sparkplug", "publish.layout: sparkplug")),
    "sparkplug with a format": ("gateway.yaml", "name: g\npublish:\n  layout: sparkplug\n  format: cbor\n",
                                (4, "publish.format", "protobuf")),
    "sparkplug without a group": ("gateway.yaml", "name: g\npublish: {layout: sparkplug}\nmqtt: {root: a/b}\n",
                                  (2, "publish.layout", "publish.sparkplug.group")),
    "sparkplug with a kept session": ("gateway.yaml", "name: g\npublish: {layout: sparkplug}\nmqtt:\n  clean_start: false\n",
                                      (4, "mqtt.clean_start", "clean session")),
    "sparkplug with an expiry": ("gateway.yaml", "name: g\npublish: {layout: sparkplug}\nmqtt:\n  expiry: 1h\n",
                                 (4, "mqtt.expiry", "no expiry")),
    "sparkplug group of several levels": ("gateway.yaml", "name: g\npublish: {sparkplug: {group: a/b}}\n",
                                          (2, "publish.sparkplug.group", "'/'")),
    "payload format": ("gateway.yaml", "name: g\npublish:\n  format: xml\n", (3, "publish.format", "or 'plain'")),
    "payload format of a device": ("devices/press.yaml", MODBUS + TAG + "publish: {format: xml}\n",
                                   (5, "publish.format", "or 'plain'")),
    "publish key of a device": ("devices/press.yaml", MODBUS + TAG + "publish:\n  windows: all\n",
                                (6, "publish.windows", "format")),
    "publish of a device is text": ("devices/press.yaml", MODBUS + TAG + "publish: cbor\n", (5, "publish", "not a mapping")),
    "section is a number": ("gateway.yaml", "name: g\nmqtt: 5\n", (2, "mqtt", "not a mapping")),
    "root is a list": ("gateway.yaml", "- a\n- b\n", (1, "", "not a mapping")),
    "root with a bad scalar": ("gateway.yaml", "- !!int x\n", (1, "0", "cannot be understood")),
    "broken YAML": ("gateway.yaml", "name: g\nmqtt: [1, 2\nwindow: {}\n", (3, "", "not valid YAML")),
    "tab in YAML": ("gateway.yaml", "name: g\nmqtt:\n\turl: x\n", (3, "", "begins with a tab")),
    "decimal comma": ("gateway.yaml", "name: g\ndefaults:\n  deadband: '0,5'\n", (3, "defaults.deadband", "such as 1%")),
    "decimal comma elsewhere": ("devices/press.yaml", MODBUS + "tags:\n  - {name: a, address: holding:7, scale: '0,1'}\n",
                                (4, "tags.0.scale", "with a point")),
    "value without end": ("gateway.yaml", f"name: g\nmqtt:\n  in_flight: {'x' * 5000}\n", (3, "mqtt.in_flight", "xxx...")),
    "two documents": ("gateway.yaml", "name: g\n---\nname: h\n", (2, "", "another document")),
    "unknown alias": ("gateway.yaml", "name: *x\n", (1, "", "undefined alias")),
    "not UTF-8": ("gateway.yaml", "# eins\n# zwei\nname: Öl\n".encode("latin-1"), (3, "", "UTF-8")),
    "nested for ever": ("gateway.yaml", "name: g\na: " + "[" * 100_000, (2, "", "nested too deeply")),
    "nested by dashes": ("gateway.yaml", "name: g\na:\n" + " -" * 50_000, (3, "", "nested too deeply")),
    "refers to itself": ("gateway.yaml", "name: g\na: &x [*x, *x, *x, *x]\n", (2, "", "repeats itself")),
    "device is text": ("devices/press.yaml", "modbus\n", (1, "", "not a mapping")),
    "device is empty": ("devices/press.yaml", "# nothing yet\n", (1, "", "not a mapping")),
    "device broken": ("devices/press.yaml", "protocol: modbus\nurl: 'x\n", (3, "", "not valid YAML")),
    "protocol missing": ("devices/press.yaml", "url: tcp://h\n", (1, "protocol", "modbus or opcua")),
    "protocol unknown": ("devices/press.yaml", "url: x\nprotocol: profinet\n", (2, "protocol", "'profinet' is not known")),
    "protocol a list": ("devices/press.yaml", "url: x\nprotocol: [modbus]\n", (2, "protocol", "is not known")),
    "device url": ("devices/press.yaml", "protocol: modbus\nurl: http://h\n" + TAG, (2, "url", "tcp://host")),
    "device url missing": ("devices/press.yaml", "protocol: modbus\n" + TAG, (1, "url", "is missing")),
    "unit impossible": ("devices/press.yaml", MODBUS + "unit: 300\n" + TAG, (3, "unit", "less than or equal to 255")),
    "no tags": ("devices/press.yaml", MODBUS, (1, "tags", "no tags")),
    "tags no list": ("devices/press.yaml", MODBUS + "tags: {a: 1}\n", (3, "tags", "not a list")),
    "tag no mapping": ("devices/press.yaml", MODBUS + TAG + "  - oil\n", (5, "tags.1", "'oil' is not a tag")),
    "address": ("devices/press.yaml", MODBUS + "tags:\n  - name: a\n    address: 40001\n",
                (5, "tags.0.address", "holding:0 for the same place")),
    "address out of range": ("devices/press.yaml", MODBUS + "tags:\n  - {name: a, address: coil:70000}\n",
                             (4, "tags.0.address", "0 to 65535")),
    "type does not fit": ("devices/press.yaml", MODBUS + "tags:\n  - {name: a, address: coil:7, type: float32}\n",
                          (4, "tags.0.type", "expected bool")),
    "node": ("devices/line.yaml", LINE.replace("ns=2;s=Speed", "Speed"), (4, "tags.0.node", "NodeId such as")),
    "key of an entry": ("devices/line.yaml", LINE + "browse:\n  - root: i=85\n    includes: a\n",
                        (7, "browse.0.includes", "include?")),
    "no list": ("devices/line.yaml", LINE + "urls: opc.tcp://b\n", (5, "urls", "a list: [one, another]")),
    "keys that belong together": ("devices/line.yaml", LINE + "username: me\n", (5, "username", "expected password too")),
    "comma in a node": ("devices/line.yaml", LINE.replace("s=Speed", "s=a,b"),
                        (4, "tags.0.b", "a text with a comma goes in quotes")),
    "where servers listen": ("devices/line.yaml", LINE.replace("10.0.0.6", "0.0.0.0"), (2, "url", "nobody finds it")),
    "comment in a flow": ("devices/press.yaml", MODBUS + "tags:\n  - {name: a #1, address: coil:7}\n",
                          (5, "", "a text with # , : { } [ ] in quotes")),
    "crooked indentation": ("devices/press.yaml", MODBUS + " timeout: 1s\n" + TAG, (3, "", "begin in the same column")),
    "limits out of order": ("devices/press.yaml", MODBUS + "tags:\n  - {name: a, address: coil:7, lo: 3, hi: 2}\n",
                            (4, "tags.0.lo", "lo (3) must lie below hi (2)")),
    "limits far out of order": ("devices/press.yaml", MODBUS + "tags:\n  - {name: a, address: coil:7, lolo: 3, hihi: 2}\n",
                                (4, "tags.0.lolo", "lolo (3) must lie below hihi (2)")),
    "number beyond all measure": ("devices/press.yaml", MODBUS + f"timeout: 1{'0' * 400}s\n" + TAG,
                                  (3, "timeout", "out of range")),
    "tag name": ("devices/press.yaml", MODBUS + "tags:\n  - {name: a/b, address: coil:7}\n", (4, "tags.0.name", "'/'")),
    "tag twice": ("devices/press.yaml", MODBUS + TAG + "  - name: a\n    address: coil:1\n",
                  (5, "tags.1.name", "press.yaml:4")),
    "tag twice over files": ("devices/press.yaml", PRESS + "tags:\n  - {name: pressure, address: coil:7}\n",
                             (3, "name", "press.yaml:5")),
    "device twice": ("devices/press.yaml", PRESS + "name: line\n", (4, "name", "line.yaml")),
    "tag file missing": ("devices/press.yaml", MODBUS + "tag_file: pres.csv\n", (3, "tag_file", "press.csv?")),
    "tag file elsewhere": ("devices/press.yaml", MODBUS + "tag_file: ../press.csv\n", (3, "tag_file", "not a file name")),
    "tag file no text": ("devices/press.yaml", MODBUS + "tag_file: [press.csv]\n", (3, "tag_file", "not a file name")),
    "tag file unnameable": ("devices/press.yaml", MODBUS + f"tag_file: {'x' * 300}\n", (3, "tag_file", "does not exist")),
    "CSV column": ("tags/press.csv", CSV.replace("address", "adress"), (1, "adress", "address?")),
    "CSV without name": ("tags/press.csv", CSV.replace("name,", "tag,"), (1, "", "no column 'name'")),
    "CSV column twice": ("tags/press.csv", CSV.replace("unit", "type"), (1, "type", "twice in the header")),
    "CSV too many cells": ("tags/press.csv", CSV.replace("bar", "bar,5"), (3, "", "5 cells")),
    "CSV column without name": ("tags/press.csv", CSV.replace(",unit", ",").replace("°C", ""),
                                (3, "", "column without a name")),
    "CSV empty": ("tags/press.csv", "\n \n", (1, "", "is empty")),
    "CSV unclosed quote": ("tags/press.csv", CSV + 'x,"holding:9\n', (4, "", "not valid CSV")),
    "CSV unclosed quote far above": ("tags/press.csv", CSV + 'x,"holding:9\n' + "y,holding:1,,\n" * 500,
                                     (4, "", "does not end")),
    "CSV decimal comma in percent": ("tags/press.csv", 'name,address,deadband\na,holding:1,"0,5%"\n',
                                     (2, "deadband", "with a point")),
    "CSV decimal comma": ("tags/press.csv", 'name,address,hi\na,holding:1,"1,5"\n', (2, "hi", "with a point")),
    "CSV bad address": ("tags/press.csv", CSV.replace("holding:2", "2"), (3, "address", "'2' is not a Modbus address")),
    "CSV tag twice": ("tags/press.csv", CSV + "oil_temp,holding:9,,\n", (4, "name", "press.csv:2")),
    "CSV after a long cell": ("tags/press.csv", CSV.replace("°C", '"°C\n(oil)\n"') + "x,y,,\n",
                              (6, "address", "'y' is not")),
}  # fmt: skip


@pytest.mark.parametrize("what", ONE)
def test_a_problem_has_file_line_key_and_expectation(tmp_path: Path, what: str) -> None:
    """Exactly one problem, and it says where it is and what was expected."""
    file, content, (line, key, said) = ONE[what]
    (problem,) = problems_of(write(tmp_path, {file: content}))
    assert (problem.line, problem.key) == (line, key)
    assert problem.file == ("tags/press.csv" if what == "tag twice over files" else file)
    assert said in f"{problem.message} (expected {problem.expected})"


def test_all_problems_of_all_files_come_at_once(tmp_path: Path) -> None:
    """Nobody has to repair one mistake to be told the next; the list is ordered by file and line."""
    found = places_of(
        write(
            tmp_path,
            {
                "gateway.yaml": "nam: g\nwindow:\n  grace: 5\noutbox:\n  path: 7\n  max_age: x\n",
                "devices/press.yaml": PRESS + "unit: 999\ninterval: 1\ntags:\n  - {name: a}\n  - {name: b/c, address: 1}\n",
                "devices/line.yaml": "protocol: opcua\nurl: [\n",
                "devices/oven.yaml": "protocol: s7\n",
                "tags/press.csv": "name,address,hi,lo\na#,holding:1,1,2\nb,coil:x,,\n",
            },
        )
    )
    assert found == sorted(found, key=lambda place: place[:2])
    assert set(found) == {
        ("gateway.yaml", 1, "nam"), ("gateway.yaml", 1, "name"), ("gateway.yaml", 3, "window.grace"),
        ("gateway.yaml", 5, "outbox.path"), ("gateway.yaml", 6, "outbox.max_age"),
        ("devices/press.yaml", 4, "unit"), ("devices/press.yaml", 5, "interval"),
        ("devices/press.yaml", 7, "tags.0.address"),
        ("devices/press.yaml", 8, "tags.1.name"), ("devices/press.yaml", 8, "tags.1.address"),
        ("devices/line.yaml", 3, ""), ("devices/oven.yaml", 1, "protocol"),
        ("tags/press.csv", 2, "name"), ("tags/press.csv", 3, "address"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("files", "place", "said"),
    [
        ({"gateway.yaml": None}, ("gateway.yaml", 0), "no such file"),
        ({"devices/press.yaml": None, "devices/line.yaml": None}, ("devices", 0), "no enabled device"),
        ({"devices/press.yaml": None, "devices/line.yaml": "enabled: false\n" + LINE}, ("devices", 0), "no enabled device"),
    ],
)
def test_what_is_missing_is_said_once(tmp_path: Path, files: dict[str, None], place: tuple[str, int], said: str) -> None:
    """A file, or all devices: one problem, not a chain of its consequences."""
    (problem,) = problems_of(write(tmp_path, dict(files)))
    assert ((problem.file, problem.line), problem.message) == (place, said)


def test_a_missing_folder_is_a_problem_like_any_other(tmp_path: Path) -> None:
    """No such folder, or a file in its place."""
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        (tmp_path / "file").write_text(ROOT)
        with pytest.raises(ConfigError, match=r"no such folder|is a file"):
            load(path)


def test_a_folder_in_place_of_a_file_is_a_problem_like_any_other(tmp_path: Path) -> None:
    """`devices/x.yaml/` and `gateway.yaml/` cannot be read."""
    write(tmp_path, {"gateway.yaml": None})
    (tmp_path / "gateway.yaml").mkdir()
    (tmp_path / "devices" / "x.yaml").mkdir()
    assert {(p.file, p.message) for p in problems_of(tmp_path)} == {
        ("gateway.yaml", "is not a file"),
        ("devices/x.yaml", "is not a file"),
    }


def test_a_disabled_device_is_still_checked(tmp_path: Path) -> None:
    """It will be enabled one day; only missing tags are forgiven."""
    assert places_of(write(tmp_path, {"devices/press.yaml": MODBUS + "enabled: false\nunit: 999\n"})) == [
        ("devices/press.yaml", 4, "unit")
    ]
    load(write(tmp_path, {"devices/press.yaml": MODBUS + "enabled: false\n"}))


def test_a_password_is_never_quoted_back(tmp_path: Path) -> None:
    """Problems end up in logs."""
    text = "name: g\nmqtt:\n  username: u\n  password: 4711\n"
    (problem,) = problems_of(write(tmp_path, {"gateway.yaml": text}))
    assert "4711" not in str(problem)
    assert (problem.line, problem.key) == (4, "mqtt.password")


def test_no_password_is_quoted_back(tmp_path: Path) -> None:
    """Wherever it stands: wrong type, wrong tag, in an address, under the wrong key."""
    device = "protocol: opcua\nurl: opc.tcp://me:s3cret@h\npassword: [s3cret]\ntags: [{name: a, node: i=1}]\n"
    root = "name: g\nmqtt:\n  url: mqtt://me:s3cret@h\n  username: {password: s3cret}\n  password: !!int s3cret\n"
    write(
        tmp_path,
        {"gateway.yaml": root, "devices/line.yaml": device, "devices/b.yaml": "protocol: modbus\nurl: x://me:s3cret@h"},
    )
    told = [str(problem) for problem in problems_of(tmp_path)]
    assert len(told) >= 5
    assert not [text for text in told if "s3cret" in text]


def test_pipes_folders_and_circles_are_no_configuration(tmp_path: Path) -> None:
    """Nothing waits for ever, and a folder that cannot be read is no empty one."""
    write(tmp_path)
    os.mkfifo(tmp_path / "devices" / "a.yaml")
    (tmp_path / "tags" / "b.csv").symlink_to("b.csv")
    (tmp_path / "devices" / "c.yaml").symlink_to("c.yaml")
    assert {(p.file, p.message) for p in problems_of(tmp_path)} == {
        ("devices/a.yaml", "is not a file"),
        ("devices/c.yaml", "cannot be read: Too many levels of symbolic links"),
    }


def test_files_are_found_beside_the_configuration_and_missed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative paths count from the folder, `~` from home; what is not there is a warning, not an end."""
    monkeypatch.setenv("HOME", "/home/me")
    root = "name: g\noutbox: {path: box.db}\nmqtt: {url: mqtts://h, tls: {ca: ~/ca.pem}}\n"
    press = PRESS.replace("tcp://10.0.0.5", "tls://h?ca=own.pem")
    settings = load(write(tmp_path, {"gateway.yaml": root, "devices/press.yaml": press}))
    assert settings.root.outbox.path == tmp_path / "box.db"
    assert settings.root.mqtt.tls.ca == Path("/home/me/ca.pem")
    assert settings.warnings == (
        f"{tmp_path}/gateway.yaml: mqtt.tls.ca: /home/me/ca.pem does not exist",
        f"{tmp_path}/devices/press.yaml: url: ca=: {tmp_path}/own.pem does not exist",
    )


def test_a_file_where_one_may_not_look_cannot_be_read(tmp_path: Path) -> None:
    """Not a bug of `check`, and not absent for certain. A name too long for a file system stands for such a folder."""
    hidden = "/" + "x" * 300
    root = f"name: g\noutbox: {{path: {hidden}}}\nmqtt: {{url: mqtts://h, tls: {{ca: {hidden}}}}}\n"
    settings = load(write(tmp_path, {"gateway.yaml": root}))
    assert settings.warnings == (f"{tmp_path}/gateway.yaml: mqtt.tls.ca: {hidden} cannot be read",)


def test_two_tags_on_one_topic_are_named_with_both_places(tmp_path):
    """A template that leaves out the device, and two devices with a tag of one name."""
    shared = "tags:\n  - {name: speed, address: coil:1}\n"
    files = {
        "gateway.yaml": ROOT + "publish: {layout: tag, topic: '{root}/{tag}'}\n",
        "devices/a.yaml": MODBUS + shared, "devices/b.yaml": MODBUS + shared,
        "devices/press.yaml": None, "devices/line.yaml": None, "tags/press.csv": None,
    }  # fmt: skip
    (problem,) = problems_of(write(tmp_path, files))
    assert (problem.file, problem.line, problem.key) == ("devices/b.yaml", 4, "tags.0.name")
    assert "'plant/speed' is already that of tag a/speed" in problem.message
    assert "devices/a.yaml:4" in problem.message


def test_a_tag_on_the_topic_of_another_tag_s_events_is_refused(tmp_path):
    """`x` has events on x/event; a tag of another template lies there."""
    files = {
        "devices/a.yaml": MODBUS + TAG + "publish: {layout: tag, topic: 'all/{tag}'}\n",
        "devices/b.yaml": MODBUS
        + "tags:\n  - {name: event, address: coil:1}\npublish: {layout: tag, topic: 'all/a/{tag}'}\n",
    }
    (problem,) = problems_of(write(tmp_path, files))
    assert (problem.file, problem.line) == ("devices/b.yaml", 4)
    assert "already that of tag a/a" in problem.message


SAYS: dict[str, tuple[dict[str, str | bytes | None], tuple[str, int, str]]] = {
    "a truth in another language": (
        {"gateway.yaml": "name: g\npublish: {summaries: ja}\n"}, ("gateway.yaml", 2, "true or false"),
    ),
    "a quote without end": (
        {"gateway.yaml": 'name: "g\nmqtt:\n  root: a\n'}, ("gateway.yaml", 4, "that begins in line 1"),
    ),
    "another ending of the name": ({"gateway.yaml": None, "gateway.yml": ROOT}, ("gateway.yaml", 0, "gateway.yml to be")),
    "CSV in no encoding": ({"tags/press.csv": CSV.encode() + b"\x81\xff"}, ("tags/press.csv", 4, "CSV UTF-8")),
    "UTF-16": ({"gateway.yaml": ROOT.encode("utf-16")}, ("gateway.yaml", 1, "expected UTF-8)")),
    "a header in capitals": ({"tags/press.csv": CSV.replace("name", "Name")}, ("tags/press.csv", 1, "not 'Name'")),
}  # fmt: skip


@pytest.mark.parametrize("case", SAYS)
def test_messages_say_what_helps(case: str, tmp_path: Path) -> None:
    files, (file, line, words) = SAYS[case]
    told = [str(p) for p in problems_of(write(tmp_path, files)) if (p.file, p.line) == (file, line)]
    assert [text for text in told if words in text], told


def test_all_problems_of_a_table_come_at_once(tmp_path: Path) -> None:
    """A wrong cell, a name that stands twice, once in a wrong row; a wrong header does not hide the names."""
    table = "name,address,{}\na,holding:0,\na,nowhere:1,\nb,coil:1,\nb,coil:2,bool\n"
    assert sorted(places_of(write(tmp_path, {"tags/press.csv": table.format("type")}))) == [
        ("tags/press.csv", 3, "address"),
        ("tags/press.csv", 3, "name"),
        ("tags/press.csv", 5, "name"),
    ]
    assert sorted(places_of(write(tmp_path, {"tags/press.csv": table.format("typ")}))) == [
        ("tags/press.csv", 1, "typ"),
        ("tags/press.csv", 3, "name"),
        ("tags/press.csv", 5, "name"),
    ]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a file .expected the folder it lies in"):
        load(write(tmp_path) / "gateway.yaml")


def test_passwords_that_others_can_read_are_a_warning(tmp_path: Path) -> None:
    files = {
        "gateway.yaml": "name: g\nmqtt: {url: mqtt://far, username: me, password: x}\n",
        "devices/line.yaml": LINE + "username: me\npassword: x\n",
        "devices/press.yaml": PRESS + "# password: x\n",
    }
    write(tmp_path, files)
    (tmp_path / "gateway.yaml").chmod(0o640)
    (tmp_path / "devices" / "line.yaml").chmod(0o644)
    found = "\n".join(load(tmp_path).warnings)
    assert "line.yaml: everybody on this machine can read its password" in found
    assert "mqtt.password travels in clear" in found
    assert "press.yaml" not in found
    assert "gateway.yaml: everybody" not in found


def test_a_device_cannot_leave_sparkplug(tmp_path):
    files = {
        "gateway.yaml": ROOT + "publish: {layout: sparkplug}\n",
        "devices/press.yaml": PRESS + "publish: {layout: tag, topic: '{x}/{tag}'}\n",
    }
    (problem,) = problems_of(write(tmp_path, files))
    assert (problem.file, problem.line, problem.key) == ("devices/press.yaml", 4, "publish")
    assert "for all devices together" in problem.message


def test_an_outbox_behind_a_link_is_refused(tmp_path: Path) -> None:
    """Whoever can make a link could have the gateway write to any file of its user."""
    (tmp_path / "outbox.db").symlink_to(tmp_path / "o.db")
    (problem,) = problems_of(write(tmp_path / "config", {"gateway.yaml": ROOT + f"outbox:\n  path: {tmp_path}/outbox.db\n"}))
    assert (problem.file, problem.key) == ("gateway.yaml", "outbox.path")
    assert "is a symbolic link; expected the file itself" in problem.message
