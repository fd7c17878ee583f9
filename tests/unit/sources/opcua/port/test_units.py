"""Units and ranges of configured tags, as the server tells them."""

import pytest

from gateway.sources.opcua.config.device import OpcUaTag
from gateway.sources.opcua.port.units import EngineeringUnit, completed, lacking, unit_of, units_path
from gateway.sources.opcua.source.tag_discovery import is_refreshed, keep_measures
from tests.support.opcua_fake import entry


def tag(**keys: object) -> OpcUaTag:
    return OpcUaTag.model_validate({"name": "t", "node": "i=1", **keys})


@pytest.mark.parametrize(
    ("properties", "measure"),
    [
        ({"EngineeringUnits": "°C", "EURange": (-40.0, 120.5)}, EngineeringUnit("°C", "-40 to 120.5")),
        ({"EngineeringUnits": " mm\n/s "}, EngineeringUnit("mm /s", "")),
        ({"EURange": (0.0, 0.0)}, EngineeringUnit()),
        ({"EURange": (5.0, 1.0)}, EngineeringUnit()),
        ({"EURange": (float("nan"), 1.0)}, EngineeringUnit()),
        ({"EURange": (0.0, float("inf"))}, EngineeringUnit()),
        ({"EURange": (0.0, 1e300)}, EngineeringUnit("", "0 to 1e+300")),
        ({"EngineeringUnits": None, "EURange": None}, EngineeringUnit()),
        ({}, EngineeringUnit()),
    ],
)
def test_what_makes_sense_of_a_nodes_properties_is_taken(properties, measure):
    assert unit_of(properties) == measure


def test_only_tags_that_show_the_nodes_own_values_take_its_unit():
    line = {"node": "i=1", "unit": "m", "range": "0 to 1"}
    whole = [tag(), tag(index="2"), tag(element="3")]
    others = [tag(scale=0.1), tag(offset=1), tag(field="a")]
    assert [completed(one, line).unit for one in whole + others] == ["m", "m", "m", "", "", ""]
    assert lacking(whole + others) == whole


def test_the_configuration_wins_and_what_was_told_is_asked_for_again():
    line = {"node": "i=1", "unit": "m", "range": "0 to 1"}
    configured = tag(unit="mm")
    filled = completed(configured, line)
    assert (filled.unit, filled.range) == ("mm", (0, 1))
    assert lacking([configured, filled]) == [configured, filled]
    assert lacking([tag(unit="mm", range="0 to 3")]) == []
    assert completed(configured, {"node": "i=2", "range": "0 to 1"}) is configured


def test_units_alone_are_asked_for_at_a_start_until_they_were_told(tmp_path):
    one = entry(nodes=["i=1", {"node": "i=2", "unit": "m", "range": "0 to 1"}], found=str(tmp_path))
    assert is_refreshed(one.config, one.tags)
    assert not is_refreshed(one.config, one.tags[1:])
    assert keep_measures(one.config, one.tags[:1], [EngineeringUnit()]) is None
    assert not is_refreshed(one.config, one.tags)
    change = keep_measures(one.config, one.tags[:1], [EngineeringUnit("m", "0 to 5")])
    assert (change.added, change.removed, change.altered) == ([], [], ["t0"])
    assert keep_measures(one.config, one.tags[:1], [EngineeringUnit("m", "0 to 5")]) is None
    assert units_path(one.config).read_text() == "name,node,unit,range\nt0,i=1,m,0 to 5\n"
