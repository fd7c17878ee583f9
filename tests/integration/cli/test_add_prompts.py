"""`gateway add` as a person meets it: a terminal (pty) that asks, and answers that are right, wrong or missing."""

import asyncio
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.settings import load
from tests.integration.test_templates import Device
from tests.support.modbus_server import ScriptedServer
from tests.support.network import free_port, until

CTRL_C, CTRL_D = b"\x03", b"\x04"


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.text = ""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.environ |= {"COLUMNS": "200", "TERM": "dumb"}
            os.execv(sys.executable, [sys.executable, "-m", "gateway", *words, "--config", str(folder)])
        self.code: int | None = None
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 65_536)
        except OSError:  # the other side has ended
            data = b""
        self.text += data.decode(errors="replace")
        if not data:
            asyncio.get_running_loop().remove_reader(self._fd)
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self._fd)

    async def asks(self, question: str) -> None:
        await until(lambda: question in self.text or self.code is not None, 60, lambda: f"{question!r} in {self.text!r}")
        assert question in self.text, self.text

    def types(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    async def ends(self) -> int:
        await until(lambda: self.code is not None, 60, lambda: f"an end of {self.text!r}")
        assert self.code is not None
        assert "Traceback" not in self.text
        return self.code


@asynccontextmanager
async def adding(folder: Path, *more: str) -> AsyncIterator[Terminal]:
    """`gateway add` at a device with two registers, until the end of the block."""
    assert CliRunner().invoke(app, ["init", str(folder), "--name", "works", "--broker", "mqtt://10.0.0.1"]).exit_code == 0
    port = free_port()
    words = ("add", "modbus", f"tcp://127.0.0.1:{port}", "--unit", "7", "--until", "1", "--per-second", "1000", *more)
    async with ScriptedServer(port, Device({"holding:0": "000A 000B"})):
        terminal = Terminal(folder, *words)
        try:
            yield terminal
        finally:
            if terminal.code is None:
                os.kill(terminal.pid, signal.SIGKILL)
                await until(lambda: terminal.code is not None, 60, "its end")


def written(folder: Path) -> list[str]:
    return sorted(path.name for place in ("devices", "tags") for path in (folder / place).glob("*.*"))


async def test_the_proposed_answers_write_and_read_the_device(tmp_path: Path) -> None:
    async with adding(tmp_path) as terminal:
        await terminal.asks("Name of the device (a level of its topics) [modbus-127-0-0-1]:")
        terminal.types(b"\r")
        await terminal.asks("Write this file")
        terminal.types(b"\r")
        assert await terminal.ends() == 0
    assert [entry.config.name for entry in load(tmp_path).entries] == ["modbus-127-0-0-1"]
    assert "holding_1" in terminal.text


async def test_a_name_that_cannot_be_one_is_refused_and_nonsense_is_asked_again(tmp_path: Path) -> None:
    async with adding(tmp_path) as terminal:
        await terminal.asks("Name of the device")
        terminal.types(b"../../etc/x\r")
        assert await terminal.ends() == 2
    assert "cannot be the name of a file and a topic" in terminal.text
    for file in tmp_path.glob("gateway.yaml"):
        file.unlink()
    async with adding(tmp_path, "--name", "mixer") as terminal:
        await terminal.asks("Write this file")
        terminal.types(b"perhaps\r")
        await until(lambda: terminal.text.count("Write this file") == 2, 60, lambda: terminal.text)
        terminal.types(b"n\r")
        assert await terminal.ends() == 2
    assert "nothing was written" in terminal.text
    assert written(tmp_path) == []


async def test_ctrl_c_and_the_end_of_input_write_nothing(tmp_path: Path) -> None:
    async with adding(tmp_path / "one") as terminal:
        await terminal.asks("Name of the device")
        terminal.types(CTRL_C)
        assert await terminal.ends() != 0
    async with adding(tmp_path / "two", "--name", "mixer") as terminal:
        await terminal.asks("Write this file")
        terminal.types(CTRL_D)
        assert await terminal.ends() != 0
    assert written(tmp_path / "one") == written(tmp_path / "two") == []
