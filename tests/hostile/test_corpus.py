"""Input that is kept: good input, and what was a finding of `make fuzz` once."""

from pathlib import Path

import pytest

from tests.fuzz.bounds import judge
from tests.fuzz.door import CORPUS
from tests.fuzz.worker import DOORS, made

KEPT = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


def test_every_folder_of_the_corpus_belongs_to_a_door() -> None:
    assert {path.parent.name for path in KEPT} <= DOORS.keys()


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_once_is_taken_as_it_should_be(path: Path) -> None:
    assert judge(made(path.parent.name)[0], path.read_bytes()) == ""
