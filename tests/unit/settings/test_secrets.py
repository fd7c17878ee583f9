"""`!secret NAME`: where it is looked for, what is said where it is missing, and that nothing shows it."""

from pathlib import Path

import pyrage
import pytest

from gateway.core.errors import NotConnected
from gateway.core.foreign_text import clean
from gateway.settings import load
from tests.unit.settings.folders import LINE, ROOT, problems_of, write

BROKER = ROOT + "mqtt: {url: mqtt://127.0.0.1, username: gw, password: !secret broker}\n"
OPCUA = LINE + "username: me\npassword: !secret line\n"


@pytest.fixture(autouse=True)
def _no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CREDENTIALS_DIRECTORY", "GATEWAY_SECRET_BROKER"):
        monkeypatch.delenv(name, raising=False)


def password(folder: Path) -> str:
    return str(load(folder).root.sink.password.get_secret_value())


def clear_text(folder: Path) -> list[str]:
    return [warning for warning in load(folder).warnings if "clear text" in warning]


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_places_come_in_their_order_and_each_look_up_is_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "config", {"gateway.yaml": BROKER})
    secret = load(folder).root.sink.password
    with pytest.raises(NotConnected, match="secret broker is in none of its places"):
        secret.get_secret_value()
    monkeypatch.setenv("GATEWAY_SECRET_BROKER", "of the variable")
    assert secret.get_secret_value() == "of the variable"
    put(folder / "secrets" / "broker", "of the file\n")
    assert secret.get_secret_value() == "of the file"
    put(tmp_path / "credentials" / "broker", "of systemd\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert secret.get_secret_value() == "of systemd"
    put(tmp_path / "credentials" / "broker", "renewed\n")
    assert secret.get_secret_value() == "renewed"


def test_a_missing_secret_names_its_line_and_every_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/gateway.service")
    folder = write(tmp_path, {"gateway.yaml": BROKER, "devices/line.yaml": OPCUA})
    first, second = load(folder).missing_secrets()
    assert (first.file, first.line, first.key) == (f"{folder}/gateway.yaml", 2, "mqtt.password")
    assert (second.file, second.line, second.key) == (f"{folder}/devices/line.yaml", 6, "password")
    for place in (
        "systemd credential /run/credentials/gateway.service/broker",
        f"{folder}/secrets/broker",
        "variable GATEWAY_SECRET_BROKER",
        f"{folder}/secrets/broker.age",
    ):
        assert place in first.message


def test_a_secret_that_cannot_be_used_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_SECRET_BROKER", "another one")
    folder = write(tmp_path, {"gateway.yaml": BROKER})
    put(folder / "secrets" / "broker", "\n")
    with pytest.raises(NotConnected, match="secrets/broker is empty"):
        password(folder)
    (folder / "secrets" / "broker").unlink()
    (folder / "secrets" / "broker").mkdir()
    with pytest.raises(NotConnected, match=r"cannot be read from .*: Is a directory"):
        password(folder)


def test_an_age_file_is_opened_with_the_identity(tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    other = pyrage.x25519.Identity.generate()
    folder = write(tmp_path, {"gateway.yaml": BROKER + "secrets: {age_identity: key.txt}\n"})
    (folder / "secrets").mkdir()
    (folder / "secrets" / "broker.age").write_bytes(pyrage.encrypt(b"of age\n", [identity.to_public()]))
    with pytest.raises(NotConnected, match=r"key\.txt does not exist"):
        password(folder)
    put(folder / "key.txt", f"# made by age-keygen\n{other}\n")
    with pytest.raises(NotConnected, match="cannot be decrypted"):
        password(folder)
    put(folder / "key.txt", f"# made by age-keygen\n{identity}\n")
    assert password(folder) == "of age"


def test_another_folder_can_be_configured_also_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "elsewhere" / "broker", "there")
    folder = write(tmp_path / "config", {"gateway.yaml": BROKER + f"secrets: {{folder: {tmp_path}/elsewhere}}\n"})
    assert password(folder) == "there"
    put(tmp_path / "third" / "broker", "here")
    monkeypatch.setenv("GATEWAY__SECRETS__FOLDER", str(tmp_path / "third"))
    assert password(folder) == "here"


def test_nothing_shows_a_secret(tmp_path: Path) -> None:
    line = "protocol: opcua\nurl: !secret place\ntags:\n  - {name: speed, node: ns=2;s=Speed}\n"
    folder = write(tmp_path, {"gateway.yaml": BROKER, "devices/line.yaml": line})
    put(folder / "secrets" / "broker", "pa$$w0rd")
    put(folder / "secrets" / "place", "opc.tcp://10.11.12.13:4840")
    before = load(folder)
    assert before.entries[0].config.url == "opc.tcp://10.11.12.13:4840"
    assert clean(before.entries[0].config.url) == "!secret place"
    assert "pa$$w0rd" not in f"{before} {before.root!r} {before.root.model_dump()} {before.root.model_dump_json()}"
    put(folder / "secrets" / "broker", "another")
    assert load(folder).hash == before.hash


def test_a_missing_text_is_a_problem_of_its_line_and_a_key_file_is_one_of_the_places(tmp_path: Path) -> None:
    folder = write(tmp_path, {"gateway.yaml": ROOT + "mqtt: {url: mqtts://a, tls: {cert: c.pem, key: !secret key}}\n"})
    put(folder / "secrets" / "key", "PEM")
    assert load(folder).root.sink.tls.key == folder / "secrets" / "key"
    (problem,) = problems_of(write(tmp_path, {"gateway.yaml": ROOT + "mqtt: {url: mqtt://a, username: !secret no}\n"}))
    assert (problem.line, problem.key) == (2, "mqtt.username")
    assert problem.message.startswith("secret no is in none of its places")


@pytest.mark.parametrize("name", ["''", "../x", "[a]", "a/b"])
def test_a_name_that_no_secret_can_have_is_a_problem(name: str, tmp_path: Path) -> None:
    text = ROOT + f"mqtt: {{url: mqtt://a, username: b, password: !secret {name}}}\n"
    (problem,) = problems_of(write(tmp_path, {"gateway.yaml": text}))
    assert problem.message == "has no name of a secret behind !secret"


def test_a_secret_is_a_parameter_of_a_template_but_no_part_of_a_text(tmp_path: Path) -> None:
    template = "protocol: opcua\nurl: opc.tcp://10.0.0.6\nusername: me\npassword: ${word}\ntags: [{name: a, node: i=1}]\n"
    device = "template: plc.yaml\nparameters: {word: !secret line}\n"
    folder = write(tmp_path, {"templates/plc.yaml": template, "devices/line.yaml": device})
    put(folder / "secrets" / "line", "abc")
    assert load(folder).entries[0].config.password.get_secret_value() == "abc"
    put(folder / "templates" / "plc.yaml", template.replace("${word}", "x${word}"))
    (problem,) = problems_of(folder)
    assert problem.message == "puts the secret word into a longer text"


def test_passwords_in_clear_text_need_a_permission(tmp_path: Path) -> None:
    clear = BROKER.replace("!secret broker", "hunter2")
    (warning,) = clear_text(write(tmp_path, {"gateway.yaml": clear}))
    assert warning.startswith(f"{tmp_path}/gateway.yaml:2: mqtt.password: is a password in clear text: write !secret")
    assert "hunter2" not in warning
    assert not clear_text(write(tmp_path, {"gateway.yaml": clear + "secrets: {literal: allow}\n"}))
    refused = write(tmp_path, {"gateway.yaml": clear + "secrets: {literal: refuse}\n"})
    (problem,) = problems_of(refused)
    assert (problem.line, problem.key, problem.expected) == (2, "mqtt.password", "!secret and a name")


def test_a_variable_is_no_password_in_clear_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY__MQTT__PASSWORD", "hunter2")
    text = ROOT + "mqtt: {url: mqtt://127.0.0.1, username: gw}\nsecrets: {literal: refuse}\n"
    settings = load(write(tmp_path, {"gateway.yaml": text}))
    assert not settings.missing_secrets()
    assert not [warning for warning in settings.warnings if "clear text" in warning]
