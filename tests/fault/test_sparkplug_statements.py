"""Sparkplug 3.0.0's normative statements on edge nodes, one test each, on what the whole gateway said on the wire.

The names are those of the specification (`tck-id-...`). One run for each version of MQTT: a primary host that comes, goes
and lies about its age, a rebirth, a device that goes and comes, a cut with a backlog, a stop and a start. Payloads are read
with Eclipse Tahu's own library. Templates and data sets: `tests/integration/test_sparkplug_structures.py`.
Not here because it does not apply: DCMD and writing, hosts, brokers.
One statement is not kept on purpose: `payloads-metric-datatype-not-req` (data SHOULD NOT repeat the datatype), because
Tahu's library for JavaScript, and so Node-RED, reads no value without it.
"""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import orjson
import pytest

from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from tests.conftest import NODE
from tests.support.absent import NODE_PACKAGES, absent
from tests.support.gateway import GatewayProcess, Modbus, write_config
from tests.support.modbus_server import ScriptedServer
from tests.support.mosquitto import Mosquitto
from tests.support.network import free_port, until
from tests.support.proxy import Proxy
from tests.support.sparkplug_tap import Sent, Session, Tap
from tests.unit.layouts.sparkplug.test_layout import rebirth

ROOT = "publish:\n  windows: all\n  summaries: false\n  layout: sparkplug\n  sparkplug: {group: hall, host: scada}\n"
DEVICES = ("press", "oven")
BIRTHS, DATA = ("NBIRTH", "DBIRTH"), ("NDATA", "DDATA")
NUMBERED = (*BIRTHS, *DATA, "DDEATH")
QUALITIES = {0, 192, 500}
INT64, BOOLEAN = "Int64", "Boolean"


class Scene:
    """Everything that is running, and what it takes to steer it."""

    def __init__(self, folder: Path, mosquitto: str, version: str) -> None:
        self.tap = Tap()
        self.broker = Mosquitto(mosquitto, folder)
        self.folder, self.version = folder, version
        self.marks: dict[str, int] = {}

    async def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        client = MqttClient(MqttConfig(url=self.broker.url))
        await client.open()
        await client.publish(topic, payload, retain=retain)
        await client.close()

    async def state(self, host: str, online: bool, stamp: int) -> None:
        await self.say(f"spBv1.0/STATE/{host}", orjson.dumps({"online": online, "timestamp": stamp}), retain=True)

    def count(self, *kinds: str) -> int:
        return sum(1 for _ in self.tap.all(*kinds))

    async def more(self, kind: str, by: int = 1, *, after: Awaitable[object] | None = None) -> None:
        """Wait for `by` more publications of a type than there were before `after` was done."""
        target = self.count(kind) + by
        if after is not None:
            await after
        await until(lambda: self.count(kind) >= target, 40, f"{by} more {kind}; {self.gateway.log()[-2000:]}")

    async def more_polls(self, device: ScriptedServer, count: int = 10) -> None:
        asks = len(device.asks)
        await until(lambda: len(device.asks) >= asks + count, 40, "polls")

    async def play(self) -> None:
        await self.broker.start()
        try:
            async with (
                ScriptedServer(free_port()) as press,
                ScriptedServer(free_port()) as oven,
                Proxy(self.broker.port, mqtt=True) as proxy,
            ):
                proxy.meddle = self.tap.meddle
                places = [Modbus(name, f"tcp://127.0.0.1:{server.port}", 3, interval="200ms")
                          for name, server in zip(DEVICES, (press, oven), strict=True)]  # fmt: skip
                self.gateway = GatewayProcess(
                    write_config(self.folder, proxy.url, places, root=ROOT), GATEWAY__MQTT__VERSION=self.version
                )
                self.gateway.start()
                try:
                    await self._scenes(press, oven, proxy)
                finally:
                    self.gateway.kill()
        finally:
            self.broker.stop()
        self.tap.decode()

    async def _scenes(self, press: ScriptedServer, oven: ScriptedServer, proxy: Proxy) -> None:
        await until(lambda: bool(self.tap.sessions and len(self.tap.sessions[0].subscribed) == 4), 30, "subscriptions")
        await self.state("other", True, 9_000)
        await self.state("scada", False, 1_000)
        await self.more_polls(press)
        self.marks["before the host"] = self.count(*NUMBERED)
        await self.state("scada", True, 2_000)
        await self.more("DDATA", 4)
        await self.more("NBIRTH", after=self.say("spBv1.0/hall/NCMD/test", rebirth()))
        await self.more("DDATA", 4)
        await self.more("DDEATH", after=oven.stop())
        await self.more("DBIRTH", after=oven.start())
        await self.state("scada", False, 1_500)
        await self.more("DDATA", 3)
        self.marks["sessions before the host went"] = len(self.tap.sessions)
        await self.more("NDEATH", after=self.state("scada", False, 3_000))
        await until(lambda: len(self.tap.sessions) > self.marks["sessions before the host went"], 40, "it connects anew")
        await self.more_polls(press)
        self.marks["while the host was away"] = len(self.tap.sessions[-1].sent)
        await self.state("scada", True, 4_000)
        await self.more("DDATA", 4)
        self.marks["sessions before the cut"] = len(self.tap.sessions)
        proxy.refuse = True
        proxy.cut()
        await self.more_polls(press, 15)
        proxy.refuse = False
        await self.more("DDATA", 6)
        self.marks["stop"] = now_ms()
        assert await asyncio.to_thread(self.gateway.terminate) == 0
        self.marks["sessions before the stop"] = len(self.tap.sessions)
        self.gateway.start()
        await self.more("DDATA", 6)


