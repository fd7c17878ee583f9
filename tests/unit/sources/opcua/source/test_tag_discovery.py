"""Found tags and the file that keeps them; what an entry of `browse` may say."""

import os

import pytest
from pydantic import ValidationError

from gateway.sources.opcua.config.browse import Browse
from gateway.sources.opcua.port.errors import NotFound
from gateway.sources.opcua.port.findings import Findings, FoundTag
from gateway.sources.opcua.port.units import EngineeringUnit
from gateway.sources.opcua.source.tag_discovery import compare, found_path, left_out, store_found
from tests.support.opcua_fake import entry

SPEED = FoundTag(("Motor", "Speed"), "nsu=urn:x;s=speed", EngineeringUnit("mm/s", "0 to 5"))
LOAD = FoundTag(("Motor", "Load"), "nsu=urn:x;s=load")


def device(folder, **browse):
    return entry(browse=browse, found=str(folder)).config


def test_only_devices_with_browse_have_found_tags(tmp_path):
    assert found_path(entry().config) is None
    assert found_path(device(tmp_path)) == tmp_path / "plc.csv"


def test_what_is_found_is_kept_and_only_news_are_told(tmp_path):
    config = device(tmp_path / "new" / "folder")
    first = store_found(config, Findings([SPEED]))
    assert (first.added, first.removed, first.altered) == (["Motor.Speed"], [], [])
    assert store_found(config, Findings([SPEED])) is None
    second = store_found(config, Findings([LOAD], ended=True))
    assert (second.added, second.removed, second.cut) == (["Motor.Load"], ["Motor.Speed"], True)
    assert found_path(config).read_text() == "name,node,unit,range\nMotor.Load,nsu=urn:x;s=load,,\n"
    assert sorted(os.listdir(found_path(config).parent)) == ["left_out", "plc.csv"]
    assert list(left_out(config)) == ["everything beyond the nodes that one walk visits"]


def test_another_unit_is_an_altered_tag():
    assert compare("name,node,unit\na,i=1,m\n", "name,node,unit\na,i=1,mm\n").altered == ["a"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotFound, match="cannot be kept"):
        store_found(device(tmp_path / "file" / "below"), Findings([SPEED]))


def test_names_are_chosen_by_patterns():
    browse = Browse.model_validate({"include": ["Motor*.Speed", "*.Load"], "exclude": "Motor9.*"})
    names = ["Motor1.Speed", "Motor1.speed", "Pump.Load", "Motor9.Load", "Motor1.Speed.Max"]
    assert [name for name in names if browse.wants(name)] == ["Motor1.Speed", "Pump.Load"]
    assert Browse().wants("anything")
    elements = Browse.model_validate({"include": ["motors.[0].*", "level[12]"]})
    assert [
        name
        for name in ("motors.[0].speed", "motors.0.speed", "motors.[1].speed", "level1", "level3")
        if elements.wants(name)
    ] == [
        *("motors.[0].speed", "motors.0.speed", "level1"),
    ]


def test_one_entry_may_stand_without_a_list():
    one, two = device("x", root="/Objects/2:Line"), entry(browse=[{"root": "i=1"}, {"root": "i=2"}], found="x").config
    assert [b.root for b in one.browse] == ["/Objects/2:Line"]
    assert [b.root for b in two.browse] == ["i=1", "i=2"]


@pytest.mark.parametrize(
    ("browse", "word"),
    [
        ({"root": "Line"}, "not a NodeId"),
        ({"type": "/"}, "expected a browse path"),
        ({"include": [""]}, "not a list of patterns"),
        ({"include": 3}, "not a list of patterns"),
        ({"depth": 0}, "greater than or equal to 1"),
        ({"most": 0}, "greater than or equal to 1"),
        ({"values": "text"}, "'numbers' or 'all'"),
        ({"roots": "i=85"}, "not permitted"),
        ("i=85", "expected keys such as root"),
    ],
)
def test_what_is_wrong_with_an_entry_is_said(browse, word):
    with pytest.raises(ValidationError, match=word):
        entry(browse=browse)


def test_a_kept_file_that_somebody_has_spoilt_is_written_anew():
    spoilt = "name,node\n" + "a" * 200_000 + ",i=1\n"
    assert compare(spoilt, "name,node\nb,i=2\n").added == ["b"]
