"""The whole gateway against a real broker that comes and goes."""

from pathlib import Path

from gateway.audit.ledger import Ledger
from tests.support.line import Line, running_line
from tests.support.network import until


def ledger_of(line: Line) -> Ledger:
    """All messages in the order of their arrival, from the first on."""
    ledger = Ledger(from_start=True)
    for m in line.subscriber.of(""):
        if not m.topic.endswith("/status"):
            ledger.add(m.topic, m.payload, is_repeated=False, is_kept=m.retain)
    return ledger


def times(line: Line) -> set[int]:
    return {m.payload["ts"] for m in line.windows()}


async def _outage(line: Line, end, windows: int = 4) -> tuple[int, int]:
    """Take the broker away for `windows` windows; returns the span of time, ms, in which it was surely away."""
    await line.more_windows(2)
    end()
    begin = max(times(line)) + 3000
    device = len(line.device.asks)
    await until(lambda: len(line.device.asks) > device + 5 * (windows + 3), 30, "polls while the broker is away")
    last = begin + 1000 * (windows - 2)
    await line.broker.start()
    await until(lambda: _live_after(line, last), 60, f"live windows after the outage; {line.gateway.log()[-1500:]}")
    return begin, last


def _live_after(line: Line, ts: int) -> bool:
    """The last two windows that arrived are later than `ts` and were sent live."""
    newest = [m.payload for m in line.windows()[-2:]]
    return all(payload["ts"] > ts and not payload["hist"] for payload in newest)


async def test_subscriber_ends_with_every_number_after_stop_and_kill_of_the_broker(tmp_path: Path, mosquitto: str) -> None:
    """Nothing is missing after outages, and what was made while the broker was away is marked hist."""
    async with running_line(tmp_path, mosquitto) as line:
        spans = [await _outage(line, line.broker.stop), await _outage(line, line.broker.kill)]
        await line.more_windows(2)
        report = ledger_of(line).report()
        assert report.complete, report
        assert not any(row.missing for row in report.rows), report
        windows = {m.payload["ts"]: m.payload["hist"] for m in line.windows()}
        assert sorted(windows) == list(range(min(windows), max(windows) + 1, 1000)), "a window of the time line is missing"
        for begin, last in spans:
            away = [ts for ts in windows if begin <= ts <= last]
            assert away
            assert all(windows[ts] for ts in away)
        assert not windows[min(windows)], "live before"


async def test_status_is_retained_and_the_last_will_says_offline(tmp_path: Path, mosquitto: str) -> None:
    """Online with device states at birth; offline by the last will when the gateway is killed."""
    async with running_line(tmp_path, mosquitto) as line:
        await line.more_windows(1)
        online = line.subscriber.of("/status")[-1].payload
        assert online["state"] == "online"
        assert online["devices"] == {"press": {"state": "ok", "reason": ""}}
        line.gateway.kill()
        await until(lambda: line.subscriber.of("/status")[-1].payload["state"] == "offline", 15, "the last will")
        assert line.subscriber.of("/status")[-1].payload["boot"] == online["boot"]
