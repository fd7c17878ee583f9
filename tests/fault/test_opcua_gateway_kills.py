"""A server is killed twenty times under a subscription of the whole gateway: every value is accounted for.

Real processes: the server (killed with SIGKILL, not asked), `gateway run` with its configuration, outbox and certificates,
mosquitto, a subscriber that forgets nothing. Security is on. 5,000 nodes go on counting whether somebody watches or not, and
the server writes down what it shows and what the gateway has acknowledged, before it does so.

Accounted for, in words of docs/mqtt-contract.md, means of every node:
1. A value of a notification that the gateway has acknowledged stands in the statistics of exactly one window (`n`, `min`,
   `max`, `mean`, `std` are those of these values, each once), or, where it held already when the subscription began, it is
   told as such (`n` 0, `last`). None stands in two windows, and none was never shown.
2. From the first to the last one of each life none is missing that the server showed, unless a `samples_lost` says so.
3. What was shown later the server took into its grave, unsent or unread. When a life begins, the last word on the tag (the
   newest window that is no supplement) is bad, `not_connected`, or `partial` where it died in it; the device was told as
   `down`, and then as `ok`.
4. The messages themselves are complete: one boot, each topic's `seq` without a gap or a repetition, no loss record.

`KILLS=100 pytest ...` is the longer run.
"""

import asyncio
import os
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.sources.opcua.security.pki import Pki
from tests.support.gateway import GatewayProcess, Subscriber, write_config
from tests.support.line import QUEUES, impatient
from tests.support.mosquitto import Mosquitto
from tests.support.network import until
from tests.support.opcua_ledger import PER_LIFE, Ledger, told_in
from tests.support.opcua_secure import KEY, certificate, peer, write_pair
from tests.support.opcua_server import ForeignMortal, MortalServer

NODES = 5000
KILLS = int(os.environ.get("KILLS", "20"))
NOTICED_S = 0.1
"""So long before the end of a second a server must have been killed for that second's window to show it."""
VALUES = 2
"""Of each node that are acknowledged in each life."""
DEVICE = """protocol: opcua
url: {url}
interval: 250ms
sampling: 250ms
queue_size: 100
timeout: 2s
pki: {folder}/pki
check_host: false
found: {folder}/found
tag_file: plc.csv
"""


def cpu_s(gateway: GatewayProcess) -> float:
    """CPU time of a process so far."""
    assert gateway.process is not None
    with open(f"/proc/{gateway.process.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def live_and_die(
    server: MortalServer | ForeignMortal, kills: int, ledger: Ledger, gateway: GatewayProcess, subscriber: Subscriber
) -> list[float]:
    """All lives of the server, one after the other. Returns when each was killed, in seconds of the clock."""
    killed_s = []

    def states() -> list[str]:
        return [m.payload["state"] for m in subscriber.of("/plc/event") if m.payload["kind"] == "device"]

    for life in range(1, kills + 1):
        await server.live()
        since, before = time.monotonic(), cpu_s(gateway)
        await until(lambda life=life: ledger.least(life) >= 1, 90, f"values in life {life}")
        print(
            f"life {life}: all first values after {time.monotonic() - since:.1f} s, {cpu_s(gateway) - before:.2f} s of CPU"
        )
        await until(lambda life=life: ledger.least(life) >= VALUES, 60, f"more in life {life}")
        await until(lambda: states()[-1:] == ["ok"], 60, f"life {life} is told")  # after a comparison of the model
        killed_s.append(time.time())
        await server.kill()
        await until(lambda: states()[-1:] == ["down"], 30, f"death {life} is told")
    return killed_s


def assert_complete(subscriber: Subscriber) -> None:
    """Number 4."""
    numbers = defaultdict(list)
    for message in subscriber.of(""):
        if "seq" in (message.payload or {}):
            numbers[message.topic].append(message.payload["seq"])
            assert message.payload.get("kind") not in ("loss", "unclean_stop"), message.payload
    assert len({m.payload["boot"] for m in subscriber.of("") if "seq" in (m.payload or {})}) == 1
    for topic, seen in numbers.items():
        assert seen == list(range(1, len(seen) + 1)), topic


