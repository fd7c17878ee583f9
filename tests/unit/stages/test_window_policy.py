"""Which policy a configuration leads to, and how a deadband is written."""

import pytest

from gateway.core.tags import Tag, TagTable
from gateway.stages.config import PublishConfig, TagPolicy
from gateway.stages.window_policy import WindowPolicy
from tests.support.blocks import SECOND, T0
from tests.unit.stages.test_report_by_exception import window_of


@pytest.mark.parametrize(
    ("deadband", "span", "sent"),
    [
        ("1% of range", (0, 400), [100.0, 104.5]),
        ("1% of range", None, [100.0, 101.0, 104.0, 104.5]),
        ("4%", (0, 400), [100.0, 104.5]),
        ("4", None, [100.0, 104.5]),
        ("0", None, [100.0, 101.0, 104.0, 104.5]),
    ],
)
def test_a_deadband_in_units_percent_of_the_value_or_of_the_range(
    deadband: str, span: tuple[float, float] | None, sent: list[float]
) -> None:
    """4 of a range of 400; without a range every change."""
    table = TagTable(("d",), (Tag(0, 0, "t", range=span),))
    policy = WindowPolicy.build(table, [TagPolicy(deadband=deadband)], PublishConfig())
    values = [100.0, 101.0, 104.0, 104.5]
    assert [v for i, v in enumerate(values) if policy.select(window_of([v], T0 + i * SECOND), None, None)] == sent


def test_without_windows_there_are_none() -> None:
    table = TagTable(("d",), (Tag(0, 0, "t"),))
    policy = WindowPolicy.build(table, [TagPolicy()], PublishConfig(windows="none"))
    assert policy.select(window_of([1.0]), None, None) == []
    assert not policy.needs_active
