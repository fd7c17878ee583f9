"""Real servers of line protocol for tests: InfluxDB 1 and VictoriaMetrics, on one port of loopback for their whole life."""

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import weakref
from pathlib import Path
from typing import Any

from tests.support.network import free_port

PASSWORD = "s3cret-of-influx"


class Server:
    """`start_now` as often as needed: port and data stay."""

    def __init__(self, binary: str) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="gateway-influx-"))
        weakref.finalize(self, shutil.rmtree, self.home, ignore_errors=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None

    def arguments(self) -> list[str]:
        """Return what the program is started with."""
        raise NotImplementedError

    def start_now(self) -> None:
        """Run it and return when it answers."""
        with (self.home / "server.log").open("ab") as log:
            self._process = subprocess.Popen([self._binary, *self.arguments()], stdout=log, stderr=log, cwd=self.home)
        weakref.finalize(self, self._process.kill)
        end = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < end, self.log()
            time.sleep(0.05)

    async def start(self) -> None:
        """The same beside an event loop."""
        await asyncio.to_thread(self.start_now)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/ping", timeout=5)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def log(self) -> str:
        """What it has said so far."""
        return (self.home / "server.log").read_text(errors="replace")

    async def get(self, path: str, **query: str) -> Any:
        """Ask it, as JSON."""

        def ask() -> Any:
            with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(query)}", timeout=30) as answer:
                return json.loads(answer.read())

        return await asyncio.to_thread(ask)


class Influx1(Server):
    """InfluxDB 1 with the database `plant`; with_users: it asks for a login, and has the user `gateway`."""

    def __init__(self, binary: str, *, with_users: bool = False) -> None:
        super().__init__(binary)
        self._with_users = with_users
        self._is_new = True

    def arguments(self) -> list[str]:
        """Write its file and return its name."""
        path = self.home / "influxdb.conf"
        path.write_text(
            f'reporting-disabled = true\nreporting-enabled = false\nbind-address = "127.0.0.1:{free_port()}"\n'
            f'[meta]\ndir = "{self.home}/meta"\n[data]\ndir = "{self.home}/data"\nwal-dir = "{self.home}/wal"\n'
            f"[monitor]\nstore-enabled = false\n"
            f'[http]\nbind-address = "127.0.0.1:{self.port}"\nflux-enabled = false\n'
            f"auth-enabled = {str(self._with_users).lower()}\n"
            f"[ifql]\nenabled = false\n"
        )
        return ["-config", str(path)]

    def start_now(self) -> None:
        """Run it and return when it answers and has its database."""
        super().start_now()
        if self._is_new:
            self._is_new = False
            if self._with_users:
                self._say(f"CREATE USER gateway WITH PASSWORD '{PASSWORD}' WITH ALL PRIVILEGES", {})
            self._say("CREATE DATABASE plant")

    def _say(self, statement: str, login: dict[str, str] | None = None) -> None:
        if login is None:
            login = {"u": "gateway", "p": PASSWORD} if self._with_users else {}
        query = urllib.parse.urlencode({"q": statement, **login})
        urllib.request.urlopen(f"{self.url}/query?{query}", data=b"", timeout=30).read()

    def write(self, line: str) -> None:
        """Write a line of somebody else."""
        urllib.request.urlopen(f"{self.url}/write?db=plant", data=line.encode(), timeout=30).read()

    async def rows(self, query: str, database: str = "plant") -> list[dict[str, Any]]:
        """Return the rows of a query, tags of a group among them, times in ns."""
        answer = await self.get("/query", db=database, q=query, epoch="ns")
        result = answer["results"][0]
        assert "error" not in result, result
        return [
            dict(zip(series["columns"], values, strict=True)) | series.get("tags", {})
            for series in result.get("series", [])
            for values in series["values"]
        ]


class Victoria(Server):
    """VictoriaMetrics, one node."""

    def arguments(self) -> list[str]:
        """Return its flags."""
        return [f"-httpListenAddr=127.0.0.1:{self.port}", f"-storageDataPath={self.home}/data", "-retentionPeriod=100y",
                "-search.latencyOffset=0s"]  # fmt: skip
