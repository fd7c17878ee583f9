"""The detector `own_range` alone: CPU time for a tag and window, and what it keeps of a tag."""

import time
from collections.abc import Iterator

import numpy as np

from gateway.core.blocks import WindowBlock
from gateway.core.ports.detector import DetectionContext
from gateway.core.quality import Quality
from gateway.stages.detectors.own_range.config import OwnRangeSettings
from gateway.stages.detectors.own_range.detector import OwnRangePlugin
from tests.bench.figures import Bench, Figure

_S = 1_000_000_000


def _windows(tags: int, count: int) -> list[WindowBlock]:
    rng = np.random.default_rng(1)
    ids, ten, good = np.arange(tags, dtype=np.uint32), np.full(tags, 10), np.full(tags, Quality.GOOD, np.uint8)
    made = []
    for number in range(count):
        mean, std = rng.normal(100, 1, tags), np.full(tags, 0.3)
        stamp = np.full(tags, number * _S, np.int64)
        low, high, last = mean - 1, mean + 1, mean.copy()
        made.append(WindowBlock(number * _S, _S, False, ids, ten, ten, ten, low, high, mean, std, mean, last, stamp, good))
    return made


def _detect() -> Iterator[Figure]:
    tags = 10_000
    settings = OwnRangeSettings.model_validate({"warmup": "0s"})
    detector = OwnRangePlugin().build(np.arange(tags, dtype=np.uint32), [settings] * tags, DetectionContext(_S, 0, 0))
    windows = _windows(tags, 400)
    for window in windows[:20]:
        detector.evaluate(window)
    begin = time.process_time()
    for window in windows[20:]:
        detector.evaluate(window)
    us = (time.process_time() - begin) / tags / (len(windows) - 20) * 1e6
    on = "own_range, 10,000 tags, windows of 1 s with 10 samples; a step each 8 windows"
    yield Figure("detect_us_per_tag_window", us, "us", on, "0.5; 0.15 aimed at")
    size = sum(column.itemsize for column in detector.state().values())
    yield Figure("detect_bytes_per_tag", size, "B", "what own_range keeps of a tag, and saves", "1024; 512 aimed at")


BENCHES = (Bench(("detect_us_per_tag_window", "detect_bytes_per_tag"), _detect),)
