"""What stages have learnt survives a stop, for tags that mean the same."""

from pathlib import Path

import numpy as np
import pytest

from gateway.app.kept_state import learnt_columns, learnt_file, restore_state, save_state, state_file, write_learnt
from gateway.plugins import DETECTORS
from gateway.settings import Settings, load
from gateway.stages.stage_chain import StageChain
from tests.support.blocks import GOOD, SECOND, block_of
from tests.support.oracle import Sample

M0 = 1_700_000_040 * SECOND
KEYS = "hi: 100, off_delay: 0s, anomaly: 5"
DEVICE = f"protocol: modbus\nurl: tcp://127.0.0.1:1\ntags:\n  - {{name: a, address: holding:0, {KEYS}}}\n"
MORE = f"  - {{name: b, address: holding:2, {KEYS}}}\n"


def settings(folder: Path, name: str, text: str) -> Settings:
    (folder / name / "devices").mkdir(parents=True)
    detection = "detection: {warmup: 5s, memory: 10s}\n"
    (folder / name / "gateway.yaml").write_text(f"name: g\noutbox: {{path: {folder / 'outbox.db'}}}\n{detection}")
    (folder / name / "devices" / "press.yaml").write_text(text)
    return load(folder / name)


def chain(of: Settings, now_ns: int) -> StageChain:
    root = of.root
    stages = (root.window, root.detection, root.publish)
    return StageChain.build(of.table, of.policies, *stages, now_ns, DETECTORS, of.formulas)


def push(stages: StageChain, second: float, *values: float) -> list:
    now = M0 + round(second * SECOND)
    return stages.push(block_of([Sample(tag, now, value, GOOD) for tag, value in enumerate(values)]), now)


def saved(folder: Path) -> Settings:
    """A run of eight seconds at 50 whose alarm of a is active at the end."""
    before = settings(folder, "before", DEVICE + MORE)
    stages = chain(before, M0)
    for second in range(8):
        push(stages, second + 0.1, 50.0, 50.0)
        stages.close(M0 + (second + 1) * SECOND + SECOND // 2)
    assert [event.state for event in push(stages, 8.6, 150.0, 50.0)] == ["active"]
    stages.flush(M0 + round(8.7 * SECOND))
    save_state(before, stages, M0 + round(8.7 * SECOND))
    return before


def test_alarms_go_on_and_are_said_again(tmp_path: Path) -> None:
    before = saved(tmp_path)
    assert state_file(tmp_path / "outbox.db").stat().st_mode & 0o777 == 0o600
    stages = chain(before, M0 + 60 * SECOND)
    (event,) = restore_state(before, stages, M0 + 60 * SECOND)
    assert (event.tag, event.state, event.condition, event.time_ns) == (0, "active", "hi", M0 + round(8.7 * SECOND))
    assert np.isnan(event.value)
    assert push(stages, 61, 150.0, 50.0) == []
    assert [event.state for event in push(stages, 62, 1.0, 50.0)] == ["cleared"]


def test_detectors_go_on_without_learning_anew(tmp_path: Path) -> None:
    before = saved(tmp_path)
    stages = chain(before, M0 + 60 * SECOND)
    restore_state(before, stages, M0 + 60 * SECOND)
    push(stages, 60.1, 50.0, 99.0)
    (event,) = stages.close(M0 + 61 * SECOND + SECOND // 2).events
    assert (event.tag, event.detector, event.state, event.expected) == (1, "ewma", "active", 50.0)


def test_the_rest_of_a_window_that_was_published_is_a_supplement(tmp_path: Path) -> None:
    before = saved(tmp_path)
    stages = chain(before, M0 + round(8.8 * SECOND))
    restore_state(before, stages, M0 + round(8.8 * SECOND))
    push(stages, 8.9, 50.0, 50.0)
    push(stages, 9.1, 60.0, 60.0)
    first = stages.close(M0 + 9 * SECOND + SECOND // 2).windows
    second = stages.close(M0 + 10 * SECOND + SECOND // 2).windows
    assert [window.late for window in (*first, *second)] == [True, False]


@pytest.mark.parametrize("what", ["another limit", "another place", "too old", "from the future", "nonsense", "taken"])
def test_what_is_stale_is_not_used(tmp_path: Path, what: str) -> None:
    before, now = saved(tmp_path), M0 + 60 * SECOND
    after = before
    if what == "another limit":
        after = settings(tmp_path, "after", (DEVICE + MORE).replace("hi: 100", "hi: 99"))
    if what == "another place":
        after = settings(
            tmp_path, "after", DEVICE.replace("holding:0", "holding:8") + MORE.replace("holding:2", "holding:6")
        )
    now += {"too old": 7200 * SECOND, "from the future": -3600 * SECOND}.get(what, 0)
    if what == "nonsense":
        state_file(tmp_path / "outbox.db").write_bytes(b"PK nonsense")
    if what == "taken":
        restore_state(before, chain(before, now), now)
    stages = chain(after, now)
    alarms = restore_state(after, stages, now)
    assert bool(alarms) is (what == "too old"), "an alarm does not age"
    assert not stages.anomalies.detectors["ewma"].state()["seen"].any()
    assert not state_file(tmp_path / "outbox.db").exists()


def test_a_tag_that_moved_in_the_table_keeps_what_is_its_own(tmp_path: Path) -> None:
    saved(tmp_path)
    head, first = DEVICE.split("  - ", 1)
    after = settings(tmp_path, "after", head + MORE + "  - " + first)
    stages = chain(after, M0 + 60 * SECOND)
    (event,) = restore_state(after, stages, M0 + 60 * SECOND)
    assert after.table.label(event.tag) == "press/a"


def test_after_a_crash_detectors_go_on_from_what_was_written_while_it_ran(tmp_path: Path) -> None:
    before = saved(tmp_path)
    stages = chain(before, M0 + 9 * SECOND)
    restore_state(before, stages, M0 + 9 * SECOND)
    write_learnt(tmp_path / "outbox.db", learnt_columns(before, stages, M0 + 10 * SECOND))
    assert learnt_file(tmp_path / "outbox.db").stat().st_mode & 0o777 == 0o600
    after = chain(before, M0 + 60 * SECOND)
    assert restore_state(before, after, M0 + 60 * SECOND) == []
    push(after, 60.1, 50.0, 99.0)
    events = after.close(M0 + 61 * SECOND + SECOND // 2).events
    assert [(event.tag, event.detector) for event in events] == [(1, "ewma")]


@pytest.mark.parametrize(("hours", "goes_on"), [(2, {"own_range"}), (24 * 8, set())])
def test_how_long_what_was_learnt_is_of_use_is_up_to_the_detector(tmp_path: Path, hours: int, goes_on: set[str]) -> None:
    """An hour for one that looks at the last minutes, days for one that knows the whole history."""
    both = DEVICE.replace("anomaly: 5", "anomaly: [own_range, {ewma: {threshold: 5}}]")
    before = settings(tmp_path, "both", both)
    stages = chain(before, M0)
    for second in range(40):
        push(stages, second + 0.1, 50.0)
        stages.close(M0 + (second + 1) * SECOND + SECOND // 2)
    save_state(before, stages, M0 + 40 * SECOND)
    now = M0 + hours * 3600 * SECOND
    after = chain(before, now)
    restore_state(before, after, now)
    fresh = chain(before, now).anomalies.detectors
    same = {
        name
        for name, detector in after.anomalies.detectors.items()
        if any((column != fresh[name].state()[key]).any() for key, column in detector.state().items())
    }
    assert same == goes_on
