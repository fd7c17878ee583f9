"""Finding tags."""

import asyncio

import pytest

from gateway.core.quality import Quality
from gateway.core.tag_move import TagMove
from gateway.core.tags import TagTable
from gateway.web.query import BadQuery
from gateway.web.tag_search import TagSearch
from tests.support.web_view import fake_plant


async def test_words_device_and_quality() -> None:
    plant = fake_plant(devices=2, tags=5)
    plant.read([0, 1, 2], [1.0, 2.0, 3.0])
    plant.read([3], [float("nan")], Quality.BAD_TIMEOUT)
    search = TagSearch(plant.live)
    assert (await search.find("", "", "")).tolist() == list(range(10))
    assert (await search.find("D1 T3", "", "")).tolist() == [8]
    assert (await search.find("t1", "d0", "")).tolist() == [1]
    assert (await search.find("", "", "good")).tolist() == [0, 1, 2]
    assert 3 in (await search.find("", "d0", "bad")).tolist()
    assert (await search.find("", "nobody", "")).size == 0
    assert (await search.find("t", "", "uncertain")).size == 0


async def test_a_table_that_shrinks_during_the_search_is_searched_again() -> None:
    plant = fake_plant(devices=4, tags=5)
    small = TagTable(("d0",), plant.table.tags[:5])
    search = TagSearch(plant.live)
    asked = asyncio.ensure_future(search.find("t", "", "bad"))
    await asyncio.sleep(0)
    move = TagMove.between(plant.table, small, set())
    plant.live.take_table(small, move, plant.now_ns())
    assert (await asked).tolist() == list(range(5))
    assert (await search.find("d0 t4", "", "")).tolist() == [4]


async def test_a_table_that_never_rests_is_no_bug() -> None:
    plant = fake_plant()
    search = TagSearch(plant.live)

    async def change() -> None:
        while True:
            plant.live.table_version += 1
            await asyncio.sleep(0)

    changing = asyncio.create_task(change())
    try:
        with pytest.raises(BadQuery) as refused:
            await search.find("t", "", "")
        assert refused.value.status == 503
    finally:
        changing.cancel()
