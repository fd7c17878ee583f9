"""The tag table and the byte of quality."""

import pytest

from gateway.core.quality import CLASS_NAMES, GOOD_FROM, REASONS, USABLE_FROM, Quality
from gateway.core.tags import Tag, TagTable


def table_of(*devices: int) -> TagTable:
    names = tuple(f"d{n}" for n in range(max(devices, default=-1) + 2))
    return TagTable(names, tuple(Tag(i, device, f"t{i}") for i, device in enumerate(devices)))


def test_the_tags_of_a_device_are_a_range() -> None:
    """Devices without tags have an empty one, wherever they stand."""
    table = table_of(1, 1, 3)
    assert [table.range_of(d) for d in range(5)] == [(0, 0), (0, 2), (2, 2), (2, 3), (3, 3)]
    assert [table.ids_of(d).tolist() for d in range(5)] == [[], [0, 1], [], [2], []]
    assert table.ids_of(1).dtype == "uint32"
    assert (len(table), table.label(2)) == (3, "d3/t2")


@pytest.mark.parametrize("tags", [((1, 0),), ((0, 0), (2, 0)), ((0, 1), (1, 0))])
def test_ids_are_dense_and_grouped_by_device(tags: tuple[tuple[int, int], ...]) -> None:
    """Everything else would mix up columns, so it is refused."""
    with pytest.raises(ValueError, match="dense and grouped"):
        TagTable(("a", "b"), tuple(Tag(i, d, "t") for i, d in tags))


def test_the_smaller_quality_is_the_worse_one() -> None:
    """Bad, uncertain and good are ranges of the byte, and a byte that nobody set is bad."""
    for code in Quality:
        name = CLASS_NAMES[code >> 6]
        assert name == code.name.split("_")[0].lower()
        assert (name != "bad") == (code >= USABLE_FROM)
        assert (name == "good") == (code >= GOOD_FROM)
    assert CLASS_NAMES[0] == CLASS_NAMES[0x80 >> 6] == "bad"
    assert (REASONS[Quality.BAD_NOT_CONNECTED], REASONS[0], REASONS[0x9A]) == ("not_connected", "unspecified", "code_0x9a")
