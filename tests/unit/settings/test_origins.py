"""Where each setting comes from, and what is not shown of it."""

from pathlib import Path

import pytest

from gateway.settings import load
from gateway.settings.origins import HIDDEN, settings_with_origins


def test_files_variables_and_defaults_are_told_and_secrets_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "gateway.yaml").write_text(
        f"name: test\nmqtt:\n  url: mqtt://h\n  username: !secret user-name\n  password: !secret broker\n"
        f"outbox: {{path: {tmp_path}/o.db}}\n"
    )
    (tmp_path / "devices" / "press.yaml").write_text(
        "protocol: modbus\nurl: tcp://127.0.0.1\ntags:\n  - {name: t, address: 'holding:0'}\n"
    )
    monkeypatch.setenv("GATEWAY_SECRET_BROKER", "first-hidden-text")
    monkeypatch.setenv("GATEWAY_SECRET_USER_NAME", "second-hidden-text")
    monkeypatch.setenv("GATEWAY__WINDOW__GRACE", "700ms")
    found = {(one.file, one.key): one for one in settings_with_origins(load(tmp_path))}
    root = "gateway.yaml"
    assert found[root, "name"].origin == "gateway.yaml:1"
    assert found[root, "mqtt.password"].value == "!secret broker"
    assert found[root, "window.grace"].origin == "GATEWAY__WINDOW__GRACE"
    assert (found[root, "window.length"].value, found[root, "window.length"].origin) == ("1s", "default")
    assert found["devices/press.yaml", "url"].origin == "devices/press.yaml:2"
    everything = str(list(found.values()))
    assert "hidden-text" not in everything
    monkeypatch.setenv("GATEWAY__MQTT__PASSWORD", "third-hidden-text")
    shown = {one.key: one for one in settings_with_origins(load(tmp_path)) if one.file == root}
    assert (shown["mqtt.password"].value, shown["mqtt.password"].origin) == (HIDDEN, "GATEWAY__MQTT__PASSWORD")
