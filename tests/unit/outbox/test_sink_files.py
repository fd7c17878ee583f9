"""Which file is whose: names that stay, change, come and go."""

from pathlib import Path

import pytest

from gateway.outbox.sink_files import SinkFiles, SinkName, assign, index_file, read_files, write_files

PATH = Path("/var/o.db")


def files(*sinks: SinkName, **known: str) -> dict[str, str]:
    return {name: path.name for name, path in assign(PATH, SinkFiles(known), sinks).paths.items()}


def test_the_first_sink_of_a_new_gateway_has_the_first_file():
    assert files(SinkName("a"), SinkName("b")) == {"a": "o.db", "b": "o@b.db"}


def test_a_known_sink_keeps_its_file_whatever_the_order():
    assert files(SinkName("b"), SinkName("a"), a="o.db", b="o@b.db") == {"a": "o.db", "b": "o@b.db"}


def test_a_renamed_sink_keeps_its_file_and_a_new_one_of_the_old_name_gets_another():
    found = assign(PATH, SinkFiles({"a": "o.db", "b": "o@b.db"}), [SinkName("c", was="b"), SinkName("a")])
    assert found.paths["c"].name == "o@b.db"
    assert found.renamed == {"c": "b"}
    assert files(SinkName("c"), SinkName("a"), SinkName("b"), a="o.db", c="o@b.db")["b"] == "o@b@2.db"


def test_was_has_no_effect_once_it_is_done():
    found = assign(PATH, SinkFiles({"a": "o.db", "c": "o@b.db"}), [SinkName("c", was="b"), SinkName("a")])
    assert found.is_known
    assert not found.renamed
    assert not found.added


def test_removed_sinks_are_known_until_their_files_are_gone():
    found = assign(PATH, SinkFiles({"a": "o.db", "b": "o@b.db"}), [SinkName("b")])
    assert found.removed == {"a": PATH}
    assert found.known.without("a").files == {"b": "o@b.db"}


def test_a_sink_that_begins_with_backlog_never_has_the_first_file():
    found = assign(PATH, SinkFiles({"b": "o@b.db"}), [SinkName("b"), SinkName("n", begins_with_backlog=True)])
    assert found.paths["n"].name == "o@n.db"
    assert found.known.filling == {"n"}
    assert not assign(PATH, SinkFiles({}), [SinkName("n", begins_with_backlog=True)]).known.filling, "there is none"


def test_the_index_is_read_again(tmp_path):
    path = tmp_path / "o.db"
    known = SinkFiles({"a": "o.db", "b": "o@x.db"}, frozenset({"b"}))
    write_files(path, known)
    assert read_files(path, "mqtt") == known


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 60_000,
        '{"files": {}, "filling": 5}',
        '{"files": [], "filling": []}',
        *(f'{{"files": {{"a": "{file}"}}, "filling": []}}' for file in ("../o@x.db", "", "..", "other.db", "o@/etc/x.db")),
        '{"files": {"a": "o.db", "b": "o.db"}, "filling": []}',
        '{"files": {"A B": "o.db"}, "filling": []}',
    ],
)
def test_without_a_usable_index_the_names_of_the_files_say_it(tmp_path, text):
    path = tmp_path / "o.db"
    for name in ("o.db", "o@b.db", "o@b.db-wal", "o@b.db.lock", "o@b.db.damaged-1", "other@c.db"):
        (tmp_path / name).touch()
    index_file(path).write_text(text)
    found = read_files(path, "mqtt")
    assert found.files == {"mqtt": "o.db", "b": "o@b.db"}
    assert found.fault
    assert not found.is_written


def test_without_any_file_nothing_is_known(tmp_path):
    found = read_files(tmp_path / "missing" / "o.db", "mqtt")
    assert not found.files
    assert not found.fault
