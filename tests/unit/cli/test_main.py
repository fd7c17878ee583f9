"""The command line as a whole: quick to start, and every command explains itself."""

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli import cert
from gateway.cli.main import app
from gateway.sources.opcua.security.folders import DEFAULT_FOLDER

HEAVY = ("numpy", "pydantic", "structlog", "asyncua", "pymodbus", "paho", "aiosqlite", "orjson", "cryptography", "yaml")


def commands(group: typer.Typer, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [(*before, one.name or one.callback.__name__) for one in group.registered_commands]
    for inner in group.registered_groups:
        found += commands(inner.typer_instance, (*before, inner.name))
    return found


def helped(*command: str, width: int = 80) -> str:
    result = CliRunner().invoke(app, [*command, "--help"], prog_name="gateway", env={"COLUMNS": str(width)})
    assert result.exit_code == 0
    return result.output


def test_help_imports_nothing_heavy():
    """What a command needs is imported when it is called."""
    script = f"import sys, gateway.cli.main; print([m for m in {HEAVY} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("command", commands(app), ids=" ".join)
def test_every_command_says_what_it_does_and_shows_an_example(command):
    text = helped(*command)
    assert "For example:" in text
    example = text.split("For example:")[1]
    assert " ".join(("gateway", *command)) in " ".join(example.split())
    assert max(map(len, text.splitlines())) <= 80


def test_paragraphs_flow_with_the_terminal():
    """Source lines end where the editor's do, not where the terminal's do."""
    lines = [line.strip() for line in helped("tail", width=80).splitlines()]
    begin = next(at for at, line in enumerate(lines) if line.startswith("Exit codes:"))
    assert min(map(len, lines[begin : begin + 3])) > 60


def test_the_default_that_is_shown_is_the_default():
    assert str(DEFAULT_FOLDER) == cert.SHOWN_DEFAULT
    assert cert.place_of(None) == DEFAULT_FOLDER


@pytest.mark.parametrize(("typo", "meant"), [("chek", "check"), ("tial", "tail"), ("outbocks", "outbox")])
def test_a_near_miss_is_told_what_was_meant(typo, meant):
    result = CliRunner().invoke(app, [typo])
    assert result.exit_code == 2
    assert meant in result.output


def test_the_version_is_told():
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("gateway ")
