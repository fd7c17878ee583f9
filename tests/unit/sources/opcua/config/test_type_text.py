"""Types as people write them."""

import pytest

from gateway.sources.opcua.config.type_text import is_type_name, parse_type_name, type_text


@pytest.mark.parametrize(
    ("text", "is_name"),
    [("MachineToolType", True), ("4:Pump", True), ("{urn:x}Pump", True), ("i=2004", False), ("/Types/X", False)],
)
def test_names_node_ids_and_paths_are_told_apart(text, is_name):
    assert type_text(f" {text} ") == text
    assert is_type_name(text) == is_name


def test_a_name_may_say_its_namespace():
    assert [parse_type_name(text) for text in ("Pump", "4:Pump", "{urn:x}Pump")] == [
        ((0, "", "Pump"), False),
        ((4, "", "Pump"), True),
        ((0, "urn:x", "Pump"), True),
    ]


@pytest.mark.parametrize("text", ["", "a/b", "ns=2;x=1", "99999:Pump", 7])
def test_what_is_no_type_is_refused_with_what_was_expected(text):
    with pytest.raises(ValueError, match="expected"):
        type_text(text)
