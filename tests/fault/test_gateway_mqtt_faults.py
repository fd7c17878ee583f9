"""The whole gateway while network and broker misbehave in every way: nothing is missing that is not accounted for."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson
import pytest

from gateway.audit.ledger import Ledger, Report
from gateway.core.errors import NotConnected
from gateway.sinks.mqtt.client import MqttClient
from gateway.sinks.mqtt.config import MqttConfig
from tests.support.gateway import Subscriber
from tests.support.line import QUEUES, Line, running_line, slowly
from tests.support.mosquitto import Authority
from tests.support.network import free_port, until
from tests.support.proxy import PUBACK, PUBLISH


def proof(line: Line, subscriber: Subscriber | None = None) -> Report:
    ledger = Ledger(from_start=True)
    for m in (subscriber or line.subscriber).of(""):
        if not m.topic.endswith("/status"):
            ledger.add(m.topic, m.payload, is_repeated=m.dup, is_kept=m.retain)
    return ledger.report()


async def recovered(line: Line, what: str) -> None:
    """Three windows in a row are sent live, and everything before them is there, without a repetition that is not marked."""
    seen = len(line.windows())

    def live_again() -> bool:
        newest = line.windows()[seen:]
        return len(newest) >= 3 and not any(m.payload["hist"] for m in newest[-3:])

    await until(live_again, 60, f"live windows after: {what}; log: {line.gateway.log()[-2000:]}")
    await until(lambda: not gaps(line), 20, f"no gaps after: {what}; {gaps(line)}")
    assert not [row for row in proof(line).rows if row.unexplained_duplicates], what


def gaps(line: Line) -> list[tuple[str, int]]:
    return [(row.topic, row.missing) for row in proof(line).rows if row.missing]


async def for_windows(line: Line, count: int) -> None:
    """As long as the device takes for so many windows, whether they arrive or not."""
    asks = len(line.device.asks)
    await until(lambda: len(line.device.asks) >= asks + 5 * count, 30 + 2 * count, "polls")


Fault = Callable[[Line], Awaitable[None]]


async def half_open(line: Line) -> None:
    line.proxy.stall()
    await for_windows(line, 6)
    line.proxy.flow()


async def half_open_then_cut(line: Line) -> None:
    line.proxy.stall()
    await for_windows(line, 4)
    line.proxy.cut()
    line.proxy.flow()


async def cut_inside_a_packet(line: Line) -> None:
    cuts, cutting = 0, False

    def cut() -> None:
        nonlocal cutting
        cutting = False
        line.proxy.cut()

    async def halve(up: bool, kind: int, packet: bytes) -> bytes:
        nonlocal cuts, cutting
        if up and cutting:
            return b""  # nothing comes after what was cut off
        if not up or kind != PUBLISH or cuts >= 3:
            return packet
        cuts, cutting = cuts + 1, True
        asyncio.get_running_loop().call_later(0.02, cut)
        return packet[: len(packet) // 2]

    line.proxy.meddle = halve
    await until(lambda: cuts == 3 and not cutting, 60, "three cuts")
    line.proxy.meddle = None


async def pubacks_lost(line: Line) -> None:
    """Every third one: the others arrive, so only order tells that one is missing."""
    count = 0

    async def swallow(up: bool, kind: int, packet: bytes) -> bytes:
        nonlocal count
        count += kind == PUBACK and not up
        return b"" if kind == PUBACK and not up and count % 3 == 0 else packet

    line.proxy.meddle = swallow
    await until(lambda: count >= 9, 60, "pubacks")
    line.proxy.meddle = None


async def pubacks_doubled(line: Line) -> None:
    count = 0

    async def double(up: bool, kind: int, packet: bytes) -> bytes:
        nonlocal count
        count += kind == PUBACK and not up
        return packet * 2 if kind == PUBACK and not up else packet

    line.proxy.meddle = double
    await until(lambda: count >= 6, 60, "pubacks")
    line.proxy.meddle = None


async def slow(line: Line) -> None:
    """One message a second, fewer than are made while a backlog waits: slow is not lost, and the connection stays."""
    line.proxy.refuse = True
    line.proxy.cut()
    await for_windows(line, 4)
    await slowly(line, 12)


async def delayed(line: Line) -> None:
    line.proxy.delay_s = 0.4
    await for_windows(line, 4)
    line.proxy.delay_s = 0.0


WIRE: list[Fault] = [
    half_open, half_open_then_cut, cut_inside_a_packet, pubacks_lost, pubacks_doubled, slow, delayed,
]  # fmt: skip


@pytest.mark.timeout(400)
async def test_faults_of_the_network_lose_nothing(tmp_path: Path, mosquitto: str) -> None:
    """Half-open, cut inside a packet, PUBACK lost or doubled, slow, late: complete after each of them."""
    async with running_line(tmp_path, mosquitto, proxied=True) as line:
        await line.more_windows(2)
        for fault in WIRE:
            await fault(line)
            await recovered(line, fault.__name__)
        assert proof(line).complete
        assert not any(row.explained or row.uncertain for row in proof(line).rows), "all arrived, none was given up"


async def stopped(line: Line) -> None:
    line.broker.pause()
    await for_windows(line, 6)
    line.broker.resume()


async def killed(line: Line) -> None:
    line.broker.kill()
    await for_windows(line, 3)
    await line.broker.start()


def offline(line: Line) -> int:
    """How often the watcher was told that the gateway is gone."""
    return len([m for m in line.subscriber.of("/status") if m.payload["state"] == "offline"])


async def restarted_without_its_sessions(line: Line) -> None:
    """It forgets the gateway's session; the watcher's is made anew before the gateway is let in again."""
    wills = offline(line)
    line.proxy.refuse = True
    line.proxy.cut()
    await until(lambda: offline(line) > wills, 20, "the will, which comes behind all that the broker has acknowledged")
    line.broker.stop()
    (line.gateway.config.parent / "broker" / "mosquitto.db").unlink()
    await line.broker.start()
    await until(lambda: "Sending SUBACK to sub-" in line.broker.log().rpartition("starting")[2], 20, "the watcher is back")
    line.proxy.refuse = False


@pytest.mark.parametrize("session", ["clean", "kept"])
async def test_faults_of_the_broker_lose_nothing(tmp_path: Path, mosquitto: str, session: str) -> None:
    """Stopped, killed, restarted with everything forgotten, with and without a session that the broker keeps."""
    kept = {"GATEWAY__MQTT__CLEAN_START": "false", "GATEWAY__MQTT__SESSION_EXPIRY": "1h"} if session == "kept" else {}
    async with running_line(tmp_path, mosquitto, proxied=True, **kept) as line:
        await line.more_windows(2)
        for fault in (stopped, killed, restarted_without_its_sessions):
            await fault(line)
            await recovered(line, fault.__name__)
        assert proof(line).complete


async def test_what_the_broker_refuses_is_declared_lost_and_kept_in_a_file(tmp_path: Path, mosquitto: str) -> None:
    """An access list that forbids windows (0x87): events account for each one. A limit on the size (0x95) costs none: they
    come in parts.
    """
    async with running_line(tmp_path, mosquitto) as line:
        await line.more_windows(2)
        acl = tmp_path / "acl"
        acl.write_text("topic read #\ntopic write plant/v1/test/event\ntopic write plant/v1/test/status\n")
        await with_lines(line, f"acl_file {acl}")
        refused = tmp_path / "outbox.db.refused.jsonl"

        def windows_with(code: str) -> int:
            lines = [orjson.loads(text) for text in refused.read_bytes().splitlines()] if refused.exists() else []
            return len([x for x in lines if x["topic"].endswith("/press/window") and code in x["reason"]])

        await until(lambda: windows_with("0x87") >= 3, 60, line.gateway.log()[-1000:])
        await with_lines(line, "message_size_limit 600")
        await until(lambda: any("part" in m.payload for m in line.windows()), 60, line.gateway.log()[-1000:])
        assert windows_with("0x95") == 0
        await with_lines(line)
        await line.more_windows(3, 60)
        await until(lambda: proof(line).complete, 30, f"{[row for row in proof(line).rows if not row.complete]}")
        row = next(row for row in proof(line).rows if row.topic.endswith("/press/window"))
        assert row.explained >= 3
        assert row.explained == windows_with(""), "the file has exactly what is declared lost"
        lost = [m.payload for m in line.subscriber.of("/event") if m.payload["kind"] == "loss"]
        assert {payload["cause"] for payload in lost} == {"refused"}


async def with_lines(line: Line, *lines: str) -> None:
    """Restart the broker with these lines of configuration."""
    await asyncio.to_thread(line.broker.stop)
    await line.broker.start(QUEUES, *lines)


async def test_messages_that_the_broker_drops_by_its_own_limits_are_seen_to_be_missing(
    tmp_path: Path, mosquitto: str
) -> None:
    """`max_queued_messages`: it acknowledges and then drops. No gateway can know; the numbers tell the subscriber."""
    async with running_line(tmp_path, mosquitto) as line:
        await line.more_windows(2)
        assert proof(line).complete
        await with_lines(line, "max_queued_messages 2", "max_inflight_messages 1")
        await asyncio.to_thread(line.subscriber.close)
        await for_windows(line, 8)
        await asyncio.to_thread(line.subscriber.come_back)
        await line.more_windows(4, 30)
        row = next(row for row in proof(line).rows if row.topic.endswith("/press/window"))
        assert row.missing > 0
        assert not row.complete


async def test_a_broker_whose_certificate_changes(tmp_path: Path, mosquitto: str) -> None:
    """Renewed by the same CA: nothing happens. By a stranger: the gateway stays away, says why, and loses nothing."""
    authority, port = Authority(tmp_path), free_port()
    (tmp_path / "strange").mkdir()
    stranger = Authority(tmp_path / "strange")
    environ = {"GATEWAY__MQTT__URL": f"mqtts://127.0.0.1:{port}", "GATEWAY__MQTT__TLS__CA": str(authority.certificate)}
    environ["GATEWAY__PUBLISH__STATS"] = "1s"
    async with running_line(tmp_path, mosquitto, **environ) as line:

        def told() -> list[int]:
            events = {m.payload["seq"]: m.payload for m in line.subscriber.of("/test/event")}  # one may be sent twice
            return [event["days_left"] for event in events.values() if event["kind"] == "certificate"]

        def days_left() -> float:
            status = line.subscriber.of("/status")[-1].payload
            return (status.get("certificates", {}).get("broker", 0) / 1000 - time.time()) / 86_400

        async def renewed(by: Authority, days: int) -> None:
            await with_lines(line, f"listener {port} 127.0.0.1", *by.tls_lines(days=days))

        await renewed(authority, 20)
        await recovered(line, "the first certificate")
        await until(lambda: told() == [19], 30, f"told once that it ends within 30 days: {told()}")
        await renewed(authority, 50)
        await recovered(line, "a renewed certificate")
        await renewed(stranger, 50)
        await until(lambda: "not trusted: set mqtt.tls.ca" in line.gateway.log(), 60, "the reason")
        await renewed(authority, 60)
        await recovered(line, "a stranger's certificate")
        assert proof(line).complete
        await until(lambda: 58 < days_left() < 61, 30, f"the status says when the newest one ends: {days_left()}")
        assert told() == [19]
        stats = [m.payload["stats"] for m in line.subscriber.of("/v1/test/stats")]
        days = [one["broker_certificate_days"] for one in stats if "broker_certificate_days" in one]
        assert 19 < days[0] <= 20, "and the stats say it as a number"
        await until(
            lambda: 58 < line.subscriber.of("/v1/test/stats")[-1].payload["stats"]["broker_certificate_days"] < 61, 30
        )


class Glutton:
    """A client that is away and for whom the broker keeps everything, until it has no memory left."""

    def __init__(self, line: Line) -> None:
        self._config = MqttConfig(url=line.broker.url, clean_start=False, session_expiry="1h")

    async def fill(self, *, least: int) -> None:
        """Down to the last `least` bytes."""
        away = MqttClient(self._config, client_id="glutton")
        await away.open()
        await away.subscribe("$junk")  # which `#` does not match: the watcher stays slim
        await away.close()
        for size in (100_000, 10_000, least):
            while await self._fits(size):
                pass

    async def _fits(self, size: int) -> bool:
        feeder = MqttClient(MqttConfig(url=self._config.url))
        try:
            await feeder.open()
            for _ in range(100):
                await asyncio.wait_for(feeder.publish("$junk", bytes(size)), 5)
        except (NotConnected, TimeoutError):
            return False
        finally:
            await feeder.close()
        return True


async def test_a_broker_without_memory_loses_nothing_and_says_so(tmp_path: Path, mosquitto: str) -> None:
    """`memory_limit`: it hangs up on whoever sends it something. The gateway backs off, tells, and goes on when somebody has
    helped the broker (mosquitto 2.0.11 does not recover by itself)."""
    async with running_line(tmp_path, mosquitto, tags=60) as line:
        await line.more_windows(2)
        await with_lines(line, "memory_limit 3000000")
        await recovered(line, "the broker's restart")
        await Glutton(line).fill(least=1000)
        assert "out of memory" in line.broker.log()
        losses = line.gateway.log().count("sink connection lost")
        await until(lambda: line.gateway.log().count("sink connection lost") > losses + 1, 60, "it is hung up on")
        asks = len(line.device.asks)
        await until(lambda: len(line.device.asks) > asks + 20, 20, "polling goes on")
        await until(lambda: "do not last" in line.gateway.log(), 60, "a hint where to look")
        await with_lines(line)
        await recovered(line, "the broker has memory again")
        assert proof(line).complete
        assert not any(row.explained or row.uncertain for row in proof(line).rows), "all arrived, none was given up"