@pytest.fixture(scope="module", params=["5", "3.1.1"])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    mosquitto = request.getfixturevalue("mosquitto")
    if not shutil.which("node") or not (NODE / "node_modules" / "sparkplug-payload").exists():
        absent(NODE_PACKAGES)
    scene = Scene(tmp_path_factory.mktemp("statements"), mosquitto, request.param)
    asyncio.run(scene.play())
    return scene


Check = Callable[[Scene], None]
STATEMENTS: dict[str, Check] = {}


def statement(*names: str) -> Callable[[Check], Check]:
    def keep(check: Check) -> Check:
        for name in names:
            assert name not in STATEMENTS
            STATEMENTS[name] = check
        return check

    return keep


def every(scene: Scene, *kinds: str) -> list[Sent]:
    """All publications of these types; there must be some."""
    found = list(scene.tap.all(*kinds))
    assert found, f"no {kinds} was sent"
    return found


def served(scene: Scene) -> list[Session]:
    """Sessions with a birth."""
    found = [session for session in scene.tap.sessions if session.of("NBIRTH")]
    assert len(found) >= 4
    return found


def bd_seq(sent: Sent) -> int:
    metric = sent.metric("bdSeq")
    assert metric["type"] == INT64
    return int(metric["value"])


def now_ms() -> int:
    return time.time_ns() // 1_000_000


# -- topics ------------------------------------------------------------------------------------------------------------


@statement("topic-structure", "topic-structure-namespace-a", "topic-structure-namespace-valid-group-id",
           "topic-structure-namespace-valid-edge-node-id", "topic-structure-namespace-valid-device-id",
           "message-flow-edge-node-birth-publish-nbirth-topic", "message-flow-device-birth-publish-dbirth-topic",
           "message-flow-device-birth-publish-dbirth-match-edge-node-topic",
           "topic-structure-namespace-device-id-associated-message-types",
           "topic-structure-namespace-device-id-non-associated-message-types")  # fmt: skip
def topics(scene: Scene) -> None:
    for sent in every(scene, *NUMBERED, "NDEATH"):
        tail = f"/{sent.device}" if sent.kind.startswith("D") else ""
        assert sent.topic == f"spBv1.0/hall/{sent.kind}/test{tail}"
        assert sent.device in (DEVICES if tail else ("",))


@statement("topics-nbirth-mqtt", "payloads-nbirth-qos", "payloads-nbirth-retain", "topics-dbirth-mqtt",
           "payloads-dbirth-qos", "payloads-dbirth-retain", "topics-ndata-mqtt", "payloads-ndata-qos",
           "payloads-ndata-retain", "topics-ddata-mqtt", "payloads-ddata-qos", "payloads-ddata-retain", "topics-ddeath-mqtt",
           "message-flow-edge-node-birth-publish-nbirth-qos", "message-flow-edge-node-birth-publish-nbirth-retained",
           "message-flow-device-birth-publish-dbirth-qos", "message-flow-device-birth-publish-dbirth-retained")  # fmt: skip
def quality_of_service(scene: Scene) -> None:
    for kind in NUMBERED:
        assert {(sent.qos, sent.retain) for sent in every(scene, kind)} == {(0, False)}, kind


# -- sessions ----------------------------------------------------------------------------------------------------------


@statement("principles-persistence-clean-session-311", "principles-persistence-clean-session-50")
def clean_session(scene: Scene) -> None:
    assert {(s.version, s.clean, s.expiry_s) for s in scene.tap.sessions} == {(5 if scene.version == "5" else 4, True, 0)}


