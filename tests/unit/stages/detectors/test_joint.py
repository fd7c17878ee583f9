"""The detector `joint`: tags of a device that move together, and stop."""

import numpy as np
import pytest

from gateway.core.ports.detector import DetectionContext, Transitions
from gateway.stages.anomalies import Anomalies
from gateway.stages.detectors.joint import JointDetector, JointPlugin, JointSettings
from gateway.stages.detectors.joint_model import MOST_TAGS, DeviceModel
from tests.support.blocks import SECOND, table
from tests.unit.stages.detectors.test_own_range import window_of

pytestmark = pytest.mark.filterwarnings("error")
LEARN = 300
Values = np.ndarray


def build(tags: int, devices: Values | None = None) -> JointDetector:
    context = DetectionContext(SECOND, 0, 0, devices)
    settings = [JointSettings.model_validate({"learn": f"{LEARN}s"})] * tags
    return JointPlugin().build(np.arange(tags, dtype=np.uint32), settings, context)


def together(windows: int, tags: int, seed: int = 1) -> Values:
    """Tags that follow one driver, each with a little noise."""
    rng = np.random.default_rng(seed)
    driver = np.cumsum(rng.normal(0, 1, windows)) % 20
    return np.asarray(driver[:, None] * np.arange(1, tags + 1) + rng.normal(0, 0.5, (windows, tags)) + 100)


def found_by(detector: JointDetector, x: Values) -> list[tuple[int, Transitions]]:
    found = [(number, detector.evaluate(window_of(row, number, window_s=1))) for number, row in enumerate(x)]
    return [(number, one) for number, one in found if len(one)]


def test_a_tag_that_leaves_the_others_is_named_although_it_is_in_its_own_range() -> None:
    x = together(LEARN + 120, 4)
    x[LEARN + 20 :, 2] = 120
    found = found_by(build(4), x)
    number, first = found[0]
    assert LEARN + 20 <= number < LEARN + 60
    assert first.tag.tolist() == [2]
    assert first.shares[0][0][0] == 2


def test_devices_are_judged_apart() -> None:
    x = together(LEARN + 80, 6)
    x[LEARN + 20 :, 4] += 60
    found = found_by(build(6, np.array([0, 0, 0, 1, 1, 1])), x)
    assert {tag for _, one in found for tag in one.tag.tolist()} == {4}


def test_most_tags_at_once_are_said_first_and_tags_by_name() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(50, 1, (LEARN + 60, 5))
    x[LEARN + 20 :] = 0
    anomalies = Anomalies(table(5), {"joint": build(5)})
    events = [event for n, row in enumerate(x) for event in anomalies.evaluate(window_of(row, n, window_s=1))]
    assert events[0].causes is not None
    assert "communication" in events[0].causes[0]
    assert all(cause.endswith("%") for cause in events[0].causes[1:])


def test_what_returns_is_over_and_constant_tags_count_for_nothing() -> None:
    x = together(LEARN + 400, 3)
    x[:, 1] = 7
    x[LEARN + 20 : LEARN + 120, 0] += 500
    found = found_by(build(3), x)
    states = [active for _, one in found for active in one.active.tolist()]
    assert states[:2] == [True, False]
    assert {tag for _, one in found for tag in one.tag.tolist()} == {0}


def test_gaps_and_wild_values_are_borne() -> None:
    rng = np.random.default_rng(2)
    detector = build(3)
    for number in range(LEARN + 300):
        row = rng.choice([np.nan, np.inf, -1e300, 1e17, 0.0, 1.0], 3)
        detector.evaluate(window_of(row, number, window_s=1))


def test_a_large_device_has_its_first_tags_watched() -> None:
    detector = build(MOST_TAGS + 10)
    assert not found_by(detector, together(5, MOST_TAGS + 10))
    assert sum(column.itemsize for column in detector.state().values()) <= 1024


def test_a_state_of_other_tags_is_learned_anew() -> None:
    """What was learnt holds for a set of tags."""
    x = together(LEARN + 40, 3)
    before = build(3)
    found_by(before, x)
    state = {name: column[:2] for name, column in before.state().items()}
    after = build(2)
    after.restore(state, np.arange(2))
    assert not after._models[0].is_learnt
    same = build(3)
    same.restore(before.state(), np.arange(3))
    assert same._models[0].is_learnt


def test_the_distance_is_that_of_the_plain_formula() -> None:
    """A slow oracle: inverse of the shrunk correlation of the moving averages, one row after the other."""
    x = together(LEARN + 30, 3, seed=7)
    model = DeviceModel(3, LEARN)
    average, kept = x[0], []
    for number, row in enumerate(x[:LEARN]):
        model.add(row, np.ones(3, np.bool_))
        average = average + max(2 / 9, 1 / (number + 1)) * (row - average)
        kept += [average] if number + 1 > 40 else []
    mean, scale = np.mean(kept, axis=0), np.std(kept, axis=0)
    correlation = 0.98 * np.corrcoef(np.array(kept).T) + 0.02 * np.eye(3)
    average = average + 2 / 9 * (x[LEARN] - average)
    model.add(x[LEARN], np.ones(3, np.bool_))
    offset = (average - mean) / scale
    assert model.distance == pytest.approx(offset @ np.linalg.inv(correlation) @ offset)
