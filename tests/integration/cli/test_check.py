"""What `gateway check` says of a configuration that cannot be used here."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.main import app
from tests.unit.settings.folders import LINE, write


def check(folder: Path | str) -> Result:
    return CliRunner().invoke(app, ["check", "--config", str(folder)])


def test_secrets_that_only_the_service_reads_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path, {"devices/line.yaml": LINE + "username: me\n"})
    assert "environment" not in check(folder).stderr
    (folder / "environment").write_text("GATEWAY__DEVICES__LINE__PASSWORD=secret\n")
    result = check(folder)
    assert result.exit_code == 2
    assert f"here: --environment {folder}/environment" in result.stderr
    given = ["--config", str(folder), "--environment", f"{folder}/environment"]
    with monkeypatch.context() as patched:  # puts the variable back that the command sets
        patched.setenv("GATEWAY__DEVICES__LINE__PASSWORD", "x")
        assert CliRunner().invoke(app, ["check", *given]).exit_code == 0
        assert os.environ["GATEWAY__DEVICES__LINE__PASSWORD"] == "secret"
    monkeypatch.setenv("GATEWAY__DEVICES__LINE__PASSWORD", "secret")
    assert check(folder).exit_code == 0


def test_a_folder_that_cannot_be_looked_at_is_a_problem_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def denied(path: Path, **_: object) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", denied)
        result = check(tmp_path)
    assert result.exit_code == 2
    assert f"{tmp_path}: cannot be read: Permission denied; expected a folder that is open to you" in result.stderr


def test_an_address_that_is_a_secret_is_shown_by_its_name(tmp_path: Path) -> None:
    text = LINE.replace("opc.tcp://10.0.0.6:4840", "!secret place")
    folder = write(tmp_path, {"devices/line.yaml": text, "secrets/place": "opc.tcp://10.99.98.97:4840\n"})
    result = check(folder)
    assert result.exit_code == 0, result.stderr
    assert "!secret place" in result.output
    assert "10.99.98.97" not in result.output + result.stderr
