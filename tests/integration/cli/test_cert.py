"""`gateway cert`: whom to trust, and what is said when that does not work."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.main import app
from gateway.sources.opcua.security.certificates import fingerprint, make_certificate
from gateway.sources.opcua.security.pki import Pki
from tests.support.opcua_secure import KEY, peer

SERVER = make_certificate(KEY, "urn:server", "plc", datetime.now(UTC))


def cert(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["cert", *words, "--pki", str(folder)])


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    Pki(tmp_path / "pki").reject(peer(SERVER))
    return tmp_path / "pki"


def test_a_rejected_certificate_is_trusted_by_the_beginning_of_its_fingerprint_and_again(pki: Path) -> None:
    first, again = cert(pki, "trust", fingerprint(SERVER)[:8].upper()), cert(pki, "trust", fingerprint(SERVER))
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert [one.certificate.fingerprint for one in Pki(pki).listed("trusted")] == [fingerprint(SERVER)]
    assert not Pki(pki).listed("rejected")
    assert f"trusted   {fingerprint(SERVER)}" in cert(pki, "list").stdout


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (fingerprint(SERVER)[:7], "no fingerprint of a rejected certificate: fewer than 8 digits"),
        ("0" * 64, "no fingerprint of a rejected certificate: 0 begin so"),
        ("server.der", "server.der is no file"),
    ],
    ids=["short", "unknown", "file"],  # fixed: the certificate is another one in each process
)
def test_what_is_neither_file_nor_fingerprint_is_told(pki: Path, what: str, said: str) -> None:
    result = cert(pki, "trust", what)
    assert result.exit_code == 1
    assert said in result.stderr
    assert f"gateway cert list --pki {pki} shows them" in result.stderr


def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path) -> None:
    result = cert(tmp_path, "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"no certificate of a server in {tmp_path}" in result.stderr


def test_a_file_that_is_no_certificate_is_named(pki: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.der").write_text("no certificate")
    result = cert(pki, "trust", str(tmp_path / "notes.der"))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{tmp_path / 'notes.der'} is not a certificate")


def test_a_folder_that_cannot_be_made_is_named_without_python(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = cert(tmp_path / "file" / "pki", "show")
    assert result.exit_code == 1
    assert str(tmp_path / "file") in result.stderr
    assert "Errno" not in result.stderr
