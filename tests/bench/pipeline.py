"""The pipeline alone: blocks of samples in, encoded messages out, no I/O, one core (CPU time of this process)."""

import time
from collections.abc import Iterator

import numpy as np

from gateway.core.blocks import SampleBlock
from gateway.core.formula.parse import parse_formula
from gateway.core.formula.tag import FormulaTag
from gateway.core.messages import Message
from gateway.core.quality import Quality
from gateway.core.tags import Tag, TagTable
from gateway.encoding.encoder import Encoder
from gateway.encoding.topics import Topics
from gateway.live.model import LiveModel, PartReadings
from gateway.plugins import DETECTORS
from gateway.stages.config import DetectionConfig, PublishConfig, TagPolicy, WindowConfig
from gateway.stages.formulas import Formulas
from gateway.stages.stage_chain import StageChain
from tests.bench.figures import Bench, Figure

_S = 1_000_000_000


class Plant:
    """Tags in devices of 100, each with limits that are not crossed and a detector."""

    def __init__(self, tags: int, deadband: str = "0", *, observed: bool = False, late: str = "merge") -> None:
        devices = max(1, tags // 100)
        self.per = tags // devices
        self.table = TagTable(
            tuple(f"device_{i}" for i in range(devices)),
            tuple(Tag(i, i // self.per, f"tag_{i}", single=True) for i in range(tags)),
        )
        policy = TagPolicy(hi=1e6, hihi=2e6, lo=-1e6, anomaly=8.0, deadband=deadband)
        self.live = LiveModel(self.table, PartReadings(dict, list, dict, dict), 0) if observed else None
        self.chain = StageChain.build(
            self.table,
            [policy] * tags,
            WindowConfig(late=late),
            DetectionConfig(),
            PublishConfig(),
            0,
            DETECTORS,
            observer=self.live,
        )
        self.encoder = Encoder(Topics.of("plant", "bench", self.table.devices), self.table, "bench")

    def blocks(self, windows: int, per_window: int) -> list[list[SampleBlock]]:
        """Per window the blocks of all devices in the order of time: float32 noise around 100."""
        rng = np.random.default_rng(1)
        tags, good = len(self.table), np.full(self.per, Quality.GOOD, np.uint8)
        ids = [self.table.ids_of(device) for device in range(tags // self.per)]
        result = []
        for window in range(windows):
            blocks = []
            for k in range(per_window):
                stamp = np.full(self.per, window * _S + k * _S // per_window, np.int64)
                values = rng.normal(100, 1, tags).astype(np.float32).astype(float)
                blocks += [
                    SampleBlock(tag, stamp, values[d * self.per : (d + 1) * self.per], good) for d, tag in enumerate(ids)
                ]
            result.append(blocks)
        return result

    def close(self, window: int) -> list[Message]:
        """End a window; returns its messages."""
        closed = self.chain.close((window + 1) * _S + _S // 2)
        messages = [m for block in closed.windows for m in self.encoder.windows(block)]
        return messages + [m for block in closed.summaries for m in self.encoder.summaries(block)]


def _cost(tags: int, per_window: int, windows: int, deadband: str = "0", late: str = "merge") -> tuple[float, float, float]:
    """(CPU ns per sample, median ms to close a window, bytes per sample), everything included."""
    plant = Plant(tags, deadband, late=late)
    batches = plant.blocks(windows + 1, per_window)
    closes: list[float] = []
    sent, begin = 0, 0.0
    for window, blocks in enumerate(batches):
        if window == 1:  # the first window warms up caches and arrays
            begin, closes, sent = time.process_time(), [], 0
        for block in blocks:
            plant.chain.push(block, window * _S + _S - 1)
        before = time.perf_counter()
        sent += sum(len(m.payload) for m in plant.close(window))
        closes.append((time.perf_counter() - before) * 1e3)
    samples = tags * per_window * windows
    return (time.process_time() - begin) / samples * 1e9, float(np.median(closes)), sent / samples


def _throughput() -> Iterator[Figure]:
    for per_window, windows in ((10, 8), (100, 3)):
        ns, _, size = _cost(10_000, per_window, windows)
        on = f"10,000 float32 tags, {per_window} samples each a window, all sent ({size:.1f} B/sample), limits, detector"
        name = "pipeline_samples_per_s" if per_window == 100 else f"pipeline_samples_per_s_{per_window}_per_window"
        yield Figure(name, 1e9 / ns, "samples/s", on, ">= 5,000,000")


def _close() -> Iterator[Figure]:
    _, ms, _ = _cost(10_000, 10, 12)
    yield Figure(
        "window_close_ms", ms, "ms", "10,000 tags x 10 samples: fold, close, filter, detect, encode every tag", "<= 20"
    )


def _scaling() -> Iterator[Figure]:
    small = min(_cost(100, 10_000, 3)[0] for _ in range(2))
    large = min(_cost(100_000, 10, 3)[0] for _ in range(2))
    on = f"1,000,000 samples a window, all sent: 100,000 tags x 10 ({large:.0f} ns), 100 tags x 10,000 ({small:.0f} ns)"
    yield Figure("pipeline_scaling_all_sent_ratio", large / small, "ratio", on)
    small = min(_cost(100, 10_000, 3, "50")[0] for _ in range(2))
    large = min(_cost(100_000, 10, 3, "50")[0] for _ in range(2))
    on = f"the same within the deadband, nothing sent: {large:.0f} ns against {small:.0f} ns"
    yield Figure("pipeline_scaling_ratio", large / small, "ratio", on, "about 1")


def _late() -> Iterator[Figure]:
    """What it costs to keep windows so that they can be replaced, and to replace one of a device with 100 tags."""
    merge = min(_cost(10_000, 10, 12)[0] for _ in range(3))
    keep = min(_cost(10_000, 10, 12, late="replace")[0] for _ in range(3))
    on = f"10,000 tags x 10 samples a window: {keep:.0f} ns a sample with `late: replace`, {merge:.0f} ns without"
    yield Figure("late_replace_ratio", keep / merge, "ratio", on, "about 1")
    plant = Plant(10_000, late="replace")
    for window, blocks in enumerate(plant.blocks(12, 1)):
        for block in blocks:
            plant.chain.push(block, window * _S + _S - 1)
        plant.close(window)
    one = np.array([5], np.uint32), np.array([9.0]), np.full(1, Quality.GOOD, np.uint8)
    times = []
    for at in range(20):
        plant.chain.push(SampleBlock(one[0], np.full(1, 3 * _S + at), one[1], one[2]), 12 * _S)
        begin = time.perf_counter()
        assert sum(len(message.payload) for message in plant.close(11)) > 10_000
        times.append((time.perf_counter() - begin) * 1e3)
    on = "10,000 tags, one late sample, its device of 100 tags: add, close, encode"
    yield Figure("late_replace_ms", float(np.median(times)), "ms", on, "<= 5")


def _formulas() -> Iterator[Figure]:
    """The stage of computed tags alone: each device has one poll with a number and an exponent for every formula."""
    devices, each, polls = 100, 50, 40
    per = 3 * each
    tags = tuple(Tag(i, i // per, f"tag_{i}", interval_ns=_S) for i in range(devices * per))
    tree = parse_formula("raw * 10 ** sf").tree
    made = [
        FormulaTag(first + 2 * each + at, tree, (first + at, first + each + at), is_polled=True)
        for first in range(0, devices * per, per)
        for at in range(each)
    ]
    stage = Formulas(TagTable(tuple(f"device_{i}" for i in range(devices)), tags), made)
    good, raw = np.full(2 * each, Quality.GOOD, np.uint8), np.full(2 * each, -1.0)
    ids = [np.arange(first, first + 2 * each, dtype=np.uint32) for first in range(0, devices * per, per)]
    begin, count = time.process_time(), 0
    for poll in range(polls):
        stamp = np.full(2 * each, poll * _S, np.int64)
        for own in ids:
            count += sum(len(block) for block in stage.push(SampleBlock(own, stamp, raw, good, cycle=poll)))
    ns = (time.process_time() - begin) / count * 1e9
    on = f"{devices} devices, {each} formulas `raw * 10 ** sf` each, one block a poll ({count} computed samples)"
    yield Figure("formula_us_per_sample", ns / 1e3, "us", on)


def _live() -> Iterator[Figure]:
    """The read model beside the pipeline: per sample with polls of 100 tags, and one answer of what has changed."""
    plant = Plant(10_000, observed=True)
    model = plant.live
    assert model is not None
    batches = plant.blocks(20, 10)
    begin = time.process_time()
    for blocks in batches:
        for block in blocks:
            model.samples(block)
        model.version  # noqa: B018  # folds, as a window with stale tags does
    ns = (time.process_time() - begin) / (20 * 10 * 10_000) * 1e9
    on = "10,000 tags x 10 samples a window in blocks of 100 rows, written to the columns once a window"
    yield Figure("live_model_ns_per_sample", ns, "ns", on, "near 0")
    for block in batches[0]:
        model.samples(block)
    begin = time.perf_counter()
    count = len(model.values_since(model.version - 1))
    yield Figure("live_model_changes_ms", (time.perf_counter() - begin) * 1e3, "ms", f"what changed: {count:,} tags")


BENCHES = (
    Bench(("live_model_ns_per_sample", "live_model_changes_ms"), _live),
    Bench(("formula_us_per_sample",), _formulas),
    Bench(("pipeline_samples_per_s",), _throughput),
    Bench(("window_close_ms",), _close),
    Bench(("late_replace_ratio", "late_replace_ms"), _late),
    Bench(("pipeline_scaling_ratio",), _scaling),
)
