"""The shipped configuration on the simulated plant, through all stages: every fault is noticed, and nothing else."""

import numpy as np

from gateway.core.blocks import SampleBlock
from gateway.core.quality import Quality
from gateway.demo.plant import FAULT_LASTS_S, PressLine
from gateway.demo.scene import shipped_config
from gateway.plugins import DETECTORS
from gateway.settings import Settings, load
from gateway.stages.stage_chain import StageChain

START_NS = 1_800_000_000_000_000_000


def events_of(settings: Settings, until_s: float) -> list[tuple[float, str, str, str]]:
    """What the stages say of the plant, read every 200 ms: time, kind, label, state."""
    root, table = settings.root, settings.table
    chain = StageChain.build(table, settings.policies, root.window, root.detection, root.publish, START_NS, DETECTORS)
    line, ids = PressLine(1), np.arange(len(table), dtype=np.uint32)
    good, events = np.full(len(table), Quality.GOOD, np.uint8), []
    for step in range(int(until_s * 5)):
        now = START_NS + step * 200_000_000
        values = line.at(step / 5)
        column = np.array([float(values[table.label(tag)]) for tag in range(len(table))])
        events += chain.push(SampleBlock(ids.copy(), np.full(len(table), now, np.int64), column, good.copy()), now)
        if now >= chain.next_close_ns:
            events += chain.close(now).events
    events += chain.close(now + 40_000_000_000).events  # the off-delay of the last alarm
    return [((e.time_ns - START_NS) / 1e9, e.kind, table.label(e.tag), str(e.state)) for e in events]


def test_shipped_limits_and_detectors_notice_every_fault_and_nothing_else() -> None:
    events = events_of(load(shipped_config()), 140)
    active = [(time, label, kind) for time, kind, label, state in events if state == "active"]
    for number, label in enumerate(("press/vib_bearing", "press/oil_temp", "press/accumulator", "press/running")):
        begin = 20 + 30 * number
        assert any(begin <= time <= begin + 10 and it == label for time, it, _ in active), label
    assert "anomaly" in {kind for _, _, kind in active}
    outside = [(time, label) for time, label, _ in active if not 0 <= (time - 20) % 30 <= FAULT_LASTS_S + 1]
    assert not outside
    assert len(active) == len([1 for *_, state in events if state == "cleared"]), "every alarm clears"
