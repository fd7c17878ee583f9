"""What the project says about its name and its version is the same in all places."""

import json
import re
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

import gateway

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def installed_as(monkeypatch, version, origin):
    one = SimpleNamespace(version=version, read_text=lambda name: origin)
    monkeypatch.setattr("importlib.metadata.distribution", lambda name: one)


def test_the_fallback_is_on_the_way_to_the_newest_release_of_the_changelog():
    newest = re.search(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)[1]
    assert PYPROJECT["tool"]["hatch"]["version"]["fallback-version"] == f"{newest}.dev0"


def test_hints_name_the_distribution_of_pyproject():
    assert PYPROJECT["project"]["name"] == gateway.DISTRIBUTION


def test_an_installed_version_is_told_as_it_is(monkeypatch):
    installed_as(monkeypatch, "0.2.0.dev7+g0123456ab", None)
    assert gateway.__version__ == "0.2.0.dev7+g0123456ab"


@pytest.mark.parametrize(
    ("commit", "told"), [("gfedcba987.dirty", "0.2.0.dev7+gfedcba987.dirty"), ("", "0.2.0.dev7+unknown")]
)
def test_a_checkout_tells_the_commit_that_runs_not_the_one_it_was_installed_from(monkeypatch, commit, told):
    installed_as(monkeypatch, "0.2.0.dev7+g0123456ab", json.dumps({"dir_info": {"editable": True}}))
    monkeypatch.setattr(gateway, "_commit_now", lambda: commit)
    assert gateway.__version__ == told


def test_a_bare_checkout_says_that_it_does_not_know(monkeypatch):
    def nothing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.distribution", nothing)
    assert gateway.__version__ == "0+unknown"
