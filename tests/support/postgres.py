"""A real PostgreSQL for tests: a cluster of its own as a child process, on one port of loopback for its whole life."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg

from tests.support.network import free_port

PASSWORD = "s3cret-of-postgres"


def binaries() -> Path | None:
    """The folder of the newest server that is installed, as Debian puts it."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Postgres:
    """`start` as often as needed: port and data stay. Nobody's server: it refuses to run as root."""

    def __init__(self, folder: Path) -> None:
        """folder: of its binaries. Makes the cluster, with the database `plant` and the user `gateway`."""
        self._bin = folder
        self._home = Path(tempfile.mkdtemp(prefix="gateway-postgres-"))
        weakref.finalize(self, shutil.rmtree, self._home, ignore_errors=True)
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user is not None:
            owner = pwd.getpwnam(self._user)
            os.chown(self._home, owner.pw_uid, owner.pw_gid)
        self._data = self._home / "data"
        secret = self._home / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run("initdb", "-D", str(self._data), "-U", "gateway", "-A", "scram-sha-256", "--pwfile", str(secret),
                  "-E", "UTF8", "--locale", "C", "--no-sync").wait(120)  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"postgresql://127.0.0.1:{self.port}/plant"
        self._own: Sequence[str] = ()
        self._has_database = False

    def _run(self, program: str, *arguments: str) -> "subprocess.Popen[bytes]":
        with (self._home / "postgres.log").open("ab") as log:
            return subprocess.Popen(
                [self._bin / program, *arguments], stdout=log, stderr=log, cwd=self._home, user=self._user,
                group=self._user, extra_groups=[] if self._user else None,
            )  # fmt: skip

    def encrypt(self, certificate: Path, key: Path) -> None:
        """Offer TLS from the next start on."""
        for name, path in (("server.crt", certificate), ("server.key", key)):
            target = self._data / name
            target.write_bytes(path.read_bytes())
            target.chmod(0o600)
            if self._user is not None:
                owner = pwd.getpwnam(self._user)
                os.chown(target, owner.pw_uid, owner.pw_gid)
        self._own = ("-c", "ssl=on")

    def start_now(self) -> None:
        """Run it and return when it takes connections."""
        self._process = self._run(
            "postgres", "-D", str(self._data), "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
            "-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "shared_buffers=16MB", *self._own,
        )  # fmt: skip
        weakref.finalize(self, self._process.kill)
        end = time.monotonic() + 60
        while subprocess.run(
            [self._bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
        ).returncode:
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < end, self.log()
            time.sleep(0.05)
        if not self._has_database:
            self._has_database = True
            command = [self._bin / "createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "gateway", "plant"]
            subprocess.run(command, check=True, env=os.environ | {"PGPASSWORD": PASSWORD})

    async def start(self) -> None:
        """The same beside an event loop."""
        await asyncio.to_thread(self.start_now)

    def log(self) -> str:
        """What it has said so far."""
        return (self._home / "postgres.log").read_text(errors="replace")

    def kill(self) -> None:
        """End it at once: SIGKILL for the server and all that serve its connections."""
        if self._process is not None:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            for pid in (self._process.pid, *map(int, children)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def pause(self) -> None:
        """Freeze what serves connections: sockets stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in map(int, children):
            os.kill(pid, number)

    async def execute(self, *statements: str, database: str = "plant") -> list[Any]:
        """Run statements as the owner of all; returns the rows of the last."""
        connection = await asyncpg.connect(
            host="127.0.0.1", port=self.port, user="gateway", password=PASSWORD, database=database
        )
        try:
            rows: list[Any] = []
            for statement in statements:
                rows = await connection.fetch(statement)
            return rows
        finally:
            await connection.close()
