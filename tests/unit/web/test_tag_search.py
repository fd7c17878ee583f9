"""Finding tags."""

from gateway.core.quality import Quality
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
