"""What every detector promises: the shipped ones and the one of the tests."""

import numpy as np
import pytest

from gateway.core.blocks import WindowBlock
from gateway.core.ports.detector import AnyDetectorPlugin, DetectionContext, Detector
from gateway.plugins import DETECTORS
from gateway.stages.statistics import LastValue, Statistics, of_samples
from tests.support.blocks import GOOD, SECOND, T0, block_of
from tests.support.detectors import JumpPlugin
from tests.support.oracle import Sample

SETTINGS = {"ewma": {"threshold": 5.0}, "jump": {"step": 3.0}}
TAGS = 4
WATCHED = np.array([0, 2, 3], np.uint32)
Found = list[tuple[int, int, bool, float, float, float]]


@pytest.fixture(params=[*DETECTORS.values(), JumpPlugin()], ids=lambda plugin: plugin.name)
def plugin(request: pytest.FixtureRequest) -> AnyDetectorPlugin:
    return request.param


def build(plugin: AnyDetectorPlugin, tags: np.ndarray = WATCHED) -> Detector:
    settings = plugin.settings_model.model_validate(SETTINGS[plugin.name])
    return plugin.build(tags, [settings] * tags.size, DetectionContext(SECOND, 60 * SECOND, 10 * SECOND))


def windows(count: int = 120, seed: int = 1) -> list[WindowBlock]:
    """Noise around 20 with a step of tag 0 in the middle; tag 2 pauses, tag 3 has a spike."""
    rng, made = np.random.default_rng(seed), []
    for second in range(count):
        values = 20 + rng.normal(0, 0.1, TAGS)
        values[0] += 5 if second >= count // 2 else 0
        values[3] += 50 if second == count // 3 else 0
        read = [tag for tag in range(TAGS) if tag != 2 or not 40 <= second < 50]
        statistics = Statistics(TAGS)
        samples = [Sample(tag, T0 + second * SECOND, float(values[tag]), GOOD) for tag in read]
        statistics.merge(of_samples(block_of(samples), TAGS))
        made.append(statistics.window(T0 + second * SECOND, SECOND, False, LastValue.unknown(TAGS)))
    return made


def found_by(detector: Detector, blocks: list[WindowBlock]) -> Found:
    found: Found = []
    for place, window in enumerate(blocks):
        moved = detector.evaluate(window)
        columns = (moved.tag, moved.active, moved.value, moved.score, moved.expected)
        assert len({len(column) for column in columns}) == 1
        assert (moved.tag.dtype, moved.active.dtype) == (np.uint32, np.bool_)
        found += [(place, *row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    return found


def test_a_step_and_a_spike_are_found_on_watched_tags_alone(plugin: AnyDetectorPlugin) -> None:
    begun = {(place, tag) for place, tag, active, *_ in found_by(build(plugin), windows()) if active}
    assert {(60, 0), (40, 3)} <= begun
    assert {tag for _, tag in begun} <= set(WATCHED.tolist())


def test_states_of_a_tag_alternate(plugin: AnyDetectorPlugin) -> None:
    found = found_by(build(plugin), windows())
    for tag in WATCHED.tolist():
        states = [active for _, one, active, *_ in found if one == tag]
        assert states == [place % 2 == 0 for place in range(len(states))]


def test_the_future_changes_nothing(plugin: AnyDetectorPlugin) -> None:
    whole, cut = found_by(build(plugin), windows()), found_by(build(plugin), windows()[:70])
    assert cut == [one for one in whole if one[0] < 70]


def test_a_state_goes_on_where_it_was_taken(plugin: AnyDetectorPlugin) -> None:
    """In another detector between two windows; and saving has no effect on the first."""
    blocks = windows()
    first, second = build(plugin), build(plugin)
    begin = found_by(first, blocks[:65])
    state = first.state()
    assert sum(column.itemsize for column in state.values()) <= 1024
    assert all(column.shape == WATCHED.shape for column in state.values())
    second.restore(state, np.arange(WATCHED.size))
    rest = found_by(first, blocks[65:])
    assert found_by(second, blocks[65:]) == rest
    assert [*begin, *((place + 65, *row) for place, *row in rest)] == found_by(build(plugin), blocks)


def test_a_state_is_taken_over_by_tag(plugin: AnyDetectorPlugin) -> None:
    """Of a detector that watches other tags now: the known ones go on, the others begin."""
    blocks = windows()
    before, after = build(plugin, np.array([3, 2], np.uint32)[::-1]), build(plugin)
    found_by(before, blocks[:60])
    after.restore(before.state(), np.array([1, 2]))
    expected = found_by(before, blocks[60:])
    assert [one for one in found_by(after, blocks[60:]) if one[1] in (2, 3)] == expected


def test_what_is_no_state_of_its_own_is_refused(plugin: AnyDetectorPlugin) -> None:
    detector = build(plugin)
    with pytest.raises(ValueError, match=plugin.name):
        detector.restore({"x": np.zeros(3)}, np.arange(3))
    assert found_by(detector, windows()) == found_by(build(plugin), windows())


def test_windows_that_are_left_out_do_no_harm(plugin: AnyDetectorPlugin) -> None:
    """Starved of every second window, the step is still found."""
    begun = {(place, tag) for place, tag, active, *_ in found_by(build(plugin), windows()[::2]) if active}
    assert (30, 0) in begun


def test_late_windows_and_windows_of_nothing_are_borne(plugin: AnyDetectorPlugin) -> None:
    detector = build(plugin)
    found_by(detector, windows()[:30])
    late = windows()[3].take(np.array([1]))
    columns = {name: getattr(late, name) for name in WindowBlock.__slots__}
    assert not len(detector.evaluate(WindowBlock(**columns | {"late": True})))
    empty = Statistics(TAGS).window(T0 + 30 * SECOND, SECOND, False, LastValue.unknown(TAGS))
    assert not len(detector.evaluate(empty))
