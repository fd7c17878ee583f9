"""The command line as a whole: quick to start, and every command explains itself."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app

HEAVY = ("numpy", "pydantic", "structlog", "asyncua", "pymodbus", "paho", "aiosqlite", "orjson", "cryptography", "yaml")


def test_help_imports_nothing_heavy():
    """What a command needs is imported when it is called."""
    script = f"import sys, gateway.cli.main; print([m for m in {HEAVY} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "[]"


HARSH = {"COLUMNS": "40", "TERM": "dumb", "NO_COLOR": "1", "PYTHONIOENCODING": "ascii", "PATH": ""}


@pytest.mark.parametrize("command", [(), ("scan",), ("outbox", "stats")], ids=" ".join)
def test_help_is_there_in_a_narrow_terminal_that_knows_ascii_only(command):
    """Words are cut with a character that is no ASCII."""
    shown = subprocess.run([sys.executable, "-m", "gateway", *command, "--help"], capture_output=True, env=HARSH, timeout=60)
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert b"Usage: gateway" in shown.stdout


def test_help_with_nobody_to_read_it_is_quiet():
    """`gateway --help | true`, and a standard output that is closed."""
    for end in ("| true", ">&-"):
        script = f'"{sys.executable}" -m gateway --help {end}'
        assert subprocess.run(script, shell=True, capture_output=True, timeout=60).stderr == b""


@pytest.mark.parametrize("words", [("cert", "show"), ("cert", "list"), ("schema",)], ids=" ".join)
def test_a_full_disk_behind_the_output_is_no_bug(tmp_path, words):
    pki = ["--pki", str(tmp_path)] if words[0] == "cert" else []
    if words == ("cert", "list"):
        CliRunner().invoke(app, ["cert", "show", *pki])
        CliRunner().invoke(app, ["cert", "trust", str(tmp_path / "own" / "certs" / "gateway.der"), *pki])
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "gateway", *words, *pki]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (1, "Cannot write the output: No space left on device\n")