@statement("message-flow-edge-node-birth-publish-will-message", "message-flow-edge-node-birth-publish-will-message-topic",
           "message-flow-edge-node-birth-publish-will-message-payload", "payloads-ndeath-will-message",
           "message-flow-edge-node-birth-publish-will-message-qos", "payloads-ndeath-will-message-qos",
           "message-flow-edge-node-birth-publish-will-message-will-retained", "payloads-ndeath-will-message-retain",
           "topics-ndeath-payload", "topics-ndeath-seq", "payloads-ndeath-seq")  # fmt: skip
def the_will(scene: Scene) -> None:
    for session in scene.tap.sessions:
        will = session.will
        assert (will.topic, will.qos, will.retain) == ("spBv1.0/hall/NDEATH/test", 1, False)
        assert session.will_delay_s == 0, "the death is told at once"
    for death in (*(session.will for session in scene.tap.sessions), *every(scene, "NDEATH")):
        assert [metric["name"] for metric in death.metrics] == ["bdSeq"]
        assert death.seq is None


@statement("topics-nbirth-bdseq-increment", "message-flow-edge-node-birth-publish-will-message-payload-bdSeq")
def bd_seq_goes_on(scene: Scene) -> None:
    """From 0, by one with each CONNECT, over a restart as well. CONNECTs that met the cut were not seen here."""
    found = [bd_seq(session.will) for session in scene.tap.sessions]
    cut = scene.marks["sessions before the cut"]
    assert found[:cut] == list(range(cut))
    assert found[cut:] == list(range(found[cut], found[cut] + len(found) - cut))
    assert found[cut] >= cut
    assert len(found) > scene.marks["sessions before the stop"]


@statement("topics-nbirth-bdseq-included", "topics-nbirth-bdseq-matching", "payloads-nbirth-bdseq",
           "payloads-nbirth-bdseq-repeat", "payloads-ndeath-bdseq", "operational-behavior-data-commands-rebirth-action-3",
           "message-flow-edge-node-birth-publish-nbirth-payload-bdSeq")  # fmt: skip
def bd_seq_is_that_of_the_will(scene: Scene) -> None:
    for session in served(scene):
        assert {bd_seq(sent) for sent in session.of("NBIRTH", "NDEATH")} == {bd_seq(session.will)}


@statement("message-flow-edge-node-ncmd-subscribe")
def subscriptions(scene: Scene) -> None:
    for session in scene.tap.sessions:
        assert session.subscribed[:2] == [("spBv1.0/hall/NCMD/test", 1), ("spBv1.0/STATE/scada", 1)]
        assert session.order[:2] == ["SUBSCRIBE", "SUBSCRIBE"], "before anything else"


@statement("message-flow-device-dcmd-subscribe")
def subscriptions_of_devices(scene: Scene) -> None:
    """Although nothing can be written."""
    for session in scene.tap.sessions:
        assert ("spBv1.0/hall/DCMD/test/+", 1) in session.subscribed


@statement("principles-birth-certificates-order", "message-flow-edge-node-birth-publish-connect",
           "message-flow-device-birth-publish-nbirth-wait", "payloads-dbirth-order", "payloads-ndata-order",
           "payloads-ddata-order")  # fmt: skip
def births_first(scene: Scene) -> None:
    """NBIRTH, then DBIRTHs, then data; and no data of a device without its DBIRTH."""
    for session in served(scene):
        assert session.sent[0].kind == "NBIRTH"
        kinds = [sent.kind for sent in session.sent]
        births = next(at for at, kind in enumerate(kinds) if kind not in BIRTHS)
        assert births >= 2
        known: set[str] = set()
        for sent in session.sent:
            if sent.kind == "NBIRTH":
                known = {""}
            elif sent.kind == "DBIRTH":
                assert "" in known
                known.add(sent.device)
            elif sent.kind == "DDEATH":
                known.remove(sent.device)
            elif sent.kind in DATA:
                assert sent.device in known, (sent.kind, sent.device)


@statement("operational-behavior-edge-node-intentional-disconnect-ndeath",
           "operational-behavior-edge-node-intentional-disconnect-packet", "payloads-ndeath-will-message-publisher",
           "payloads-ndeath-will-message-publisher-disconnect-mqtt311",
           "payloads-ndeath-will-message-publisher-disconnect-mqtt50")  # fmt: skip
