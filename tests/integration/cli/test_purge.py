"""`gateway purge`: nothing that a gateway kept is left, and nobody loses it by accident."""

import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.main import app
from gateway.core import wiping
from gateway.outbox.lock import PathLock

KEPT = (
    "state/outbox.db",
    "state/outbox.db-wal",
    "state/outbox.db.lock",
    "state/outbox.db.damaged-20261130T000000Z",
    "state/outbox.db.refused.jsonl.1",
    "state/key",
    "state/broker.key",
    "state/password",
    "pki/own/private/key.pem",
    "pki/own/certs/gateway.der",
    "pki/trusted/certs/server.der",
    "pki/rejected/x.der",
    "found/line.csv",
    "found/units/line.csv",
    "history/line.json",
)
OTHERS = ("state/outbox.database", "pki/readme", "found/other.csv", "precious")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    (folder / "devices").mkdir(parents=True)
    for name in (*KEPT, *OTHERS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("secret")
    (folder / "gateway.yaml").write_text(
        f"name: test\nmqtt:\n  url: mqtts://127.0.0.1:1\n  username: me\n  password_file: {tmp_path}/state/password\n"
        f"  tls: {{cert: {tmp_path}/precious, key: {tmp_path}/state/broker.key}}\n"
        f"outbox: {{path: {tmp_path}/state/outbox.db, key_file: {tmp_path}/state/key}}\n"
    )
    (folder / "devices" / "line.yaml").write_text(
        "protocol: opcua\nurl: opc.tcp://127.0.0.1:1\nbrowse: {}\n"
        f"pki: {tmp_path}/pki\nfound: {tmp_path}/found\nhistory_kept: {tmp_path}/history\n"
    )
    return folder


def call(config: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["purge", "--config", str(config), *words])


def there(folder: Path) -> set[str]:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink()}
    return {name for name in found if not name.startswith("config/")}


def test_all_that_was_kept_is_wiped_and_nothing_else(config: Path, tmp_path: Path) -> None:
    written: dict[str, int] = {}
    real = os.write
    with pytest.MonkeyPatch.context() as patch:

        def write(fd: int, content: bytes) -> int:
            if content and not content.strip(b"\0"):
                written[os.readlink(f"/proc/self/fd/{fd}")] = len(content)
            return real(fd, content)

        patch.setattr(wiping.os, "write", write)
        result = call(config, "--yes")
    assert result.exit_code == 0, result.output
    assert there(tmp_path) == set(OTHERS)
    for name in KEPT:
        assert f"{tmp_path / name}: " in result.stdout.replace("\n", "")
        assert written[str(tmp_path / name)] >= 6, "overwritten before it is removed"
    assert "which may hold passwords" in result.stdout
    assert "on flash" in result.stdout
    assert call(config, "--yes").exit_code == 0, "again: there is nothing left"


def test_without_a_yes_nothing_happens(config: Path, tmp_path: Path) -> None:
    before = there(tmp_path)
    result = call(config)
    assert result.exit_code == 2
    assert "say --yes" in result.stderr
    assert there(tmp_path) == before


def test_a_running_gateway_keeps_its_files(config: Path, tmp_path: Path) -> None:
    before = there(tmp_path)
    lock = PathLock(tmp_path / "state" / "outbox.db")
    lock.acquire()
    result = call(config, "--yes")
    lock.release()
    assert result.exit_code == 2
    assert f"is held by another gateway (pid {os.getpid()}); stop it" in result.stderr
    assert there(tmp_path) == before


def test_links_are_removed_and_their_targets_stay(config: Path, tmp_path: Path) -> None:
    for name in ("state/outbox.db-wal", "pki/trusted/certs/server.der"):
        (tmp_path / name).unlink()
        (tmp_path / name).symlink_to(tmp_path / "precious")
    shutil.rmtree(tmp_path / "pki" / "rejected")
    (tmp_path / "pki" / "rejected").symlink_to(tmp_path / "history")
    (tmp_path / "history" / "other.json").write_text("other")
    result = call(config, "--yes")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "precious").read_text() == "secret"
    assert (tmp_path / "history" / "other.json").read_text() == "other"
    assert result.stdout.count("its target is left") == 3


def test_what_cannot_be_wiped_is_named(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = wiping.os.open

    def refuse(path: object, *rest: int) -> int:
        if str(path).endswith("broker.key"):
            raise PermissionError(13, "Permission denied")
        return real(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("gateway.core.wiping.os.open", refuse)
    result = call(config, "--yes")
    assert result.exit_code == 1
    assert f"{tmp_path}/state/broker.key: NOT wiped: Permission denied" in result.stdout.replace("\n", "")
    assert there(tmp_path) == {*OTHERS, "state/broker.key"}
