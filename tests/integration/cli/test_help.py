"""Every command explains itself, and refuses wrong words in ours."""

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli import cert
from gateway.cli.main import app
from gateway.sources.opcua.config.pki_folder import DEFAULT_FOLDER
from gateway.sources.opcua.tools.certificate_store import PkiStore


def commands(group: typer.Typer, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [(*before, one.name or one.callback.__name__) for one in group.registered_commands]
    for inner in group.registered_groups:
        found += commands(inner.typer_instance, (*before, inner.name))
    return found


def helped(*command: str, width: int = 80) -> str:
    result = CliRunner().invoke(app, [*command, "--help"], prog_name="gateway", env={"COLUMNS": str(width)})
    assert result.exit_code == 0
    return result.output


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
    assert f"in {DEFAULT_FOLDER};" in str(PkiStore(None).list_peers())


@pytest.mark.parametrize(("typo", "meant"), [("chek", "check"), ("tial", "tail"), ("outbocks", "outbox")])
def test_a_near_miss_is_told_what_was_meant(typo, meant):
    result = CliRunner().invoke(app, [typo])
    assert result.exit_code == 2
    assert meant in result.output


def test_the_version_is_told():
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("gateway ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--log-level", "loud"], "'loud' is not one of 'debug', 'info', 'warning', 'error'"),
        (["read", "tcp://h", "--unit", "x"], "must be a valid integer"),
        (["browse", "opc.tcp://h", "--security", "x"], "security: 'x' is not allowed; expected 'auto', "),
        (["browse", "opc.tcp://h", "--type", "ns=x"], "type: 'ns=x' is not a NodeId; expected"),
        (["read", "opc.tcp://h", "x"], "'x' is not a NodeId; expected"),
        (["read", "tcp://h:99999"], "Port out of range"),
        (["check", "--config", "/dev/null"], "/dev/null: is no folder; expected a folder with gateway.yaml"),
        (["check", "--config", "/no/such/place"], "/no/such/place: no such folder; expected"),
    ],
)
def test_a_wrong_word_is_refused_in_ours(words, said):
    """Not in those of the library beneath; exit code 2."""
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert said in result.output
    assert "Value error" not in result.output
    assert "Input should" not in result.output


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["list", "--pki", "{}/nowhere"], 0, "no certificate of a server in"),
        (["list", "--pki", "{}"], 0, "--pki names another folder"),
        (["show", "--pki", "{}/text"], 1, "/text/own: Not a directory"),
        (["trust", "{}/text", "--pki", "{}"], 1, "/text is not a certificate; expected X.509, PEM or DER"),
        (["trust", "{}/nowhere", "--pki", "{}"], 1, "/nowhere is no file, and no fingerprint"),
        (["trust", "{}", "--pki", "{}"], 1, "is no file, and no fingerprint"),
        (["trust", "12ab", "--pki", "{}"], 1, "fewer than 8 digits"),
        (["trust", "12ab34cd56", "--pki", "{}"], 1, "0 begin so in"),
    ],
)
def test_certificates_that_are_not_there_are_told_in_words(tmp_path, words, code, said):
    (tmp_path / "text").write_text("hello")
    result = CliRunner().invoke(app, ["cert", *(word.format(tmp_path) for word in words)])
    assert (result.exit_code, said in result.stderr) == (code, True), result.output
