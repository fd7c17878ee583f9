"""docs/reference/ says what the program says."""

import pytest

from tools import reference


@pytest.fixture(scope="module")
def made():
    return reference.pages()


def test_the_committed_pages_are_those_of_the_program(made):
    committed = {path.name: path.read_text("utf-8") for path in reference.FOLDER.glob("*.md")}
    stale = sorted(name for name in {*committed, *made} if committed.get(name) != made.get(name))
    assert not stale, f"out of date: {', '.join(stale)} in docs/reference; run `make docs` and commit"


def test_every_key_says_its_type_and_what_it_means(made):
    for name, text in made.items():
        for line in text.splitlines():
            if not name.startswith("commands") and line.startswith("| `"):
                key, kind, _, about = [cell.strip() for cell in line.replace(r"\|", "/").strip("|").split("|")]
                assert all((kind, about)), f"{name}: {key} has no type or no meaning"
