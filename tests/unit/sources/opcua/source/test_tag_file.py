"""Tag names from browse paths."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.config_types import check_name
from gateway.sources.opcua.source.tag_file import tag_file, tag_names


def test_names_are_paths_joined_by_dots():
    assert tag_names([("Line", "Speed"), ("Line.Speed",)]) == ["Line.Speed", "Line.Speed_2"]


def test_a_tag_file_is_csv():
    text = tag_file([("Line.Speed", "ns=2;s=a,b", "m/s", "0 to 5")])
    assert text == 'name,node,unit,range\nLine.Speed,"ns=2;s=a,b",m/s,0 to 5\n'


@given(st.lists(st.lists(st.text(max_size=80), max_size=4), max_size=20))
def test_every_name_is_valid_and_unique(paths):
    names = tag_names(paths)
    assert len(set(names)) == len(paths)
    assert [check_name(name) for name in names] == names
