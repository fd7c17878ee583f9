"""Files and variables as large as somebody can make them: a clear problem soon, and memory that does not grow with them.

Each attack is loaded in a process of its own with a limit of processor time, 20 times what it needs, so that neither a busy
machine nor other tests decide. Before there were ceilings most of them took minutes, or ended in a traceback.
"""

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.settings import ceilings, load
from tests.unit.settings.folders import LINE, PRESS, ROOT, problems_of, write

CPU_S = 20
MEMORY_MIB = 128
M = 3_000_000
TAG = "{name: a, address: 'holding:1'}"


def listed(count: int, item: str) -> str:
    return "".join(item.replace("NUMBER", str(n)) for n in range(count))


def node(text: str) -> dict[str, str]:
    return {"devices/line.yaml": LINE.replace("ns=2;s=Speed", f"'{text}'")}


def root(text: str) -> dict[str, str]:
    return {"gateway.yaml": ROOT + text}


ATTACKS: dict[str, Callable[[], dict[str, str]]] = {
    "header of 100,000 columns": lambda: {"tags/press.csv": f"name,address{listed(100_000, ',cNUMBER')}\na,holding:1\n"},
    "the same column 100,000 times": lambda: {"tags/press.csv": "name,address" + ",x" * 100_000 + "\na,holding:1\n"},
    "200 unknown columns": lambda: {"tags/press.csv": f"name,address{listed(198, ',cNUMBER')}\na,holding:1{',1' * 198}\n"},
    "long cell": lambda: {"tags/press.csv": "name,address\n" + "a" * M + ",holding:1\n"},
    "long column": lambda: {"tags/press.csv": "name,address," + "a" * 100_000 + "\na,holding:1,1\n"},
    "bad rows": lambda: {"tags/press.csv": f"name,address\n{listed(50_000, 'aNUMBER,holdng:1' + chr(10))}"},
    "equal rows": lambda: {"tags/press.csv": "name,address\n" + "a,holding:1\n" * 50_000},
    "empty lines": lambda: {"tags/press.csv": "\n" * M},
    "one open quote": lambda: {"tags/press.csv": "name,address\n" + '"' * M},
    "list of 20,000 devices": lambda: {"devices/many.yaml": "protocol: modbus\ndevices:\n" + listed(
        20_000, f"- {{name: dNUMBER, url: 'tcp://h', unit: 1, tags: [{TAG}]}}\n")},
    "list of 9,000 equal devices": lambda: {"devices/many.yaml": "protocol: modbus\ndevices:\n" + (
        f"- {{name: d, url: 'tcp://h', tags: [{TAG}]}}\n" * 9_000)},
    "list of 9,000 bad devices": lambda: {"devices/many.yaml": "devices:\n" + listed(9_000, "- {name: dNUMBER, unit: 3}\n")},
    "list of 9,000 numbers": lambda: {"devices/many.yaml": "devices:\n" + "- 1\n" * 9_000},
    "decimal number": lambda: root("mqtt: {in_flight: " + "9" * M + "}\n"),
    "hexadecimal number": lambda: root("mqtt: {in_flight: 0x" + "9" * M + "}\n"),
    "hexadecimal number of 5,000 digits": lambda: root("mqtt: {in_flight: 0x" + "9" * 5000 + "}\n"),
    "sexagesimal number": lambda: root("mqtt: {in_flight: 1" + ":59" * 300_000 + "}\n"),
    "tagged number": lambda: root("mqtt: {in_flight: !!int " + "9" * M + "}\n"),
    "timestamp": lambda: root("mqtt: {username: 2024-01-01 00:00:00." + "0" * M + "}\n"),
    "duration": lambda: root("window: {length: " + "9" * 60_000 + "s}\n"),
    "spaces in a duration": lambda: root("window: {length: '1" + " " * 60_000 + "!'}\n"),
    "name": lambda: {"gateway.yaml": f"name: {'x' * M}\n"},
    "name of control characters": lambda: {"gateway.yaml": 'name: "' + "\\x01" * 10_000 + '"\n'},
    "key": lambda: {"gateway.yaml": "? " + "k" * M + "\n: 1\n"},
    "150,000 unknown keys": lambda: {"gateway.yaml": listed(150_000, "kNUMBER: 1\n")},
    "150,000 unknown keys below": lambda: root("mqtt:\n" + listed(150_000, "  kNUMBER: 1\n")),
    "keys that stand twice": lambda: {"gateway.yaml": "name: a\n" * 150_000},
    "lists as keys": lambda: {"gateway.yaml": ROOT + "? [a]\n: 1\n" * 60_000},
    "3 million values": lambda: {"gateway.yaml": "a: [" + "1," * M + "]\n"},
    "brackets": lambda: {"gateway.yaml": "[" * M},
    "dashes": lambda: {"gateway.yaml": "- " * M},
    "aliases that double": lambda: {"gateway.yaml": "a0: &a0 [1,1,1,1,1,1,1,1]\n" + "".join(
        f"a{n + 1}: &a{n + 1} [{','.join([f'*a{n}'] * 8)}]\n" for n in range(15))},
    "alias of itself": lambda: root("mqtt: &a {x: *a}\n"),
    "%TAG": lambda: {"gateway.yaml": listed(100_000, "%TAG !eNUMBER! tag:e,2000:\n") + "---\n" + ROOT},
    "documents": lambda: {"gateway.yaml": "---\n" * 300_000},
    "larger than 8 MiB": lambda: {"gateway.yaml": "#" * (ceilings.YAML_BYTES + 1)},
    "node": lambda: node("ns=2;s=" + "x" * 60_000),
    "namespace": lambda: node("ns=" + "2" * 60_000 + ";s=a"),
    "numeric node": lambda: node("i=" + "2" * 60_000),
    "opaque node": lambda: node("ns=2;b=" + "A" * 60_001),
    "browse path": lambda: node("/a" * 30_000),
    "browse path of digits": lambda: node("/" + "1" * 60_000 + ":a"),
    "browse path of escapes": lambda: node("/" + "&" * 59_999),
    "fields of events": lambda: {"devices/line.yaml": LINE + f"events: [{{fields: [{listed(50_000, 'FNUMBER,')}]}}]\n"},
    "servers": lambda: {"devices/line.yaml": LINE + f"urls: [{listed(20_000, 'opc.tcp://hNUMBER, ')}]\n"},
    "patterns": lambda: {"devices/line.yaml": LINE + f"browse: {{include: [{listed(100_000, 'FNUMBER,')}]}}\n"},
    "ranges": lambda: {"devices/press.yaml": PRESS + f"forbidden: [{listed(20_000, 'holding:NUMBER,')}]\n",
                       "tags/press.csv": f"name,address\n{listed(20_000, 'aNUMBER,holding:NUMBER' + chr(10))}"},
    "options of a URL": lambda: {"devices/press.yaml": PRESS.replace("10.0.0.5", "h?" + "turnaround=5ms&" * 4_000)},
    "detectors": lambda: {"devices/press.yaml": PRESS + f"defaults: {{anomaly: [{listed(100_000, 'eNUMBER,')}]}}\n"},
    "settings of a detector": lambda: {
        "devices/press.yaml": PRESS + f"defaults: {{anomaly: [ewma: {{{listed(90_000, 'eNUMBER: 1,')}}}]}}\n"},
    "labels": lambda: {"devices/press.yaml": PRESS + (
        f"tags: [{{name: b, address: 'holding:1', labels: {{{listed(90_000, 'NUMBER: x,')}}}}}]\n")},
    "template that grows": lambda: {
        "devices/press.yaml": "template: t.yaml\nparameters: {a: '" + "x" * 60_000 + "'}\n",
        "templates/t.yaml": "protocol: modbus\nurl: '" + "${a}" * 15_000 + "'\n"},
    "unknown parameters": lambda: {
        "devices/press.yaml": f"template: t.yaml\nparameters: {{{listed(90_000, 'pNUMBER: 1,')}}}\n",
        "templates/t.yaml": "protocol: modbus\nurl: 'tcp://h'\n"},
    "fields of topics": lambda: root(
        f"publish: {{layout: tag, topic: '{{a}}/{{tag}}', topic_fields: {{{listed(90_000, 'fNUMBER: x,')}}}}}\n"),
}  # fmt: skip


