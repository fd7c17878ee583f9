"""Tag names from browse paths."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.config_types import check_name
from gateway.settings.csv_files import read_csv
from gateway.sources.opcua.source.tag_file import is_writable, tag_file, tag_names


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


def test_many_equal_names_are_numbered_without_trying_every_number_again():
    count = 50_000  # trying each number for each name would take 1.2 billion look-ups
    names = tag_names([("Speed",)] * count)
    assert names[:3] == ["Speed", "Speed_2", "Speed_3"]
    assert names[-1] == f"Speed_{count}"


HOSTILE = ["=1+1", "'=1", "+a", "-b", "@c", "ns=2;s==cmd|' /C calc'!A0", "ns=2;s=a;=HYPERLINK(0)", "a;\t@b", "\x1b[2J", " a"]
CELLS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20) | st.sampled_from(HOSTILE)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=10))
def test_a_tag_file_is_read_back_as_it_was_and_no_cell_is_a_formula(tmp_path_factory, found):
    names = [name for name in tag_names([(path,) for path, _, _ in found]) if not name.startswith("#")]
    rows = [(name, f"ns=2;s={node}", unit.strip(), "-5 to 5") for name, (_, node, unit) in zip(names, found, strict=False)]
    rows = [row for row in rows if is_writable(row[1]) and is_writable(row[2])]
    path = tmp_path_factory.mktemp("tags") / "found.csv"
    path.write_text(text := tag_file(rows), encoding="utf-8")
    read = read_csv(path, "found.csv")
    assert not read.problems
    keys = ("name", "node", "unit", "range")
    assert read.value == [{key: cell for key, cell in zip(keys, row, strict=True) if cell} for row in rows]
    for separator in ",;":
        cells = [cell.strip('" ') for line in text.splitlines() for cell in line.split(separator)]
        formulas = [cell for cell in cells if cell.startswith(("=", "+", "-", "@")) and not cell.startswith("-5 to 5")]
        assert not formulas
