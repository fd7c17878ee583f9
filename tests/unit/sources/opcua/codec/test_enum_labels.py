"""Labels of enumerations."""

import numpy as np

from gateway.core.blocks import SampleBlock
from gateway.core.quality import Quality
from gateway.sources.opcua.codec.enum_labels import LabelRetries, Labels, labels_in

MODES = {0: "Stopped", 1: "Running", 7: "Faulty"}


def block(*rows: tuple[int, float, int]) -> SampleBlock:
    tags, values, qualities = zip(*rows, strict=True)
    times = np.arange(len(rows), dtype=np.int64)
    return SampleBlock(np.array(tags, np.uint32), times, np.array(values, float), np.array(qualities, np.uint8))


def labels() -> Labels:
    made = Labels(10, 3)
    assert made.learn([(0, {}), (1, MODES)]) == [1]
    return made


def told(made: Labels, *rows: tuple[int, float, int]) -> list[tuple[int, int, object, int]]:
    found = made.of(block(*rows))
    if found is None:
        return []
    return list(zip(found.tag.tolist(), found.time.tolist(), found.value, found.quality.tolist(), strict=True))


def test_each_number_brings_its_label():
    """Whether it is news is decided where it is told, which must know that it still holds."""
    made, good = labels(), Quality.GOOD
    assert told(made, (10, 1, good), (11, 1, good), (11, 1, good), (11, 7, good)) == [
        (11, 1, "Running", good), (11, 2, "Running", good), (11, 3, "Faulty", good)
    ]  # fmt: skip
    assert told(made, (11, 7, Quality.UNCERTAIN)) == [(11, 0, "Faulty", Quality.UNCERTAIN)]


def test_a_number_without_a_label_is_uncertain():
    assert told(labels(), (11, 5, Quality.GOOD)) == [(11, 0, 5, Quality.UNCERTAIN_RANGE)]


def test_a_label_ends_when_the_number_does_and_a_first_bad_value_says_nothing():
    made = labels()
    assert told(made, (11, np.nan, Quality.BAD_TIMEOUT)) == []
    assert told(made, (11, 1, Quality.GOOD), (11, np.nan, Quality.BAD_TIMEOUT)) == [
        (11, 0, "Running", Quality.GOOD), (11, 1, None, Quality.BAD_TIMEOUT)
    ]  # fmt: skip


def test_new_labels_are_told_again():
    made = labels()
    told(made, (11, 1, Quality.GOOD))
    made.learn([(1, {1: "Läuft"})])
    assert told(made, (11, 1, Quality.GOOD)) == [(11, 0, "Läuft", Quality.GOOD)]


def test_only_what_was_asked_is_learned():
    made = labels()
    told(made, (11, 1, Quality.GOOD))
    assert made.learn([(2, MODES)]) == [2]
    assert told(made, (11, 7, Quality.GOOD), (12, 1, Quality.GOOD)) == [
        (11, 0, "Faulty", Quality.GOOD), (12, 1, "Running", Quality.GOOD)
    ]  # fmt: skip
    assert made.learn([(1, {})]) == []
    assert told(made, (11, 1, Quality.GOOD)) == []


def test_a_server_that_will_not_say_is_asked_ever_less():
    unasked, now, delays = LabelRetries(), 0.0, []
    for _ in range(8):
        unasked.refused([4], now)
        delays.append(next(s for s in range(1, 4000) if unasked.due(now + s, ())))
        now += delays[-1]
    assert delays == [60, 120, 240, 480, 960, 1800, 1800, 1800]
    unasked.clear([4])
    assert not unasked


def test_a_bad_node_is_not_asked_and_at_once_when_it_is_good_again():
    unasked = LabelRetries()
    unasked.refused([1, 2], 0)
    assert unasked.due(61, {1}) == [2]
    assert unasked.due(5, {1}) == []
    assert unasked.due(6, ()) == [1]
    unasked.refused([1], 6)
    assert unasked.due(6 + 119, ()) == [2], "twice as long as before"
    assert unasked.due(6 + 120, ()) == [1, 2]


def test_labels_stand_in_one_of_three_kinds_of_property():
    assert labels_in({"EnumStrings": ["off", "on"]}) == {0: "off", 1: "on"}
    assert labels_in({"EnumValues": [(3, "off"), (9, "on")]}) == {3: "off", 9: "on"}
    assert labels_in({"TrueState": "open", "FalseState": "closed"}) == {0: "closed", 1: "open"}
    assert labels_in({}) == {}


def test_bits_are_told_by_their_names_and_by_their_number_where_they_have_none():
    bits = labels_in({"OptionSetValues": ["ready", "", "warm"]})
    assert [bits.get(number) for number in (0, 1, 4, 5, 0x8003, -1)] == [
        [],
        ["ready"],
        ["warm"],
        ["ready", "warm"],
        ["ready", 1, 15],
        None,
    ]
    assert not labels_in({"OptionSetValues": ["", ""]})


def test_numbers_that_are_rounded_have_no_labels():
    """The integer itself is told as an object, exactly."""
    labels = Labels(0, 1)
    labels.learn([(0, labels_in({"OptionSetValues": ["ready"]}))])
    assert labels.of(block((0, float(2**53), Quality.GOOD))) is None
    assert labels.of(block((0, 1.0, Quality.GOOD))).value == [["ready"]]
