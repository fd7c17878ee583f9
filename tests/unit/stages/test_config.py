"""What users may write about windows, limits and publishing."""

import math
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.stages.config import DetectionConfig, PolicyDefaults, TagPolicy, WindowConfig
from gateway.stages.detector_choice import DetectorChoice


@pytest.mark.parametrize(
    ("text", "band"), [("0.5", (0.5, 0.0)), (3, (3.0, 0.0)), ("1%", (0.0, 0.01)), (" 2.5 % ", (0.0, 0.025)), (0, (0.0, 0.0))]
)
def test_a_band_is_absolute_or_a_percentage(text: object, band: tuple[float, float]) -> None:
    """Deadband and hysteresis: engineering units, or percent."""
    assert TagPolicy(deadband=text, hysteresis=text).deadband == band


def test_a_deadband_may_be_a_part_of_the_range() -> None:
    assert TagPolicy(deadband="2.5% of range").deadband == (0.0, 0.0, 0.025)
    with pytest.raises(ValidationError):
        TagPolicy(hysteresis="1% of range")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1% of",
        "of range",
        "-1% of range",
        "-1",
        "-1%",
        "1,5",
        "abc",
        True,
        None,
        [],
        {},
        math.nan,
        math.inf,
        10**400,
        "9" * 400 + "%",
    ],
)
def test_anything_else_is_no_band(text: object) -> None:
    """Each is refused with what was expected, never with another exception."""
    with pytest.raises(ValidationError, match="a number from 0 or a percentage such as 1%"):
        TagPolicy(deadband=text)


@pytest.mark.parametrize("value", ["1,5", "x", True, [], math.nan, -math.inf, 10**400, "9" * 400])
def test_limits_are_finite_numbers(value: object) -> None:
    """A German decimal comma is told what to write instead."""
    with pytest.raises(ValidationError, match="decimals are written with a point"):
        TagPolicy(hi=value)


@pytest.mark.parametrize("limits", [{"hi": 5, "hihi": 5}, {"lo": 6, "hi": 5}, {"lolo": 2, "lo": 1}, {"lolo": 9, "hihi": 3}])
def test_limits_stand_in_their_order(limits: dict[str, Any]) -> None:
    """lolo < lo < hi < hihi, whichever of them are given."""
    with pytest.raises(ValidationError, match="must lie below"):
        TagPolicy(**limits)


@pytest.mark.parametrize(
    ("text", "threshold"),
    [("off", math.inf), (False, math.inf), ("no", math.inf), (5, 5.0), ("4.5", 4.5), (math.inf, math.inf)],
)
def test_a_threshold_is_a_score_or_off(text: object, threshold: float) -> None:
    """YAML reads `off` as false; a spreadsheet leaves it as text."""
    chosen = () if threshold == math.inf else (DetectorChoice("ewma", (("threshold", threshold),)),)
    assert TagPolicy(anomaly=text).anomaly == chosen


@pytest.mark.parametrize("text", ["on", True, "Yes"])
def test_on_is_the_detector_that_needs_no_tuning(text: object) -> None:
    """YAML reads `on` as true."""
    assert TagPolicy(anomaly=text).anomaly == (DetectorChoice("own_range"),)


@pytest.mark.parametrize("text", [0, 0.5, -3, "maybe", math.nan, "nan", -math.inf, None, [], 10**400])
def test_anything_else_is_no_threshold(text: object) -> None:
    """Not a number is not a quiet `off`."""
    with pytest.raises(ValidationError):
        TagPolicy(anomaly=text)


@pytest.mark.parametrize(("length", "fits"), [("1s", True), ("12s", True), ("60s", True), ("7s", False), ("1500ms", False)])
def test_windows_divide_a_minute(length: str, fits: bool) -> None:
    """Otherwise summaries would cut windows."""
    if fits:
        assert 60_000_000_000 % WindowConfig(length=length).length == 0
    else:
        with pytest.raises(ValidationError, match="divide a minute"):
            WindowConfig(length=length)


def test_defaults_are_those_of_the_reference() -> None:
    """Stated once, in the notation of the file."""
    policy = TagPolicy()
    assert (policy.deadband, policy.max_silence, policy.hysteresis) == ((0.0, 0.0), 60_000_000_000, (0.0, 0.01))
    assert (policy.anomaly, policy.hi, PolicyDefaults().anomaly) == ((DetectorChoice("own_range"),), None, None)
    assert (DetectionConfig().memory, WindowConfig().grace) == (300_000_000_000, 500_000_000)
