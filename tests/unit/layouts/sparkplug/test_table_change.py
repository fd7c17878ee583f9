"""An edge node whose devices change while its session goes on: only they die and are born."""

from gateway.core.messages import DeviceState
from gateway.core.tags import Tag, TagTable
from tests.unit.layouts.sparkplug.test_layout import ALL, OK, Bench, kinds

# press has another tag, line is as it was and stands first, pump is new
AFTER = TagTable(("line", "press", "pump"), (Tag(0, 0, "count"), Tag(1, 1, "torque"), Tag(2, 2, "flow")))


def changed(table: TagTable = AFTER, names: tuple[str, ...] = ("press", "pump")) -> Bench:
    bench = Bench()
    bench.connect()
    bench.states = {row: DeviceState(row, "down", "starting") for row in range(len(table.devices))}
    bench.states[0] = DeviceState(0, OK)
    bench.node.take_table(table, bench.node.prepare_table(table, names))
    return bench


def test_a_changed_device_dies_and_is_born_with_its_new_tags() -> None:
    bench = changed()
    assert kinds(bench.see(bench.node.changes(ALL))) == [("DDEATH", "press")]
    for row in (1, 2):
        bench.set(row, OK)
    seen = bench.see(bench.node.changes(ALL))
    assert kinds(seen) == [("DBIRTH", "press"), ("DBIRTH", "pump")]
    assert list(seen[0][2]) == ["torque"]
    assert bench.host.seqs == list(range(len(bench.host.seqs))), "one session, numbers go on"


def test_one_that_is_back_at_once_is_born_over_what_it_was() -> None:
    bench = changed()
    for row in (1, 2):
        bench.set(row, OK)
    assert ("DBIRTH", "press") in kinds(bench.see(bench.node.changes(ALL)))
    assert bench.see(bench.node.changes(ALL)) == []


def test_a_device_that_is_gone_dies() -> None:
    bench = changed(TagTable(("line",), (Tag(0, 0, "count"),)), ())
    assert kinds(bench.see(bench.node.changes(ALL))) == [("DDEATH", "press")]
    assert bench.see(bench.node.changes(ALL)) == []