def assert_accounted_for(killed_s: list[float], ledger: Ledger, subscriber: Subscriber) -> None:
    """Numbers 1 to 3; and it does not connect again and again."""
    events = [m.payload for m in subscriber.of("/plc/event")]
    losses_s = [event["ts"] / 1000 for event in events if event["kind"] == "samples_lost"]
    states = [event["state"] for event in events if event["kind"] == "device"]
    kills = len(killed_s)
    assert kills <= states.count("ok") <= states.count("down") <= 2 * kills, states
    tags = told_in(m.payload for m in subscriber.of("/plc/window"))
    lives = [(ledger.first_s(life), ledger.last_s(life)) for life in range(1, kills + 1)]
    for node, acked in enumerate(ledger.acked):
        told = tags[f"v{node}"]
        assert set(told.counted.values()) == {1}, f"v{node} is counted twice"
        known = told.in_force | told.counted.keys()
        assert acked <= known, f"v{node}: {sorted(acked - known)} were taken and are told nowhere"
        assert known <= ledger.shown.keys(), f"v{node}: {sorted(known - ledger.shown.keys())} was never shown"
        for life, (first_s, last_s) in enumerate(lives, 1):
            own = sorted(value for value in known if value // PER_LIFE == life)
            holes = [(a, b) for a, b in pairwise(own) if b != a + 1]
            assert not holes or any(first_s <= at <= last_s + 1 for at in losses_s), f"v{node}: {holes} in life {life}"
        for death_s, (birth_s, _) in zip(killed_s, lives[1:], strict=False):
            # A life begins with a second (a millisecond early at times): the window before it is the last to show a death.
            born_s = round(birth_s)
            if death_s + NOTICED_S < born_s:
                word = told.word(born_s - 0.5)
                assert word in ("not_connected", "partial"), (
                    f"v{node}: killed at {death_s}, it was {word or 'good'} before {birth_s}"
                )


async def through_deaths(
    folder: Path, mosquitto: str, server: MortalServer | ForeignMortal, kills: int, nodes: list[str]
) -> None:
    """The whole of it, with a certificate that is trusted."""
    (folder / "broker").mkdir()
    broker = Mosquitto(mosquitto, folder / "broker", persistent=True)
    await broker.start(QUEUES)
    ledger = Ledger(folder / "server" / "ledger", len(nodes))
    config = write_config(folder, broker.url, [], files={"plc.yaml": DEVICE.format(url=server.url, folder=folder)})
    rows = "".join(f"v{i},{node}\n" for i, node in enumerate(nodes))
    (config / "tags" / "plc.csv").write_text("name,node\n" + rows)
    gateway = GatewayProcess(config)
    gateway.program = ("-c", impatient(0.5))
    with Subscriber(broker.port) as subscriber, gateway:
        # What held before the gateway's own start, an earlier run of it may have counted (docs/opcua-recovery.md).
        await until(lambda: bool(subscriber.of("/status")), 60, "the gateway is up")
        try:
            killed_s = await live_and_die(server, kills, ledger, gateway, subscriber)
        finally:
            print(gateway.log()[-3000:])
        assert await asyncio.to_thread(gateway.terminate) == 0, gateway.log()[-3000:]
        await until(lambda: subscriber.of("/status")[-1].payload["state"] == "offline", 20, "its last words")
        ledger.read()
        assert_complete(subscriber)
        assert_accounted_for(killed_s, ledger, subscriber)
    broker.stop()


@pytest.mark.timeout(120 + 60 * KILLS)
async def test_every_value_is_accounted_for_by_the_whole_gateway_through_twenty_deaths(tmp_path, mosquitto, port):
    (tmp_path / "server").mkdir()
    one = certificate(KEY)
    write_pair(tmp_path / "server", "server", one, KEY)
    Pki(tmp_path / "pki").trust(peer(one))
    async with MortalServer(port, NODES, tmp_path / "server") as server:
        await through_deaths(tmp_path, mosquitto, server, KILLS, [f"ns=2;s=v{i}" for i in range(NODES)])


@pytest.mark.timeout(120 + 60 * KILLS)
async def test_and_through_those_of_a_foreign_server(tmp_path, mosquitto, node, port):
    (tmp_path / "server").mkdir()
    async with ForeignMortal(node, port, NODES, tmp_path / "server") as server:
        Pki(tmp_path / "pki").trust(peer(server.certificate))
        await through_deaths(tmp_path, mosquitto, server, KILLS, [f"ns=1;s=v{i}" for i in range(NODES)])
