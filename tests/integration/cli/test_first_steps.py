"""From nothing to values: gateway init, gateway add (a real server each), gateway check."""

import asyncio
import os
import stat
import sys
from pathlib import Path

import jsonschema
import orjson
import yaml
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.settings import load
from tests.integration.test_templates import Device
from tests.support.modbus_server import ScriptedServer
from tests.support.network import free_port
from tests.support.opcua_server import AsyncuaServer


async def gateway(*words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode or 0, out.decode(), err.decode()


def init(folder: Path) -> None:
    assert CliRunner().invoke(app, ["init", str(folder), "--name", "works", "--broker", "mqtt://10.0.0.1"]).exit_code == 0


def test_init_makes_a_folder_with_comments_and_changes_nothing_that_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "plant"
    (folder / "devices").mkdir(parents=True)
    (folder / "devices" / "press.yaml").write_text(
        "protocol: modbus\nurl: tcp://10.0.0.5\ntags: [{name: a, address: holding:0}]\n"
    )
    init(folder)
    settings = load(folder)
    assert (settings.root.name, settings.root.sink.url, settings.root.secrets.literal) == (
        "works",
        "mqtt://10.0.0.1",
        "refuse",
    )
    assert stat.S_IMODE((folder / "secrets").stat().st_mode) == 0o700
    document = yaml.safe_load((folder / "gateway.yaml").read_text())
    jsonschema.validate(document, orjson.loads((folder / "gateway.schema.json").read_bytes()))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    again = CliRunner().invoke(app, ["init", str(folder), "--name", "other"])
    assert again.exit_code == 2
    assert "there is a gateway.yaml already; nothing was changed" in again.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


async def test_add_scans_a_modbus_device_writes_its_files_and_reads_it(tmp_path: Path) -> None:
    init(tmp_path)
    port = free_port()
    words = ["add", "modbus", f"tcp://127.0.0.1:{port}", "--unit", "7", "--until", "3", "--per-second", "1000"]
    async with ScriptedServer(port, Device({"holding:0": "000A 000B 000C 000D", "coil:0": "1"})):
        code, out, err = await gateway(*words, "--name", "mixer", "--yes", "--config", str(tmp_path))
    assert code == 0, out + err
    (entry,) = load(tmp_path).entries
    assert (entry.config.name, entry.config.unit) == ("mixer", 7)
    assert [tag.name for tag in entry.tags][:5] == ["holding_0", "holding_1", "holding_2", "holding_3", "coil_0"]
    assert "holding_2" in out
    assert "12" in out
    document = yaml.safe_load((tmp_path / "devices" / "mixer.yaml").read_text())
    jsonschema.validate(document, orjson.loads((tmp_path / "device.schema.json").read_bytes()))


async def test_add_browses_an_opc_ua_server_and_reads_it(tmp_path: Path) -> None:
    init(tmp_path)
    port = free_port()
    words = ["add", "opcua", f"opc.tcp://127.0.0.1:{port}", "--security", "none", "--name", "line", "--yes"]
    async with AsyncuaServer(port):
        code, out, err = await gateway(*words, "--config", str(tmp_path), "--pki", str(tmp_path / "pki"))
    assert (tmp_path / "devices" / "line.yaml").exists(), out + err
    (entry,) = load(tmp_path).entries
    assert entry.config.security == "none"
    assert entry.tags
    assert code == 0, out + err


async def test_add_takes_a_template(tmp_path: Path) -> None:
    init(tmp_path)
    port = free_port()
    words = ["--template", "meters/eastron-sdm120.yaml", "--yes", "--config", str(tmp_path)]
    async with ScriptedServer(port, Device({"input:0": "4366 8000"})):
        code, out, err = await gateway("add", "modbus", f"tcp://127.0.0.1:{port}", *words)
    assert code == 0, out + err
    assert "230.5" in out
    assert load(tmp_path).entries[0].config.name == "eastron-sdm120"


def test_add_writes_nothing_where_it_cannot(tmp_path: Path) -> None:
    init(tmp_path)
    file = tmp_path / "devices" / "eastron-sdm120.yaml"
    file.write_text("template: meters/eastron-sdm120.yaml\nurl: tcp://10.0.0.9\n")
    given = ["--template", "meters/eastron-sdm120.yaml", "--yes", "--config", str(tmp_path)]
    for words, said in (
        (["modbus", "tcp://h", *given], "is there already; expected another --name"),
        (["modbus", "opc.tcp://h", *given], "is no address of Modbus; expected"),
        (["profinet", "tcp://h", *given], "'profinet' is no protocol; expected modbus or opcua"),
        (["modbus", "tcp://h", "--template", "x.yaml", "--yes", "--config", str(tmp_path)], "is no template"),
        (["modbus", "tcp://h", "--name", "a/b", *given], "cannot be the name of a file"),
        (["modbus", "tcp://h", *given, "--config", str(tmp_path / "none")], "gateway init"),
        (["opcua", "opc.tcp://h", "--name", "second", *given], "would not be valid, and were taken away again"),
    ):
        result = CliRunner().invoke(app, ["add", *words], env={"COLUMNS": "300"})
        assert (result.exit_code, said in result.stderr.replace("\n", " ")) == (2, True), result.stderr
    assert [path.name for path in sorted((tmp_path / "devices").iterdir())] == ["README", "eastron-sdm120.yaml"]
