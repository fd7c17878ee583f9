"""Windows as columns say the same as windows as rows, tag by tag and key by key."""

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.blocks import WindowBlock
from gateway.core.decoded_message import Malformed
from gateway.core.messages import Message
from gateway.core.quality import Quality
from gateway.core.tags import Tag, TagTable
from gateway.encoding.columns import document_of, in_style, rows_of, set_id, without_names
from gateway.encoding.decoder import parse
from gateway.encoding.encoder import Encoder, WindowStyle
from gateway.encoding.merge_windows import merge_windows
from gateway.encoding.topics import Topics
from gateway.encoding.window_json import STATISTICS
from tests.support.blocks import SECOND, T0
from tests.support.schemas import check
from tests.unit.encoding.test_encoder import BOOT

NAMES = ('plain "quoted"', ',"names":[', "Öl °C", "d", '"hist":false')
TABLE = TagTable(
    ("press", "line"),
    (*(Tag(i, 0, name, single=i % 2 == 0) for i, name in enumerate(NAMES)), Tag(5, 1, "speed")),
)
ALL = STATISTICS
CODES = [int(one) for one in Quality]


def messages(block: WindowBlock, *styles: WindowStyle) -> list[Message]:
    return Encoder(Topics.of("plant", "g", TABLE.devices), TABLE, BOOT, styles).windows(block)


@st.composite
def blocks(draw: st.DrawFn) -> WindowBlock:
    """Any window: some of the tags, with and without samples, of any quality."""
    tags = sorted(draw(st.sets(st.integers(0, 5), min_size=1)))
    size = len(tags)
    counts = np.array(draw(st.lists(st.sampled_from([0, 1, 1, 2, 10]), min_size=size, max_size=size)), np.int64)
    used = np.minimum(counts, np.array(draw(st.lists(st.integers(0, 10), min_size=size, max_size=size)), np.int64))
    good = np.minimum(used, np.array(draw(st.lists(st.integers(0, 10), min_size=size, max_size=size)), np.int64))
    number = st.floats(allow_nan=False, allow_infinity=False, width=32)
    columns = np.array(draw(st.lists(st.tuples(*[number] * 6), min_size=size, max_size=size)), np.float64).T.copy()
    quality = np.array(draw(st.lists(st.sampled_from(CODES), min_size=size, max_size=size)), np.uint8)
    columns[3] = np.abs(columns[3])
    several, empty = counts > 1, used == 0
    for at in range(5):
        columns[at] = np.where(several, columns[at], 0.0 if STATISTICS[at] == "std" else columns[5])
        columns[at][empty] = np.nan
    columns[5][empty & (counts > 0)] = np.nan
    times = np.full(size, T0 - SECOND, np.int64)
    return WindowBlock(
        T0, SECOND, draw(st.booleans()), np.array(tags, np.uint32), counts, good, used, *columns, times, quality
    )


@given(blocks(), st.sampled_from([ALL, ("mean", "last"), ("min", "max", "last"), ("last",)]))
def test_columns_say_what_rows_say(block: WindowBlock, statistics: tuple[str, ...]) -> None:
    """And from rows to columns and back nothing changes; a reader gets the rows of either."""
    rows = messages(block, *[WindowStyle(False, statistics)] * 2)
    columns = messages(block, *[WindowStyle(True, statistics)] * 2)
    for one, other in zip(rows, columns, strict=True):
        want, got = json.loads(one.payload), document_of(other.payload)
        if statistics == ALL:
            check(one.topic, want)
        several = {name for name, row in want["tags"].items() if row["n"] > 1}
        assert {name: got["tags"][name] for name in several} == {name: want["tags"][name] for name in several}
        for name, row in want["tags"].items():
            assert row.items() <= got["tags"][name].items()
        assert {key: value for key, value in got.items() if key != "tags"} == {k: v for k, v in want.items() if k != "tags"}
        assert parse(other.topic, other.payload).body == got


@given(blocks())
def test_stored_in_one_style_and_sent_in_the_other(block: WindowBlock) -> None:
    """After a change of the format, what waits goes out as the new one says."""
    for one, other in zip(messages(block), messages(block, *[WindowStyle(True)] * 2), strict=True):
        assert json.loads(in_style(other.payload, other.topic, columns=False)) == json.loads(one.payload)
        sent = in_style(one.payload, one.topic, columns=True)
        assert rows_of(json.loads(sent)) == json.loads(one.payload)
        assert in_style(other.payload, other.topic, columns=True) is other.payload


@given(st.lists(blocks(), min_size=2, max_size=4))
def test_merged_windows_are_the_same_from_either(some: list[WindowBlock]) -> None:
    starts = [
        WindowBlock(*((T0 + at * SECOND), SECOND, False), *[getattr(b, f) for f in FIELDS]) for at, b in enumerate(some)
    ]
    rows = Encoder(Topics.of("plant", "g", TABLE.devices), TABLE, BOOT)
    columns = Encoder(Topics.of("plant", "g", TABLE.devices), TABLE, BOOT, [WindowStyle(True)] * 2)
    of_rows = [m for block in starts for m in rows.windows(block) if "press" in m.topic]
    of_columns = [m for block in starts for m in columns.windows(block) if "press" in m.topic]
    assert [json.loads(m.payload) for m in merge_windows(of_rows)] == [
        json.loads(m.payload) for m in merge_windows(of_columns)
    ]


FIELDS = ("tag", "count", "good", "used", *STATISTICS, "last_time", "quality")


def test_names_are_left_out_where_a_description_has_them() -> None:
    """Whatever the names are; only those of the set that is described."""
    block = WindowBlock(
        T0, SECOND, False, np.array([0, 1, 4], np.uint32), *[np.array([1, 1, 1], np.int64)] * 3,
        *[np.array([1.0, 2.0, 3.0])] * 6, np.array([T0] * 3, np.int64), np.array([192] * 3, np.uint8),
    )  # fmt: skip
    (message,) = messages(block, WindowStyle(True), WindowStyle(True))
    known = set_id(NAMES)
    short = without_names(message.payload, known)
    body = json.loads(short)
    assert "names" not in body
    assert body["rows"] == [0, 1, 4]
    assert rows_of(body, {known: NAMES}) == document_of(message.payload)
    assert without_names(message.payload, "00000000") == message.payload
    with pytest.raises(ValueError, match="which has not been received"):
        rows_of(body)


@pytest.mark.parametrize(
    "body",
    [
        {"n": 1, "names": "abc"},
        {"n": [1], "q": "good", "last": [1, 2], "names": ["a", "b"]},
        {"n": 1, "set": "x", "rows": [9], "q": "good", "last": [1]},
        {"n": 0, "q": "good", "last": 1, "last_ts": [1, 2, 3], "names": ["a"]},
    ],
)
def test_columns_that_do_not_fit_are_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"expected|places|received|texts"):
        rows_of(body, {"x": ["a"]})


@pytest.mark.parametrize("what", [[], {}, None, 5, [[1]]])
def test_a_set_or_rows_of_any_kind_is_read_or_malformed_and_nothing_else(what: object) -> None:
    """Whoever publishes may write anything."""
    head = {"boot": BOOT, "seq": 1, "ts": 1, "dur": 1000, "hist": False, "n": 1, "q": "good", "last": 1.0}
    for body in ({"set": what}, {"set": "x", "rows": what}, {"names": what}, {"set": "x", "n": what, "q": what}):
        with contextlib.suppress(Malformed):
            parse("plant/v1/g/press/window", json.dumps(head | body).encode())