def a_proper_end(scene: Scene) -> None:
    """NDEATH, DISCONNECT and nothing else; with MQTT 5 the reason is `Disconnect with Will Message`."""
    ended = [session for session in served(scene) if session.disconnect is not None]
    assert len(ended) >= 2, "the host went, and the stop"
    for session in ended:
        assert session.order[-2:] == ["NDEATH", "DISCONNECT"]
        assert session.disconnect == (4 if scene.version == "5" else 0)


# -- the primary host ------------------------------------------------------------------------------------------------


@statement("message-flow-edge-node-birth-publish-phid-wait", "message-flow-edge-node-birth-publish-phid-wait-id",
           "message-flow-edge-node-birth-publish-phid-wait-online", "operational-behavior-edge-node-birth-sequence-wait",
           "message-flow-edge-node-birth-publish-phid-wait-timestamp")  # fmt: skip
def nothing_before_the_host(scene: Scene) -> None:
    """Neither for another host's id, nor for one that says it is offline."""
    assert scene.marks["before the host"] == 0
    assert scene.marks["while the host was away"] == 0


@statement("message-flow-edge-node-birth-publish-phid-offline", "operational-behavior-edge-node-termination-host-offline",
           "operational-behavior-edge-node-termination-host-offline-timestamp")  # fmt: skip
def the_host_goes(scene: Scene) -> None:
    """An older `offline` is not believed; a newer one ends the session."""
    assert scene.marks["sessions before the host went"] == 1
    first = scene.tap.sessions[0]
    assert first.order[-2:] == ["NDEATH", "DISCONNECT"]


# -- payloads --------------------------------------------------------------------------------------------------------


@statement("topics-nbirth-seq-num", "payloads-nbirth-seq", "payloads-sequence-num-zero-nbirth", "topics-ndata-seq-num",
           "payloads-ndata-seq", "payloads-ndata-seq-inc", "topics-dbirth-seq", "payloads-dbirth-seq",
           "payloads-dbirth-seq-inc", "topics-ddata-seq-num", "payloads-ddata-seq", "payloads-ddata-seq-inc",
           "topics-ddeath-seq-num", "payloads-ddeath-seq", "payloads-ddeath-seq-inc", "payloads-ddeath-seq-number",
           "payloads-sequence-num-always-included", "payloads-sequence-num-incrementing",
           "message-flow-edge-node-birth-publish-nbirth-payload-seq",
           "message-flow-device-birth-publish-dbirth-payload-seq")  # fmt: skip
def sequence_numbers(scene: Scene) -> None:
    for session in served(scene):
        expected = 0
        for sent in session.of(*NUMBERED):
            expected = 0 if sent.kind == "NBIRTH" else expected
            assert sent.seq == expected, sent.topic
            expected = (expected + 1) % 256


@statement("topics-nbirth-timestamp", "topics-dbirth-timestamp", "topics-ndata-timestamp", "topics-ddata-timestamp",
           "payloads-nbirth-timestamp", "payloads-dbirth-timestamp", "payloads-ndata-timestamp", "payloads-ddata-timestamp",
           "payloads-ddeath-timestamp", "payloads-timestamp-in-UTC", "payloads-name-birth-data-requirement",
           "payloads-metric-timestamp-in-UTC")  # fmt: skip
def timestamps(scene: Scene) -> None:
    """Milliseconds of these minutes, in each payload and each metric; no metric is younger than its message."""
    for sent in every(scene, *NUMBERED):
        stamp = int(sent.body["timestamp"])
        assert now_ms() - 600_000 < stamp <= now_ms()
        for metric in sent.metrics:
            assert now_ms() - 600_000 < int(metric["timestamp"]) <= stamp


@statement("topics-nbirth-metrics", "topics-dbirth-metrics", "payloads-metric-datatype-req",
           "payloads-metric-datatype-value", "payloads-metric-datatype-value-type",
           "operational-behavior-data-publish-nbirth-values", "operational-behavior-data-publish-dbirth-values",
           "message-flow-edge-node-birth-publish-nbirth-payload",
           "message-flow-device-birth-publish-dbirth-payload")  # fmt: skip
def births_say_name_type_and_value(scene: Scene) -> None:
    for birth in every(scene, *BIRTHS):
        for metric in birth.metrics:
            assert metric["name"]
            assert metric["type"] in {"Int64", "UInt64", "Float", "Double", "Boolean", "String"}
            assert "value" in metric, "null where nothing is known yet"
    newest = scene.tap.sessions[scene.marks["sessions before the stop"] - 1].of("DBIRTH")[-1]
    assert all(newest.metric(f"t{n}")["value"] is not None for n in range(3))


