"""Blocks of samples cut, joined and sorted. Pure."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from gateway.core.blocks import Mask, Rows, SampleBlock, Times


def joined(blocks: list[SampleBlock]) -> SampleBlock:
    """Return the samples of all blocks in one, in their order."""
    if len(blocks) == 1:
        return blocks[0]
    return SampleBlock(
        np.concatenate([b.tag for b in blocks]),
        np.concatenate([b.time for b in blocks]),
        np.concatenate([b.value for b in blocks]),
        np.concatenate([b.quality for b in blocks]),
    )


def rows_of(block: SampleBlock, rows: Mask | Rows) -> SampleBlock:
    """Return these rows of a block."""
    return SampleBlock(block.tag[rows], block.time[rows], block.value[rows], block.quality[rows])


def slice_of(block: SampleBlock, begin: int, end: int) -> SampleBlock:
    """Return the rows from `begin` to before `end`, which is the block itself where that is all."""
    if begin == 0 and end == len(block):
        return block
    s = slice(begin, end)
    return SampleBlock(block.tag[s], block.time[s], block.value[s], block.quality[s])


def in_time_order(block: SampleBlock) -> SampleBlock:
    """Return the block in the order of time; samples of one tag with equal times keep their order."""
    if (block.time[1:] >= block.time[:-1]).all():
        return block
    return rows_of(block, np.argsort(block.time, kind="stable"))


def runs_of(start: Times) -> Iterator[tuple[int, int, int]]:
    """Yield (value, begin, end) of each run of equal values in an ascending column."""
    if not start.size:
        return
    edges = [0, *(np.flatnonzero(start[1:] != start[:-1]) + 1).tolist(), start.size]
    for begin, end in pairwise(edges):
        yield int(start[begin]), begin, end
