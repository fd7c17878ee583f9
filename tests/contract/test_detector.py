"""What every detector promises: the shipped ones and the one of the tests."""

from dataclasses import dataclass
from functools import cache
from itertools import groupby

import numpy as np
import pytest

from gateway.core.blocks import WindowBlock
from gateway.core.ports.detector import AnyDetectorPlugin, DetectionContext, Detector
from gateway.plugins import DETECTORS
from gateway.stages.statistics import LastValue, Statistics, of_samples
from tests.support.blocks import GOOD, SECOND, T0, block_of
from tests.support.detectors import JumpPlugin
from tests.support.oracle import Sample

SETTINGS = {"ewma": {"threshold": 5.0}, "jump": {"step": 3.0}, "own_range": {"warmup": "0s"}, "joint": {"learn": "100s"}}
TAGS = 4
WATCHED = np.array([0, 2, 3], np.uint32)


@dataclass(frozen=True)
class Pace:
    """How fast a detector learns."""

    window_s: int = 1
    stretch: int = 1
    """How many windows there are for each one of a fast detector."""
    patience: int = 0
    """Windows that it waits before it says something."""

    def is_in(self, found: set[tuple[int, int]], place: int, tag: int) -> bool:
        """Return whether something was found of a tag at a place, or in the windows that the detector waits."""
        return any((place + wait, tag) in found for wait in range(self.patience + 1))


PACES = {"own_range": Pace(10, 12, 3), "joint": Pace(1, 8, 14)}
OF_A_SET = {"joint"}
Found = list[tuple[int, int, bool, float, float, float]]


@pytest.fixture(params=[*DETECTORS.values(), JumpPlugin()], ids=lambda plugin: plugin.name)
def plugin(request: pytest.FixtureRequest) -> AnyDetectorPlugin:
    return request.param


def pace_of(plugin: AnyDetectorPlugin) -> Pace:
    return PACES.get(plugin.name, Pace())


def build(plugin: AnyDetectorPlugin, tags: np.ndarray = WATCHED) -> Detector:
    settings = plugin.settings_model.model_validate(SETTINGS[plugin.name])
    return plugin.build(
        tags, [settings] * tags.size, DetectionContext(pace_of(plugin).window_s * SECOND, 60 * SECOND, 10 * SECOND)
    )


@cache
def windows(pace: Pace) -> list[WindowBlock]:
    """Noise around 20 with a step of tag 0 in the middle; tag 2 pauses, tag 3 has a spike."""
    rng, made, count, length = np.random.default_rng(1), [], 120 * pace.stretch, pace.window_s * SECOND
    for second in range(count):
        values = 20 + rng.normal(0, 0.1, TAGS)
        values[0] += 5 if second >= count // 2 else 0
        values[3] += 50 if second == count // 3 else 0
        read = [tag for tag in range(TAGS) if tag != 2 or not count // 3 <= second < count // 3 + 10]
        statistics = Statistics(TAGS)
        samples = [Sample(tag, T0 + second * length, float(values[tag]), GOOD) for tag in read]
        statistics.merge(of_samples(block_of(samples), TAGS))
        made.append(statistics.window(T0 + second * length, length, False, LastValue.unknown(TAGS)))
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
    pace = pace_of(plugin)
    begun = {(place, tag) for place, tag, active, *_ in found_by(build(plugin), windows(pace)) if active}
    assert pace.is_in(begun, 60 * pace.stretch, 0)
    assert pace.is_in(begun, 40 * pace.stretch, 3)
    assert {tag for _, tag in begun} <= set(WATCHED.tolist())


def test_states_of_a_tag_alternate(plugin: AnyDetectorPlugin) -> None:
    """But for one that is active and said again, because it is more severe by then."""
    found = found_by(build(plugin), windows(pace_of(plugin)))
    for tag in WATCHED.tolist():
        states = [active for active, _ in groupby(active for _, one, active, *_ in found if one == tag)]
        assert states == [place % 2 == 0 for place in range(len(states))]


def test_the_future_changes_nothing(plugin: AnyDetectorPlugin) -> None:
    pace = pace_of(plugin)
    end = 70 * pace.stretch
    whole, cut = found_by(build(plugin), windows(pace)), found_by(build(plugin), windows(pace)[:end])
    assert cut == [one for one in whole if one[0] < end]


def test_a_state_goes_on_where_it_was_taken(plugin: AnyDetectorPlugin) -> None:
    """In another detector between two windows; and saving has no effect on the first."""
    pace = pace_of(plugin)
    blocks, middle = windows(pace), 65 * pace.stretch
    first, second = build(plugin), build(plugin)
    begin = found_by(first, blocks[:middle])
    state = first.state()
    assert sum(column.itemsize for column in state.values()) <= 1024
    assert all(column.shape == WATCHED.shape for column in state.values())
    second.restore(state, np.arange(WATCHED.size))
    rest = found_by(first, blocks[middle:])
    assert found_by(second, blocks[middle:]) == rest
    assert [*begin, *((place + middle, *row) for place, *row in rest)] == found_by(build(plugin), blocks)


def test_a_state_is_taken_over_by_tag(plugin: AnyDetectorPlugin) -> None:
    """Of a detector that watches other tags now: the known ones go on, the others begin."""
    if plugin.name in OF_A_SET:
        pytest.skip("what it has learnt holds for a set of tags")
    pace = pace_of(plugin)
    blocks, middle = windows(pace), 60 * pace.stretch
    before, after = build(plugin, np.array([3, 2], np.uint32)[::-1]), build(plugin)
    found_by(before, blocks[:middle])
    after.restore(before.state(), np.array([1, 2]))
    expected = found_by(before, blocks[middle:])
    assert [one for one in found_by(after, blocks[middle:]) if one[1] in (2, 3)] == expected


def test_what_is_no_state_of_its_own_is_refused(plugin: AnyDetectorPlugin) -> None:
    detector = build(plugin)
    with pytest.raises(ValueError, match=plugin.name):
        detector.restore({"x": np.zeros(3)}, np.arange(3))
    blocks = windows(pace_of(plugin))
    assert found_by(detector, blocks) == found_by(build(plugin), blocks)


def test_windows_that_are_left_out_do_no_harm(plugin: AnyDetectorPlugin) -> None:
    """Starved of every second window, the step is still found."""
    pace = pace_of(plugin)
    begun = {(place, tag) for place, tag, active, *_ in found_by(build(plugin), windows(pace)[::2]) if active}
    assert pace.is_in(begun, 30 * pace.stretch, 0)


def test_late_windows_and_windows_of_nothing_are_borne(plugin: AnyDetectorPlugin) -> None:
    detector = build(plugin)
    blocks, length = windows(pace_of(plugin)), pace_of(plugin).window_s * SECOND
    found_by(detector, blocks[:30])
    late = blocks[3].take(np.array([1]))
    columns = {name: getattr(late, name) for name in WindowBlock.__slots__}
    assert not len(detector.evaluate(WindowBlock(**columns | {"late": True})))
    empty = Statistics(TAGS).window(T0 + 30 * length, length, False, LastValue.unknown(TAGS))
    assert not len(detector.evaluate(empty))
