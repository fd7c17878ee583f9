"""The detector `own_range`: what people expect of it, and what must never move its verdict."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from gateway.core.blocks import WindowBlock
from gateway.core.ports.detector import DetectionContext, Transitions
from gateway.core.quality import Quality
from gateway.stages.detectors.own_range.config import OwnRangeSettings
from gateway.stages.detectors.own_range.detector import OwnRangeDetector, OwnRangePlugin
from tests.support.blocks import SECOND

WINDOW_S = 10
"""A step is one window of this length, and a tag is learned for 264 of them."""
LEARNED = 400
Values = np.ndarray
Event = tuple[int, int, bool, int]


def window_of(values: Values, number: int, *, count: int = 1, window_s: int = WINDOW_S, std: float = 0.0) -> WindowBlock:
    """A window in which each tag has these means; NaN for one without samples."""
    here = ~np.isnan(values)
    used = np.where(here, count, 0).astype(np.int64)
    quality = np.where(here, Quality.GOOD, Quality.BAD_STALE).astype(np.uint8)
    return WindowBlock(
        start=number * window_s * SECOND,
        length=window_s * SECOND,
        late=False,
        tag=np.arange(values.size, dtype=np.uint32),
        count=used,
        good=used,
        used=used,
        min=values.copy(),
        max=values.copy(),
        mean=values.copy(),
        std=np.full(values.size, std),
        first=values.copy(),
        last=values.copy(),
        last_time=np.full(values.size, number * window_s * SECOND, np.int64),
        quality=quality,
    )


def build(tags: int = 1, window_s: int = WINDOW_S, **settings: str) -> OwnRangeDetector:
    given = {"warmup": "0s", **settings}
    context = DetectionContext(window_s * SECOND, 0, 0)
    return OwnRangePlugin().build(np.arange(tags, dtype=np.uint32), [OwnRangeSettings(**given)] * tags, context)


def rows_of(found: Transitions) -> list[Event]:
    """(end of the step in s, tag, active, severity) of each event."""
    if not len(found):
        return []
    assert found.time is not None
    assert found.severity is not None
    columns = (found.time // SECOND, found.tag, found.active, found.severity)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def events_of(detector: OwnRangeDetector, values: Values, first: int = 0) -> list[Event]:
    """The events of values[windows, tags]."""
    return [event for i, row in enumerate(values) for event in rows_of(detector.evaluate(window_of(row, first + i)))]


def noise(windows: int, tags: int = 1, seed: int = 1) -> Values:
    return np.random.default_rng(seed).normal(50, 1, (windows, tags))


Change = Callable[[Values], None]


def step(x: Values) -> None:
    x += 15


def stuck(x: Values) -> None:
    x[:] = 50.1


def louder(x: Values) -> None:
    x[:] = 50 + (x - 50) * 6


def drift(x: Values) -> None:
    x += np.linspace(0, 20, len(x))[:, None]


@pytest.mark.parametrize(
    ("change", "words"),
    [(step, "higher"), (stuck, "no change"), (louder, "level"), (drift, "higher")],
    ids=["step", "stuck", "louder", "drift"],
)
def test_a_fault_is_an_alarm_that_says_what_is_unusual(change: Change, words: str) -> None:
    x = noise(LEARNED + 120)
    change(x[LEARNED:])
    detector, causes, severities = build(), set(), []
    for number, row in enumerate(x):
        found = detector.evaluate(window_of(row, number))
        assert not (len(found) and number < LEARNED)
        causes |= {cause for of_row in found.causes for cause in of_row}
        severities += [severity for *_, severity in rows_of(found)]
    assert max(severities) == 500
    assert any(words in cause for cause in causes), causes


def test_a_lasting_fault_stays_in_alarm_until_it_returns() -> None:
    """Nothing is learned of it meanwhile; what it was is known afterwards."""
    x = noise(LEARNED + 600)
    x[LEARNED : LEARNED + 300] += 15
    found = [event for event in events_of(build(), x) if event[3] == 500 or not event[2]]
    assert [active for _, _, active, _ in found] == [True, False]
    assert found[1][0] - found[0][0] > 300 * WINDOW_S * 0.95


def test_a_fault_that_lasts_too_long_is_normal_and_said_to_be() -> None:
    x = noise(LEARNED + 200)
    x[LEARNED:] += 15
    detector, ends = build(rebase="10min"), []
    for number, row in enumerate(x):
        found = detector.evaluate(window_of(row, number))
        if found.rebased is not None:
            ends += found.rebased[~found.active].tolist()
    assert ends[0] is True


def test_a_fault_goes_on_over_a_restart() -> None:
    """Once it is taken up, the anomaly is said again, as a subscriber expects of a new run."""
    x = noise(LEARNED + 300)
    x[LEARNED:] += 15
    before, after = build(), build()
    events_of(before, x[: LEARNED + 60])
    state = dict(before.state())
    state["active"] = np.zeros_like(state["active"])
    after.restore(state, np.arange(1))
    found = events_of(after, x[LEARNED + 60 :], LEARNED + 60 + 30)
    assert [(active, severity) for _, _, active, severity in found] == [(True, 500)]


@pytest.mark.parametrize("offset", [0.0, 1e6, 1e15])
def test_an_offset_changes_nothing(offset: float) -> None:
    """Values of 1e15 have steps of 0.125: noise in steps of one is carried exactly."""
    x = np.round(noise(LEARNED + 100) * 4)
    x[LEARNED:] += 80
    assert events_of(build(), x + offset) == events_of(build(), x)


def test_tags_do_not_influence_each_other() -> None:
    """Six tags side by side, some with gaps, are six single ones."""
    x = noise(LEARNED + 120, 6, seed=3) + np.arange(6) * 100
    x[LEARNED:, 1] += 12
    x[LEARNED:, 2] = x[LEARNED, 2]
    x[100:130, 3] = np.nan
    x[:200, 4] = np.nan
    x[:, 5] = 7
    together = events_of(build(6), x)
    alone = [(when, tag, *rest) for tag in range(6) for when, _, *rest in events_of(build(), x[:, [tag]])]
    assert sorted(together) == sorted(alone)
    assert {1, 2} <= {tag for _, tag, *_ in together}


@pytest.mark.filterwarnings("error")
def test_no_value_breaks_it() -> None:
    """Infinities, huge and tiny numbers, constants, steps of the clock and gaps: without a warning of numpy."""
    script: Sequence[float] = [0.0, 1e308, -1e308, 5e-324, np.inf, -np.inf, np.nan, 4e17, -4e17, 1.0]
    rng = np.random.default_rng(2)
    detector, number = build(4), 1000
    for _ in range(600):
        number += int(rng.choice([1, 1, 1, 1, 2, 40, -30]))
        detector.evaluate(window_of(rng.choice(script, 4), number))


@pytest.mark.parametrize("shape", ["counter", "constant", "two levels"])
def test_ordinary_behaviour_is_no_anomaly(shape: str) -> None:
    number = np.arange(1200.0)
    x = {"counter": np.floor(number * 3.3), "constant": number * 0 + 4, "two levels": 20.0 * (number // 40 % 2)}[shape]
    assert not events_of(build(), x[:, None])


def _late(detector: OwnRangeDetector, x: Values, delay: int) -> list[Event]:
    """One-second windows; every sample comes `delay` windows after its own has closed."""
    found: list[Event] = []
    for number in range(len(x)):
        parts = [(number - delay, delay > 0)] if number >= delay else []
        nothing = np.full(x.shape[1], np.nan)
        found += rows_of(detector.evaluate(window_of(nothing if delay else x[number], number, window_s=1)))
        for place, is_late in parts:
            if is_late:
                block = window_of(x[place], place, window_s=1)
                columns = {name: getattr(block, name) for name in WindowBlock.__slots__}
                found += rows_of(detector.evaluate(WindowBlock(**columns | {"late": True})))
    return found


def test_a_delay_of_ten_seconds_changes_no_event() -> None:
    """Windows that come late are judged in order, with those of their step."""
    x = noise(3000, 2, seed=5)
    x[2400:, 0] += 15
    prompt, delayed = _late(build(2, 1), x, 0), _late(build(2, 1), x, 10)
    assert prompt
    assert delayed == prompt


def test_parts_of_a_window_are_merged() -> None:
    """Half of the samples with the window and half late give what all of them give at once."""
    x = noise(3000, 1, seed=6)
    x[2400:] += 15
    whole, parts = build(1, 1), build(1, 1)
    expected, found = [], []
    for number, row in enumerate(x):
        expected += rows_of(whole.evaluate(window_of(row, number, count=2, window_s=1, std=0.5)))
        found += rows_of(parts.evaluate(window_of(row - 0.5, number, window_s=1)))
        block = window_of(row + 0.5, number, window_s=1)
        columns = {name: getattr(block, name) for name in WindowBlock.__slots__}
        found += rows_of(parts.evaluate(WindowBlock(**columns | {"late": True})))
    assert expected
    assert found == expected


def test_a_hundred_thousand_tags_are_borne() -> None:
    detector = build(100_000)
    for number in range(3):
        assert not len(detector.evaluate(window_of(np.full(100_000, float(number)), number)))
    assert sum(column.itemsize for column in detector.state().values()) <= 1024


def test_a_state_of_another_version_is_refused() -> None:
    state = dict(build().state())
    state["learnt"] = state["learnt"].copy()
    state["learnt"]["version"] = 99
    with pytest.raises(ValueError, match="own_range"):
        build().restore(state, np.arange(1))
