"""`sinks:` of gateway.yaml: what holds for each, and what is refused with its line."""

from pathlib import Path

import pytest

from gateway.settings import load
from tests.unit.settings.folders import problems_of, write

TWO = """name: g
outbox: {max_bytes: 100MiB, memory: 12MiB, backlog_messages: 7}
publish: {format: cbor}
sinks:
  - {name: a, kind: mqtt, root: site, username: u, password: !secret broker}
  - name: b
    kind: mqtt
    streams: [events, summaries]
    publish: {layout: tag, topic: "{gateway}/{device}/{tag}"}
    outbox: {max_bytes: 36MiB, backlog_order: newest-first}
"""


def problem(folder: Path, text: str) -> tuple[int, str, str]:
    (found,) = problems_of(write(folder, {"gateway.yaml": text}))
    return found.line, found.key, found.message + (f"; {found.expected}" if found.expected else "")


def test_each_sink_has_its_own_and_takes_the_rest_from_all(tmp_path):
    settings = load(write(tmp_path, {"gateway.yaml": TWO}))
    a, b = settings.root.all_sinks
    assert (a.publish.layout, a.publish.format) == ("device", "cbor")
    assert (b.publish.layout, b.publish.format) == ("tag", "cbor")
    assert (a.outbox.max_bytes >> 20, b.outbox.max_bytes >> 20) == (64, 36)
    assert (a.outbox.memory >> 20, b.outbox.memory >> 20) == (6, 6)
    assert (a.outbox.backlog_order, b.outbox.backlog_order) == ("oldest-first", "newest-first")
    assert a.outbox.backlog_messages == b.outbox.backlog_messages == 7
    assert b.streams == {"events", "summaries"}
    assert settings.root.topic_root == "site"
    assert [scope.config.layout for scope in settings.layout_scopes] == ["device", "tag"]
    assert [secret.name for secret in settings.secrets] == ["broker"]


def test_a_section_alone_is_one_sink_as_ever(tmp_path):
    settings = load(write(tmp_path, {"gateway.yaml": "name: g\nmqtt: {url: mqtt://x}\n"}))
    (one,) = settings.root.all_sinks
    assert not one.is_listed
    assert (one.config, one.publish, one.outbox) == (settings.root.mqtt, settings.root.publish, settings.root.outbox)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("sinks: {a: 1}\n", (2, "sinks", "is not a list")),
        ("sinks:\n  - {kind: mqtt}\n", (3, "sinks.0.name", "is missing")),
        ("sinks:\n  - {name: a}\n", (3, "sinks.0.kind", "is missing")),
        ("sinks:\n  - {name: a, kind: mqt}\n", (3, "sinks.0.kind", "is not allowed")),
        ("sinks:\n  - {name: a, kind: mqtt, ulr: x}\n", (3, "sinks.0.ulr", "is not a known key; url?")),
        ("sinks:\n  - {name: a, kind: mqtt, url: http://x}\n", (3, "sinks.0.url", "mqtt")),
        ("sinks:\n  - {name: A B, kind: mqtt}\n", (3, "sinks.0.name", "")),
        ("sinks:\n  - {name: a, kind: mqtt, streams: [window]}\n", (3, "sinks.0.streams.0", "'windows'")),
        ("sinks:\n  - {name: a, kind: mqtt}\n  - {name: a, kind: mqtt}\n", (2, "sinks", "name of two sinks")),
        ("sinks:\n  - {name: a, kind: mqtt, was: b}\n  - {name: b, kind: mqtt}\n", (2, "sinks", "was: b")),
        ("mqtt: {}\nsinks:\n  - {name: a, kind: mqtt}\n", (3, "sinks", "both given")),
        (
            "outbox: {max_bytes: 40MiB}\nsinks:\n  - {name: a, kind: mqtt}\n"
            "  - {name: b, kind: mqtt, outbox: {max_bytes: 30MiB}}\n",
            (2, "outbox", "too small for 2 sinks"),
        ),
        (
            "sinks:\n  - {name: a, kind: mqtt, root: x}\n  - {name: b, kind: mqtt, root: y}\n",
            (4, "sinks.1.root", "not the root of the first sink"),
        ),
        (
            "sinks:\n  - {name: a, kind: mqtt}\n  - {name: b, kind: mqtt, publish: {layout: tag, topic: x}}\n",
            (4, "sinks.1.publish.topic", ""),
        ),
    ],
)
def test_faults_name_their_place(tmp_path, text, place):
    found = problem(tmp_path, f"name: g\n{text}")
    assert found[:2] == place[:2], found
    assert place[2] in found[2]


def test_a_device_cannot_have_the_topic_of_a_sinks_records(tmp_path):
    files = {"gateway.yaml": TWO, "devices/sink-a.yaml": "protocol: modbus\nurl: tcp://h\ntag_file: press.csv\n"}
    (found,) = problems_of(write(tmp_path, files))
    assert (found.file, found.key) == ("devices/sink-a.yaml", "name")


def test_statistics_are_for_all_sinks(tmp_path):
    found = problem(tmp_path, "name: g\nsinks:\n  - {name: a, kind: mqtt, publish: {statistics: [mean]}}\n")
    assert found[1] == "sinks.0.publish.statistics"


def test_two_sinks_at_one_place_are_a_warning(tmp_path):
    sinks = "sinks:\n  - {name: a, kind: mqtt}\n  - {name: b, kind: mqtt}\n"
    found = load(write(tmp_path, {"gateway.yaml": f"name: g\n{sinks}"})).warnings
    assert [text for text in found if "a and b both publish to mqtt://localhost:1883" in text]
