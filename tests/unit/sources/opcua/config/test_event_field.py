"""Fields of events in configuration files."""

import pytest

from gateway.sources.opcua.config.browse_path import PathStep
from gateway.sources.opcua.config.event_field import parse_event_field


def test_names_with_and_without_namespaces():
    uri = "http://acme.com/line"
    assert parse_event_field("SourceNode") == (PathStep(0, "", "SourceNode"),)
    assert parse_event_field("ActiveState/Id") == (PathStep(0, "", "ActiveState"), PathStep(0, "", "Id"))
    assert parse_event_field("2:Batch/3:a:b") == (PathStep(2, "", "Batch"), PathStep(3, "", "a:b"))
    assert parse_event_field(f"{{{uri}}}Batch/Id") == (PathStep(0, uri, "Batch"), PathStep(0, "", "Id"))
    assert parse_event_field(f"nsu={uri};Batch/2:Id") == (PathStep(0, uri, "Batch"), PathStep(2, "", "Id"))


@pytest.mark.parametrize(
    "text", ["", "/", "a/", "/a", "a//b", "x:y", "2:", "70000:a", "{}a", "{urn:x}", "{urn:x", "nsu=urn:x;", "nsu=;a", " "]
)
def test_what_is_no_field_is_refused(text):
    with pytest.raises(ValueError, match="is no field of an event; expected"):
        parse_event_field(text)
