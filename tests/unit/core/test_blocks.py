"""Columns that belong together and do not change."""

import numpy as np
import pytest

from gateway.core.blocks import SampleBlock, WindowBlock
from gateway.core.quality import Quality
from gateway.stages.statistics import LastValue, Statistics
from tests.support.blocks import T0, block_of
from tests.support.oracle import Sample


def test_a_block_is_read_only_once_made() -> None:
    """Several parts look at the same columns; none may change them for the others."""
    block = block_of([Sample(0, T0, 1.0, 192)])
    for column in (block.tag, block.time, block.value, block.quality):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 0
    with pytest.raises(AttributeError):
        block.tag = np.zeros(1, np.uint32)  # type: ignore[misc]


@pytest.mark.parametrize("time", [np.zeros(2, np.int64), np.zeros((1, 1), np.int64), np.zeros((), np.int64)])
def test_columns_must_have_one_length_and_one_dimension(time: np.ndarray) -> None:
    """A source that mixes up its columns is found at once."""
    with pytest.raises(ValueError, match=r"SampleBlock\.time"):
        SampleBlock(np.zeros(1, np.uint32), time, np.zeros(1), np.zeros(1, np.uint8))


def test_a_failed_read_is_one_sample_without_value_per_tag() -> None:
    """Time of the attempt, reason as quality, NaN."""
    block = SampleBlock.bad(np.array([4, 7], np.uint32), T0, Quality.BAD_TIMEOUT)
    assert (len(block), block.tag.tolist(), block.time.tolist()) == (2, [4, 7], [T0, T0])
    assert np.isnan(block.value).all()
    assert block.quality.tolist() == [Quality.BAD_TIMEOUT] * 2


@pytest.mark.parametrize("rows", [np.array([2, 0]), np.array([True, False, True])])
def test_rows_are_taken_with_all_their_columns(rows: np.ndarray) -> None:
    """By number (in that order) or by mask; what is not a column stays."""
    window: WindowBlock = Statistics(3).window(T0, 5, True, LastValue.unknown(3))
    part = window.take(rows)
    assert part.tag.tolist() == window.tag[rows].tolist()
    assert (part.start, part.length, part.late, len(part)) == (T0, 5, True, 2)
    assert len(part.mean) == len(part.quality) == 2
