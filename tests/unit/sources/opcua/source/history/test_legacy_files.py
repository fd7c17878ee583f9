"""Files that the version before has written (`legacy/`, made by its code): taken over once, then removed."""

import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.opcua_fake import DAY_NS
from tests.unit.sources.opcua.source.history.test_watermark import HELD_NS, LEASE_NS, Run, S, at

LEGACY = Path(__file__).parent / "legacy"
OLD_LEASE_NS = 10 * S


def copied(name: str, folder: Path) -> Path:
    shutil.copytree(LEGACY / name, folder / name)
    return folder / name


async def test_after_a_proper_end_each_node_goes_on_where_it_was(tmp_path):
    folder = copied("exact", tmp_path)
    assert Run({}, folder=folder).gap() == ([DAY_NS - 5, DAY_NS - 3, 0], (0, 0))


async def test_after_a_crash_nothing_that_may_have_been_handed_on_is_read_again(tmp_path):
    folder = copied("crashed", tmp_path)
    assert Run({}, folder=folder).gap() == ([DAY_NS + OLD_LEASE_NS] * 3, (DAY_NS - HELD_NS, HELD_NS + OLD_LEASE_NS))


async def test_a_gap_that_was_being_read_back_goes_on(tmp_path):
    run = Run({}, folder=copied("reading", tmp_path))
    assert run.waiting() == [([at(60)[0] - 1] * 2 + [0], [*at(100, 100), 0], [0, 0, 0])]
    (gap,) = run.gaps.waiting
    assert [gap.skipped_from_ns, gap.skipped_from_ns + gap.skipped_ns] == at(10, 60)


@pytest.mark.parametrize("name", ["exact", "crashed", "reading"])
async def test_they_are_removed_once_the_outbox_has_what_they_say(tmp_path, name):
    folder = copied(name, tmp_path)
    disk = {}
    first = Run(disk, folder=folder)
    found = first.gap()
    assert list(folder.iterdir()), "until something is durable"
    first.store.commit()
    assert Run(disk, folder=folder).gap() == found, "killed in between, the outbox counts"
    await first.deliver(DAY_NS + 200 * S)
    assert not list(folder.iterdir())
    assert Run(disk).begin().gaps.waiting[-1].after[0] == DAY_NS + 200 * S + LEASE_NS


async def test_on_a_disk_that_refuses_they_are_removed_as_well(tmp_path):
    """A crash later must not believe them."""
    folder = copied("exact", tmp_path)
    run = Run({}, folder=folder).begin()
    run.store.refuses = True
    await run.deliver(DAY_NS)
    assert not list(folder.iterdir())


ELSEWHERE = b'{"urls": ["opc.tcp://elsewhere:4840"], "exact": true, "nodes": {}}'


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", ELSEWHERE])
async def test_one_that_makes_no_sense_is_no_gap(tmp_path, content):
    (tmp_path / "plc.json").write_bytes(content)
    run = Run({}, folder=tmp_path)
    with capture_logs() as logs:
        assert run.gap() is None
    assert "history begins anew" in logs[0]["event"]
    await run.deliver(DAY_NS)
    assert not list(tmp_path.iterdir())


async def test_a_torn_note_leaves_the_one_before(tmp_path):
    folder = copied("reading", tmp_path)
    whole = (folder / "plc.note").read_bytes()
    for torn in (whole[:4000] + b"\x00" * 96 + whole[4096:], whole[:4096] + b"\x00" * 4096):
        (folder / "plc.note").write_bytes(torn)
        gap = Run({}, folder=folder).begin().gaps.waiting[0]
        assert gap.after[0] in (at(30)[0] - 1, at(60)[0] - 1)
    (folder / "plc.note").write_bytes(b"\x00" * 8192)
    assert Run({}, folder=folder).gap() is None


async def test_files_of_before_there_were_notes_are_understood(tmp_path):
    (tmp_path / "plc.json").write_text('{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": true, "nodes": {"ns=1;s=a": 5}}')
    assert Run({}, folder=tmp_path).gap() == ([5, 0, 0], (0, 0))
    (tmp_path / "plc.json").write_text('{"urls": ["opc.tcp://127.0.0.1:4840"], "exact": false, "newest": 5}')
    assert Run({}, folder=tmp_path).gap() == ([5 + 60 * S] * 3, (5, 60 * S))
