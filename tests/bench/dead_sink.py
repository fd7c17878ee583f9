"""What a dead sink costs the others: 10,000 tags, alarms at a broker that is there, alone or beside one that is not."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.bench.figures import Bench, Figure
from tests.bench.process import _Rig
from tests.support.gateway import Subscriber
from tests.support.network import free_port

_SETTLE_S, _MEASURE_S, _TURNS = 12.0, 20.0, 2


def _with_sinks(text: str, broker: str, dead: bool) -> str:
    """Return gateway.yaml with the broker alone, or beside a Kafka that is not there."""
    head, _, rest = text.partition("mqtt:\n")
    rest = rest[rest.index("outbox:") :]
    sinks = [f"  - {{name: here, kind: mqtt, url: '{broker}'}}\n"]
    sinks += [f"  - {{name: gone, kind: kafka, brokers: '127.0.0.1:{free_port()}'}}\n"] if dead else []
    return f"{head}sinks:\n{''.join(sinks)}{rest}"


def _latency_ms(folder: Path, *, dead: bool) -> tuple[list[float], float]:
    """Return the times of alarms from their sample to the subscriber, and the share of a core of the process."""
    rig = _Rig(folder)
    try:
        path = folder / "config" / "gateway.yaml"
        path.write_text(_with_sinks(path.read_text(), rig.broker.url, dead))
        with Subscriber(rig.broker.port, "plant/#") as subscriber:
            rig.gateway.start()
            assert rig.gateway.process is not None
            process = psutil.Process(rig.gateway.process.pid)
            time.sleep(_SETTLE_S)
            since, begun = time.time(), sum(process.cpu_times()[:2])
            time.sleep(_MEASURE_S)
            share = (sum(process.cpu_times()[:2]) - begun) / _MEASURE_S * 100
            events = [m for m in subscriber.of("/event") if m.at > since and m.payload.get("kind") == "alarm"]
            return [m.at * 1e3 - m.payload["ts"] for m in events], share
    finally:
        rig.close()


def _dead_sink() -> Iterator[Figure]:
    found: dict[bool, list[float]] = {False: [], True: []}
    shares: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(_TURNS):
        for dead in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                times, share = _latency_ms(Path(folder), dead=dead)
            found[dead] += times
            shares[dead].append(share)
    alone, beside = (statistics.quantiles(found[dead], n=100) for dead in (False, True))
    on = f"10,000 tags, {len(found[True])} alarms; alone: p50 {alone[49]:.1f} ms, p99 {alone[98]:.1f} ms"
    yield Figure("alarm_latency_dead_sink_ms", beside[98], f"ms (p99; p50 {beside[49]:.1f})", on, "<= 1.1 times alone")
    on = f"of one core; alone {statistics.mean(shares[False]):.1f} %"
    yield Figure("process_cpu_share_dead_sink", statistics.mean(shares[True]), "%", on)


BENCHES = (Bench(("alarm_latency_dead_sink_ms", "process_cpu_share_dead_sink"), _dead_sink),)
