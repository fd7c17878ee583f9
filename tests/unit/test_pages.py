"""The pages: every link and file they name is there. How long they may be is checked by tests/house.py."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FILE = re.compile(r"`((?:gateway|tests|tools|config|systemd|requirements)/[\w./-]+\w)`")
_NOT_PAGES = {"CHANGELOG.md"}  # it names files as they were


def anchors(page):
    """The headings of a page as links name them."""
    heads = re.findall(r"^#+ (.*)$", _FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_pages_and_headings_that_are_there(page):
    for link in _LINK.findall(_FENCED.sub("", page.read_text("utf-8"))):
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert "://" not in link, f"{link}: the project has no public home"
        assert target.exists(), f"{link} leads nowhere"
        assert not heading or heading in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize(
    "page", [p for p in PAGES if p.name not in _NOT_PAGES], ids=lambda page: str(page.relative_to(ROOT))
)
def test_files_that_a_page_names_are_there(page):
    missing = [name for name in _FILE.findall(page.read_text("utf-8")) if not (ROOT / name).exists()]
    assert not missing


def test_each_page_is_linked_from_an_index():
    indexes = [ROOT / "README.md", *(ROOT / "docs" / folder / "README.md" for folder in ("", "decisions", "security"))]
    linked = {
        (index.parent / link.partition("#")[0]).resolve()
        for index in indexes
        for link in _LINK.findall(index.read_text("utf-8"))
    }
    assert not [page.name for page in ROOT.glob("docs/**/*.md") if page.resolve() not in linked and page not in indexes]


def test_decisions_keep_their_numbers():
    numbers = [int(page.name[:4]) for page in sorted((ROOT / "docs" / "decisions").glob("0*.md"))]
    assert len(set(numbers)) == len(numbers)
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_counts_of_the_assessment_are_those_of_its_tables():
    text = (ROOT / "docs" / "security" / "iec-62443-4-2.md").read_text("utf-8")
    verdicts = re.findall(r"^\| \d+\.\d+[^|]*\|[^|]*\| (met|partly|not|host|n\.a\.) \|", text, re.MULTILINE)
    requirements = re.findall(r"^\| \d+\.\d+", text, re.MULTILINE)
    assert len(verdicts) == len(requirements), "each requirement has a verdict"
    counts = ", ".join(f"{verdicts.count(one)} {one}" for one in ("met", "partly", "not", "host", "n.a."))
    assert f"Of {len(verdicts)} requirements: {counts}" in text
