"""The whole gateway as a Sparkplug edge node: a primary host that comes and goes, rebirth, kill, restart."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.core.ports.layout import Packet
from gateway.layouts.sparkplug.wire import read_payload
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from tests.support.gateway import Subscriber
from tests.support.line import Line, running_line, slowly
from tests.support.mosquitto import Mosquitto
from tests.support.network import until
from tests.support.proxy import PUBLISH
from tests.unit.layouts.sparkplug.test_layout import rebirth

PINGRESP = 13
ROOT = "publish:\n  windows: all\n  summaries: false\n  layout: sparkplug\n  sparkplug: {group: hall, host: scada}\n"
NODE = "spBv1.0/hall/{}/test"
DEVICE = "spBv1.0/hall/{}/test/press"


class Scada:
    """A host application: says whether it is there, and reads what the node says."""

    def __init__(self, line: Line, watch: Subscriber | None = None, url: str = "") -> None:
        """watch, url: of another broker than the line's."""
        self.line = line
        self.watch = watch or line.subscriber
        self._url = url or line.broker.url
        self._stamp = 0

    async def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        client = MqttClient(MqttConfig(url=self._url))
        await client.open()
        await client.publish(topic, payload, retain=retain)
        await client.close()

    async def state(self, online: bool) -> None:
        self._stamp += 1
        await self.say("spBv1.0/STATE/scada", orjson.dumps({"online": online, "timestamp": self._stamp}), retain=True)

    def heard(self) -> list[tuple[str, dict[str, Any]]]:
        """Type and payload of everything that the node has sent, in order."""
        found = []
        for message in self.watch.of(""):
            kind = message.topic.split("/")[2]
            if message.topic.startswith("spBv1.0/hall/") and kind != "NCMD":
                found.append((kind, read_payload(Packet(message.topic, message.payload).payload)))
        return found

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.heard()]

    async def until(self, what: str, count: int) -> None:
        """Wait until `count` payloads of this type have come."""
        log = self.line.gateway.log
        await until(lambda: self.kinds().count(what) >= count, 30, f"{count} {what}, got {self.kinds()}; {log()[-2000:]}")

    def bd_seqs(self, what: str) -> list[int]:
        return [m["value"] for kind, body in self.heard() if kind == what for m in body["metrics"] if m["name"] == "bdSeq"]

    def sessions(self) -> list[list[tuple[str, dict[str, Any]]]]:
        """What was sent, cut at each NBIRTH."""
        cut: list[list[tuple[str, dict[str, Any]]]] = []
        for kind, body in self.heard():
            if kind == "NBIRTH":
                cut.append([])
            cut[-1].append((kind, body))
        return cut

    def prove(self) -> None:
        """Births first, every sequence number from 0 on in its place, no data outside of a session."""
        for session in self.sessions():
            numbered = [body["seq"] for kind, body in session if kind != "NDEATH"]
            assert numbered == [n % 256 for n in range(len(numbered))]
            kinds = [kind for kind, _ in session]
            deaths = [body["metrics"] for kind, body in session if kind == "NDEATH"]
            assert "NDEATH" not in kinds[: len(kinds) - len(deaths)], "nothing after a death but a birth"
            assert [[m["value"] for m in metrics] for metrics in deaths] in (
                [],
                [[bd_seq_of(session)]],
                [[bd_seq_of(session)]] * 2,
            )
            assert "DDATA" not in kinds[: kinds.index("DBIRTH") if "DBIRTH" in kinds else None]

    def times(self, *, historical: bool | None = None) -> list[int]:
        """Times of the values of tag t0 that have come as data."""
        alias = next(
            m["alias"] for kind, body in self.heard() if kind == "DBIRTH" for m in body["metrics"] if m["name"] == "t0"
        )
        return [
            m["timestamp"]
            for kind, body in self.heard() if kind == "DDATA"
            for m in body["metrics"]
            if m["alias"] == alias and historical in (None, m.get("is_historical", False))
        ]  # fmt: skip


async def test_nothing_is_sent_or_lost_while_the_primary_host_is_away(tmp_path: Path, mosquitto: str) -> None:
    """Data wait in the outbox until the host is there; when it goes, NDEATH and a new connection; history is marked."""
    async with running_line(tmp_path, mosquitto, root=ROOT) as line:
        scada = Scada(line)
        await until(lambda: len(line.device.asks) > 20, 30, f"polls; {line.gateway.log()[-2000:]}")
        assert scada.kinds() == []
        await scada.state(True)
        await scada.until("DDATA", 6)
        assert scada.kinds()[:2] == ["NBIRTH", "DBIRTH"]
        assert scada.times(historical=True), "what was made before the host was there"
        await until(lambda: bool(scada.times(historical=False)), 20, "live data")
        await scada.state(False)
        await scada.until("NDEATH", 2)
        sent, polled = len(scada.heard()), len(line.device.asks)
        await until(lambda: len(line.device.asks) > polled + 20, 30, "polls while the host is away")
        assert len(scada.heard()) == sent
        newest = max(scada.times())
        await scada.state(True)
        await until(lambda: max(scada.times(historical=False)) > newest + 4000, 60, "live data again")
        await until(lambda: _whole(scada.times()), 30, f"every second, got {sorted(set(scada.times()))}")
        scada.prove()
        assert scada.bd_seqs("NDEATH") == scada.bd_seqs("NBIRTH")[:1] * 2, "said, and the will, as MQTT 5 asks for it"
        assert scada.bd_seqs("NBIRTH")[1] > scada.bd_seqs("NBIRTH")[0]


