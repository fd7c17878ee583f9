"""Real proxies for tests: tinyproxy (HTTP CONNECT) and microsocks (SOCKS 5), on loopback."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.absent import absent
from tests.support.network import free_port


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        absent(f"{name} (make test installs it where it can)")
    assert path is not None
    return path


@asynccontextmanager
async def _running(command: list[str], port: int, log: Path) -> AsyncIterator[None]:
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    assert process.poll() is None, log.read_text()
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    break
        yield
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def http_proxy(folder: Path, *, login: tuple[str, str] | None = None) -> AsyncIterator[tuple[str, Path]]:
    """Run tinyproxy; gives its URL and its log. login: user and password that it asks for."""
    port, log, config = free_port(), folder / "tinyproxy.log", folder / "tinyproxy.conf"
    lines = [f"Port {port}", "Listen 127.0.0.1", "Timeout 600", "Allow 127.0.0.1", f'LogFile "{log}"', "LogLevel Connect"]
    lines += [f"BasicAuth {login[0]} {login[1]}"] if login else []
    config.write_text("\n".join(lines) + "\n")
    async with _running([_program("tinyproxy"), "-d", "-c", str(config)], port, folder / "tinyproxy.out"):
        yield f"http://127.0.0.1:{port}", log


@asynccontextmanager
async def socks_proxy(folder: Path, *, login: tuple[str, str] | None = None) -> AsyncIterator[tuple[str, Path]]:
    """Run microsocks; gives its URL and its log. login: user and password that it asks for."""
    port, log = free_port(), folder / "microsocks.log"
    who = ["-u", login[0], "-P", login[1]] if login else []
    async with _running([_program("microsocks"), "-i", "127.0.0.1", "-p", str(port), *who], port, log):
        yield f"socks5://127.0.0.1:{port}", log
