"""What stands at the broker about tags, and what is taken away when it has no place any more."""

import asyncio
import json
from pathlib import Path

import pytest

from gateway.core.ports.layout import Packet
from gateway.core.tags import Tag, TagTable
from gateway.encoding.columns import set_id
from gateway.encoding.descriptions import Descriptions, description_of
from gateway.encoding.topics import Topics
from tests.support.schemas import check

TABLE = TagTable(
    ("oven", "press"),
    (
        Tag(0, 0, "temperature", "°C", single=True, interval_ns=100_000_000, range=(0, 250), description="at the top"),
        Tag(1, 0, "recipe", text=True),
        Tag(2, 1, "running", logical=True),
        Tag(3, 1, "cycles"),
    ),
)
TOPICS = Topics.of("plant", "g", TABLE.devices)
PRESS = TagTable(("press",), (Tag(0, 0, "running", logical=True),))


async def all_of(descriptions: Descriptions) -> list[Packet]:
    packets = list(await descriptions.changes())
    for packet in packets:
        descriptions.arrived(packet)
    return packets


def test_a_description_says_what_is_known_and_nothing_else() -> None:
    found = json.loads(description_of(TABLE, 0))
    check("plant/v1/g/oven/tags", found)
    assert found == {
        "set": set_id(["temperature", "recipe"]),
        "tags": [
            {
                "name": "temperature", "unit": "°C", "description": "at the top", "type": "float32",
                "range": [0, 250], "interval_ms": 100.0,
            },
            {"name": "recipe", "type": "text"},
        ],
    }  # fmt: skip
    assert [tag["type"] for tag in json.loads(description_of(TABLE, 1))["tags"]] == ["boolean", "number"]


async def test_a_set_is_known_once_its_description_has_arrived_on_this_connection(tmp_path: Path) -> None:
    one = Descriptions(TOPICS, TABLE, tmp_path / "kept")
    one.connected()
    packets = list(await one.changes())
    assert one.known_set("plant/v1/g/oven") == ""
    one.arrived(packets[0])
    assert one.known_set("plant/v1/g/oven") == set_id(["temperature", "recipe"])
    assert one.known_set("plant/v1/g/press") == ""
    one.connected()
    assert one.known_set("plant/v1/g/oven") == ""


async def test_what_has_no_place_any_more_is_taken_away(tmp_path: Path) -> None:
    """At a change while it runs, and at the next start; once that has arrived it is forgotten."""
    file = tmp_path / "kept"
    one = Descriptions(TOPICS, TABLE, file, lambda: {"b/oven/temperature": b"", "ha/config": b"{}"})
    one.connected()
    assert [(p.topic, p.payload != b"") for p in await all_of(one)] == [
        ("plant/v1/g/oven/tags", True),
        ("plant/v1/g/press/tags", True),
        ("ha/config", True),
    ]
    one.adopt(Topics.of("plant", "g", ("press",)), PRESS, dict)
    gone = [p.topic for p in await all_of(one) if not p.payload]
    assert gone == ["b/oven/temperature", "ha/config", "plant/v1/g/oven/tags"]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(one.changes(), 0.05)  # nothing changes; what stands is remembered
    again = Descriptions(Topics.of("plant", "g", ("press",)), PRESS, file)
    again.connected()
    assert [p.topic for p in await all_of(again)] == ["plant/v1/g/press/tags"]


async def test_a_start_takes_away_what_a_killed_run_had_published(tmp_path: Path) -> None:
    """Also what it was about to take away: that may not have arrived."""
    file = tmp_path / "kept"
    one = Descriptions(TOPICS, TABLE, file)
    one.connected()
    await all_of(one)
    one.adopt(Topics.of("plant", "g", ("press",)), PRESS, dict)
    await one.changes()
    again = Descriptions(Topics.of("plant", "g", ("press",)), PRESS, file)
    again.connected()
    assert [p.topic for p in await all_of(again) if not p.payload] == ["plant/v1/g/oven/tags"]


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[1, null]", b"\xff" * 9, b'["#", "a/+/b", "a\\u0000"]'])
async def test_a_damaged_memory_costs_nothing_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "kept").write_bytes(content)
    one = Descriptions(TOPICS, TABLE, tmp_path / "kept")
    one.connected()
    assert len(await all_of(one)) == 2
    lost = Descriptions(TOPICS, TABLE, tmp_path / "no folder" / "kept")
    lost.connected()
    assert len(await all_of(lost)) == 2