def bd_seq_of(session: list[tuple[str, dict[str, Any]]]) -> int:
    return next(m["value"] for m in session[0][1]["metrics"] if m["name"] == "bdSeq")


def _whole(times: list[int]) -> bool:
    return sorted(set(times)) == list(range(min(times), max(times) + 1, 1000))


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_rebirth_kill_and_restart(tmp_path: Path, mosquitto: str, version: str) -> None:
    """NCMD brings births within the session; the will is the NDEATH of the last birth; bdSeq goes on over restarts."""
    root = ROOT.replace(", host: scada", "")
    async with running_line(tmp_path, mosquitto, root=root, GATEWAY__MQTT__VERSION=version) as line:
        scada = Scada(line)
        await scada.until("DDATA", 1)
        await scada.say(NODE.format("NCMD"), rebirth())
        await scada.until("NBIRTH", 2)
        await scada.until("DDATA", 3)
        assert len(set(scada.bd_seqs("NBIRTH"))) == 1
        line.gateway.kill()
        await scada.until("NDEATH", 1)
        assert scada.bd_seqs("NDEATH") == scada.bd_seqs("NBIRTH")[-1:]
        line.gateway.start()
        await scada.until("NBIRTH", 3)
        await scada.until("DDATA", 5)
        assert line.gateway.terminate() == 0
        await scada.until("NDEATH", 2)
        assert scada.bd_seqs("NBIRTH")[-1] == (scada.bd_seqs("NBIRTH")[0] + 1) % 256
        assert scada.bd_seqs("NDEATH")[-1] == scada.bd_seqs("NBIRTH")[-1]
        scada.prove()
        assert not [m for m in line.subscriber.of("") if m.topic.endswith("/status")], "one will, one truth"


async def test_a_device_that_goes_dies_and_is_born_again(tmp_path: Path, mosquitto: str) -> None:
    root = ROOT.replace(", host: scada", "")
    async with running_line(tmp_path, mosquitto, root=root) as line:
        scada = Scada(line)
        await scada.until("DDATA", 2)
        await line.device.stop()
        await scada.until("DDEATH", 1)
        await line.device.start()
        await scada.until("DBIRTH", 2)
        scada.prove()


Meddle = Callable[[bool, int, bytes], Awaitable[bytes]]


def cutting(line: Line, fault: str, times: int) -> tuple[Meddle, list[str]]:
    """Cuts the connection around a DDATA, `times` times. `read`: the broker gets it but not the question after it; `unread`:
    it gets neither; `unanswered`: it gets both, and its answer is lost."""
    cuts: list[str] = []
    armed = closing = False

    def cut() -> None:
        nonlocal closing
        closing = False
        cuts.append(fault)
        line.proxy.cut()

    async def meddle(up: bool, kind: int, packet: bytes) -> bytes:
        nonlocal armed, closing
        is_data = up and kind == PUBLISH and b"/DDATA/" in packet
        if closing:
            return b""
        if is_data and len(cuts) < times:
            armed = True
        hit = armed and (is_data if fault != "unanswered" else not up and kind == PINGRESP)
        if not hit:
            return packet
        armed, closing = False, True
        asyncio.get_running_loop().call_later(0.02, cut)
        return packet if fault == "read" else b""

    return meddle, cuts


@pytest.mark.parametrize("fault", ["read", "unread", "unanswered"])
async def test_a_cut_between_data_and_the_answer_loses_nothing(tmp_path: Path, mosquitto: str, fault: str) -> None:
    """At QoS 0: what no answer has followed stays in the outbox and comes again as history; births before it each time."""
    root = ROOT.replace(", host: scada", "")
    async with running_line(tmp_path, mosquitto, root=root, proxied=True) as line:
        scada = Scada(line)
        await scada.until("DDATA", 2)
        assert {m.qos for m in line.subscriber.of("") if "/DDATA/" in m.topic} == {0}
        line.proxy.meddle, cuts = cutting(line, fault, 3)
        await until(lambda: len(cuts) == 3, 60, f"three cuts, {cuts}; {line.gateway.log()[-1500:]}")
        line.proxy.meddle = None
        newest = max(scada.times())
        await until(lambda: max(scada.times(historical=False)) > newest + 3000, 60, "live data again")
        await until(lambda: _whole(scada.times()), 30, f"every second, got {sorted(set(scada.times()))}")
        scada.prove()
        assert len(set(scada.bd_seqs("NBIRTH"))) >= 4
        await until(lambda: bool(scada.times(historical=True)), 20, "what had no answer is history")
        if fault != "unread":
            await until(lambda: len(scada.times()) > len(set(scada.times())), 20, "what the broker had read comes twice")


