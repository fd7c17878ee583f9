"""Browse names that are kept over restarts."""

import pytest

from gateway.core.ports.watermarks import StoredWatermark
from gateway.sources.opcua.config.browse_path import PathStep
from gateway.sources.opcua.port.node_names import KeptNodeNames
from tests.support.opcua_fake import entry
from tests.support.watermarks_fake import FakeWatermarks

TEMP, CYCLES = PathStep(0, "urn:line", "Temp"), PathStep(0, "urn:line", "Cycles")


def names_of(watermarks: FakeWatermarks, url: str = "opc.tcp://127.0.0.1:4840", **nodes: str) -> KeptNodeNames:
    given = entry(nodes=[{"name": name, "node": node} for name, node in nodes.items()], url=url)
    names = KeptNodeNames(watermarks, given.config, given.tags)
    names.load()
    return names


@pytest.fixture
def watermarks() -> FakeWatermarks:
    kept = FakeWatermarks()
    assert not names_of(kept, temp="ns=2;i=1", cycles="ns=2;i=2").compare({"ns=2;i=1": TEMP, "ns=2;i=2": CYCLES})
    return kept


def test_what_was_swapped_while_nobody_looked_is_seen_at_the_next_start(watermarks):
    names = names_of(watermarks, temp="ns=2;i=1", cycles="ns=2;i=2")
    assert names.compare({"ns=2;i=1": CYCLES, "ns=2;i=2": TEMP}) == {"ns=2;i=1", "ns=2;i=2"}
    assert not names.compare({"ns=2;i=1": TEMP, "ns=2;i=2": CYCLES}), "it is back"


def test_numbers_that_the_user_has_corrected_are_right(watermarks):
    names = names_of(watermarks, temp="ns=2;i=2", cycles="ns=2;i=1")
    assert not names.compare({"ns=2;i=1": CYCLES, "ns=2;i=2": TEMP})
    assert names_of(watermarks, temp="ns=2;i=2", cycles="ns=2;i=1").compare({"ns=2;i=1": TEMP}) == {"ns=2;i=1"}


def test_a_tag_that_was_taken_out_for_one_start_begins_anew(watermarks):
    names_of(watermarks, cycles="ns=2;i=2")
    names = names_of(watermarks, temp="ns=2;i=1", cycles="ns=2;i=2")
    assert names.compare({"ns=2;i=1": CYCLES, "ns=2;i=2": TEMP}) == {"ns=2;i=2"}


def test_another_server_begins_anew(watermarks):
    names = names_of(watermarks, "opc.tcp://127.0.0.1:4841", temp="ns=2;i=1")
    assert not names.compare({"ns=2;i=1": CYCLES})


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"url": "opc.tcp://127.0.0.1:4840", "tags": {"temp": [1]}}', b"\xff"]
)
def test_what_is_damaged_is_not_known(content):
    watermarks = FakeWatermarks({"opcua/names/plc": StoredWatermark(content)})
    assert not names_of(watermarks, temp="ns=2;i=1").compare({"ns=2;i=1": CYCLES})