def refused_in_a_process_of_its_own(folder: Path, variables: dict[str, str]) -> str:
    """Load a folder with limited processor time. Returns the first problem, or what ended it instead."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        answer = "something that is no ConfigError"
        try:
            os.environ.update(variables)
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
            before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            try:
                load(folder)
                answer = "loaded"
            except ConfigError as error:
                longest = max(len(str(problem)) for problem in error.problems)
                grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) >> 10
                fits = len(error.problems) <= ceilings.PROBLEMS and longest < 5000 and grown_mib < MEMORY_MIB
                found = f"{len(error.problems)} problems, {longest} characters, {grown_mib} MiB"
                answer = f"refused: {error.problems[0]}" if fits else found
        finally:
            os.write(writing, answer.encode()[:4000])
            os._exit(0)
    os.close(writing)
    with open(reading) as answers:
        answer = answers.read()
    _, status = os.waitpid(child, 0)
    return answer or f"ended by {signal.Signals(os.WTERMSIG(status)).name}"


@pytest.mark.parametrize("attack", ATTACKS)
def test_whatever_is_large_is_refused_soon_with_a_problem(tmp_path: Path, attack: str) -> None:
    answer = refused_in_a_process_of_its_own(write(tmp_path, dict(ATTACKS[attack]())), {})
    assert answer.startswith("refused: "), answer


@pytest.mark.parametrize(
    "variables",
    [
        {"GATEWAY__DEVICES__PRESS__" + "__".join(["A"] * 20_000): "1"},
        {"GATEWAY__MQTT__" + "__".join(["A"] * 20_000): "1"},
        {"GATEWAY__MQTT": "[" * 60_000},
        {"GATEWAY__MQTT": '{"in_flight": ' + "9" * 100_000 + "}"},
        {"GATEWAY__MQTT__IN_FLIGHT": "9" * 100_000},
        {f"GATEWAY__X{n}": "1" for n in range(5_000)},
        {f"GATEWAY__DEVICES__X{n}__A": "1" for n in range(5_000)},
    ],
    ids=["deep device", "deep section", "brackets", "number in JSON", "number", "unknown", "unknown devices"],
)
def test_variables_as_large_as_the_system_allows_are_refused_soon(tmp_path: Path, variables: dict[str, str]) -> None:
    answer = refused_in_a_process_of_its_own(write(tmp_path), variables)
    assert answer.startswith("refused: environment: "), answer


def test_a_ceiling_names_its_place_what_is_there_and_what_may_be(tmp_path: Path) -> None:
    files = root("mqtt: {in_flight: 0x" + "9" * 5000 + "}\n") | {"tags/press.csv": f"name{',x' * 500}\n"}
    found = {
        (p.file, p.line, p.key): f"{p.message} (expected {p.expected})" for p in problems_of(write(tmp_path, dict(files)))
    }
    assert found["gateway.yaml", 2, "mqtt.in_flight"] == "is a number of 5002 characters (expected at most 1000)"
    assert found["tags/press.csv", 1, ""] == "the header has 501 columns (expected at most 200)"


def test_what_devices_of_a_list_share_stays_each_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY__DEVICES__A__DEFAULTS__DEADBAND", "5")
    many = f"protocol: modbus\ndefaults: {{deadband: 1}}\ntags: [{TAG}]\ndevices:\n" + (
        "- {name: a, url: 'tcp://h1'}\n- {name: b, url: 'tcp://h2'}\n"
    )
    settings = load(write(tmp_path, {"devices/many.yaml": many, "devices/press.yaml": None, "devices/line.yaml": None}))
    assert [policy.deadband for policy in settings.policies] == [(5.0, 0.0), (1.0, 0.0)]


def test_as_many_tags_as_plants_have_are_read(tmp_path: Path) -> None:
    tags = f"name,address\n{listed(20_000, 'aNUMBER,holding:NUMBER' + chr(10))}"
    assert len(load(write(tmp_path, {"tags/press.csv": tags})).table) == 20_001