async def test_what_must_be_acknowledged_is_where_it_is_asked_for(tmp_path: Path, mosquitto: str) -> None:
    """`qos: 1`: all of it is; the broker's refusals are seen."""
    root = ROOT.replace(", host: scada", ", qos: 1")
    async with running_line(tmp_path, mosquitto, root=root) as line:
        scada = Scada(line)
        await scada.until("DDATA", 2)
        assert {m.qos for m in line.subscriber.of("") if m.topic.startswith("spBv1.0/hall/")} == {1}


async def test_with_two_brokers_it_goes_where_the_primary_host_is(tmp_path: Path, mosquitto: str) -> None:
    """Host away at the first: on to the second. It goes there too: NDEATH, back to the first when it comes there. Nothing is
    lost, what waited is history, and never are there two sessions at once."""
    (tmp_path / "second").mkdir()
    second = Mosquitto(mosquitto, tmp_path / "second")
    await second.start()
    try:
        async with running_line(tmp_path, mosquitto, root=ROOT, more_urls=(second.url,)) as line:
            here, there = Scada(line), Scada(line, Subscriber(second.port).wait_ready(), second.url)
            await here.state(False)
            await there.state(True)
            await there.until("DDATA", 4)
            assert here.kinds() == []
            assert there.times(historical=True), "what was made on the way"
            await there.state(False)
            await here.state(True)
            await here.until("DDATA", 4)
            assert "NDEATH" in there.kinds()[-2:]
            newest = max(here.times())
            await until(lambda: max(here.times(historical=False), default=0) > newest + 2000, 40, "live at the first")
            both = here.times() + there.times()
            await until(lambda: _whole(here.times() + there.times()), 30, f"every second, got {sorted(set(both))}")
            here.prove()
            there.prove()
            assert min(here.bd_seqs("NBIRTH")) > max(there.bd_seqs("NBIRTH"))
            await asyncio.to_thread(there.watch.close)
    finally:
        second.stop()


async def test_a_birth_larger_than_the_broker_takes_costs_only_its_device(tmp_path: Path, mosquitto: str) -> None:
    """The other device flows, an event tells, what the device had to say is declared lost and kept in a file; a broker that
    takes it gets it."""
    root = ROOT.replace(", host: scada", "")
    limit = "max_packet_size 3000"
    async with running_line(tmp_path, mosquitto, root=root, broker_lines=limit, wide=120, proxied=True) as line:
        scada = Scada(line)
        await scada.until("DDATA", 3)

        def events(kind: str) -> list[dict[str, Any]]:
            told = [m["value"] for name, body in scada.heard() if name == "NDATA" for m in body["metrics"]]
            return [event for event in map(orjson.loads, filter(None, told)) if event.get("kind") == kind]

        await until(lambda: bool(events("birth")), 20, line.gateway.log()[-1500:])
        await until(lambda: any(e["topic"].endswith("/wide/window") for e in events("loss")), 20, "loss records")
        (birth,) = events("birth")
        assert (birth["device"], birth["state"], birth["severity"]) == ("wide", "refused", 700)
        assert "the broker takes at most" in birth["reason"]
        refused = [orjson.loads(text) for text in (tmp_path / "outbox.db.refused.jsonl").read_bytes().splitlines()]
        assert {message["topic"].split("/")[3] for message in refused} == {"wide"}
        births = [m.topic for m in line.subscriber.of("") if "/DBIRTH/" in m.topic]
        assert set(births) == {DEVICE.format("DBIRTH")}
        scada.prove()
        line.proxy.refuse = True
        line.proxy.cut()
        await asyncio.to_thread(line.broker.stop)
        await line.broker.start("max_queued_messages 100000")
        await until(lambda: "as sub-" in line.broker.log().rpartition("starting")[2], 20, "the watcher is back")
        await until(lambda: "SUBACK" in line.broker.log().rpartition("as sub-")[2], 20, "and has subscribed")
        line.proxy.refuse = False
        await until(lambda: any(m.topic.endswith("/wide") for m in line.subscriber.of("")), 40, "it is born")
        await until(lambda: any("/DDATA/test/wide" in m.topic for m in line.subscriber.of("")), 20, "and heard")


async def test_a_broker_that_takes_one_message_a_second_keeps_its_connection(tmp_path: Path, mosquitto: str) -> None:
    """At QoS 0, with a backlog: answers come as slowly as messages go, and each of them counts."""
    root = ROOT.replace(", host: scada", "")
    async with running_line(tmp_path, mosquitto, root=root, proxied=True) as line:
        scada = Scada(line)
        await scada.until("DDATA", 2)
        line.proxy.refuse = True
        line.proxy.cut()
        asks = len(line.device.asks)
        await until(lambda: len(line.device.asks) >= asks + 25, 30, "polls")
        await slowly(line, 14)
        newest = max(scada.times())
        await until(lambda: max(scada.times(historical=False)) > newest + 2000, 60, "live again")
        await until(lambda: _whole(scada.times()), 30, f"every second, got {sorted(set(scada.times()))}")
        scada.prove()