@statement("topics-nbirth-metric-reqs", "topics-dbirth-metric-reqs", "operational-behavior-data-publish-nbirth",
           "operational-behavior-data-publish-dbirth", "payloads-name-requirement", "payloads-alias-birth-requirement",
           "payloads-alias-data-cmd-requirement", "payloads-alias-uniqueness", "topics-ndata-payload",
           "topics-ddata-payload")  # fmt: skip
def data_are_of_metrics_that_were_born(scene: Scene) -> None:
    """Births have names, and aliases that are the node's only once; data have aliases and no names, all of them born."""
    for session in served(scene):
        born: dict[str, dict[int, str]] = {}
        for sent in session.sent:
            if sent.kind in BIRTHS:
                born = {} if sent.kind == "NBIRTH" else born
                born[sent.device] = {int(m["alias"]): m["name"] for m in sent.metrics if "alias" in m}
                aliases = [alias for known in born.values() for alias in known]
                assert len(aliases) == len(set(aliases))
                assert len({m["name"] for m in sent.metrics}) == len(sent.metrics)
            elif sent.kind in DATA:
                assert not any("name" in metric for metric in sent.metrics)
                assert {int(metric["alias"]) for metric in sent.metrics} <= set(born[sent.device])


@statement("operational-behavior-data-publish-nbirth-order", "operational-behavior-data-publish-dbirth-order")
def chronological(scene: Scene) -> None:
    for sent in every(scene, *BIRTHS, *DATA):
        times = [int(metric["timestamp"]) for metric in sent.metrics if not metric.get("isHistorical")]
        assert times == sorted(times), sent.topic


@statement("topics-nbirth-rebirth-metric", "payloads-nbirth-rebirth-req", "operational-behavior-data-commands-rebirth-name",
           "operational-behavior-data-commands-rebirth-name-aliases",
           "operational-behavior-data-commands-rebirth-datatype",
           "operational-behavior-data-commands-rebirth-value")  # fmt: skip
def the_rebirth_metric(scene: Scene) -> None:
    for birth in every(scene, "NBIRTH"):
        metric = birth.metric("Node Control/Rebirth")
        assert (metric["type"], metric["value"]) == (BOOLEAN, False)
        assert "alias" not in metric


@statement("operational-behavior-data-commands-rebirth-action-1", "operational-behavior-data-commands-rebirth-action-2")
def births_again_when_asked(scene: Scene) -> None:
    """In the same session, and complete: the node and every device that is there, before the next data."""
    session = scene.tap.sessions[0]
    assert len(session.of("NBIRTH")) == 2
    again = [at for at, sent in enumerate(session.sent) if sent.kind == "NBIRTH"][1]
    births = [(sent.kind, sent.device) for sent in session.sent[again : again + 3]]
    assert births == [("NBIRTH", ""), *(("DBIRTH", device) for device in sorted(DEVICES))]


@statement("operational-behavior-device-ddeath")
def a_device_dies(scene: Scene) -> None:
    assert "oven" in {sent.device for sent in every(scene, "DDEATH")}


@statement("payloads-propertyset-keys-array-size", "payloads-propertyset-values-array-size",
           "payloads-metric-propertyvalue-type-value", "payloads-metric-propertyvalue-type-req",
           "payloads-propertyset-quality-value-type", "payloads-propertyset-quality-value-value")  # fmt: skip
def properties(scene: Scene) -> None:
    found = set()
    for sent in every(scene, "DBIRTH", "DDATA"):
        for metric in sent.metrics:
            quality = metric["properties"]["Quality"]
            assert quality["type"] == "Int32"
            found.add(quality["value"])
            assert all(entry["type"] for entry in metric["properties"].values())
    assert 192 in found
    assert found <= QUALITIES


@statement("the backlog is historical and says the time of its reads")
def history(scene: Scene) -> None:
    """Not a numbered statement of its own: 6.4.5's `is_historical`, for what waited while the broker was away."""
    flags = {metric.get("isHistorical", False) for sent in every(scene, "DDATA") for metric in sent.metrics}
    assert flags == {True, False}
    times = {int(m["timestamp"]) for sent in every(scene, "DDATA") if sent.device == "press" for m in sent.metrics}
    before = sorted(stamp for stamp in times if stamp < scene.marks["stop"] - 1000)
    assert before == list(range(before[0], before[-1] + 1, 1000)), "every second of every outage"


@pytest.mark.parametrize("name", STATEMENTS)
@pytest.mark.timeout(240)
def test_statement(scene: Scene, name: str) -> None:
    """What the specification says of it holds in all sessions of the scene."""
    STATEMENTS[name](scene)
