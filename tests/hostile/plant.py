"""One gateway among hostile peers: started, watched from its neighbour's side, ended; and what it may not do meanwhile."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self

from tests.hostile.neighbour import INTERVAL_S, Report
from tests.support.gateway import ROOT, GatewayProcess
from tests.support.mosquitto import Mosquitto

MOST_WAIT_S: Final = 0.1
MOST_ONCE_S: Final = 1.0
"""What the rule allows of a wait that does not come again while the attack goes on: the machine makes those as well."""
SPANS: Final = 4
"""An attack is watched again where a wait was too long: what it costs, it costs each time."""
MOST_GROWTH_BYTES: Final = 64 * 2**20
MOST_STOP_S: Final = 5.0
WATCHED_S: Final = 0.5
"""For how long an attack goes on once it has reached the gateway, without the time for which others have the processor."""


class Peer(Protocol):
    """A hostile device, server or broker, which behaves until it is told to attack."""

    reached: threading.Event
    """Set once the gateway has been sent the attack."""

    async def start(self, broker: int) -> None:
        """Listen. broker: the port of the real one."""
        ...

    async def stop(self) -> None:
        """End."""
        ...

    async def attack(self, on: bool) -> None:
        """Begin; off: behave again."""
        ...

    def device(self) -> str:
        """Return its device file, "" where it is none."""
        ...

    def broker(self) -> str:
        """Return the URL of a broker in place of the real one, "" where it is none."""
        ...


_LONGEST_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Toll:
    """What an attack cost.

    Attributes:
        worst_s: The longest wait of all spans that were watched.
        usual_s: The longest wait of the span in which it was least.
        growth_bytes: The most that the process held at once, beyond what it held before.
    """

    worst_s: float
    usual_s: float
    growth_bytes: int

    @property
    def is_borne(self) -> bool:
        """Whether the rule was kept."""
        return self.usual_s <= MOST_WAIT_S and self.worst_s <= MOST_ONCE_S and self.growth_bytes <= MOST_GROWTH_BYTES


class Neighbour:
    """The process of `neighbour.py`."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.neighbour"], stdin=pipe, stdout=pipe, text=True, cwd=ROOT
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def tell(self, command: str) -> None:
        """Send a command that has no answer."""
        assert self._process.stdin is not None
        print(command, file=self._process.stdin, flush=True)

    def report(self) -> Report:
        """Return what it has seen since the last reset."""
        self.tell("report")
        assert self._process.stdout is not None
        return Report(*json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End it."""
        self._process.communicate()


class Plant:
    """`with Plant(folder, mosquitto, peers) as plant`. Peers run on a thread's own loop."""

    def __init__(self, folder: Path, mosquitto: str, peers: Mapping[str, Peer], *, root: str = "") -> None:
        """peers: by what they do. root: more lines of gateway.yaml."""
        self._folder = folder
        self._peers = dict(peers)
        self._root = root
        self._mosquitto = Mosquitto(mosquitto, folder)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.gateway = GatewayProcess(folder / "config")
        self._peak_bytes, self._used_s = 0, 0.0
        self.gateway.program = ("-m", "tests.hostile.gateway_quick")

    def __enter__(self) -> Self:
        self._thread.start()
        self.neighbour = Neighbour()
        self.do(self._mosquitto.start())
        for peer in self._peers.values():
            self.do(peer.start(self._mosquitto.port))
        self._configure()
        return self

    def __exit__(self, *_: object) -> None:
        self.gateway.kill()
        for peer in self._peers.values():
            self.do(peer.stop())
        self._mosquitto.stop()
        self.neighbour.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def do(self, what: Coroutine[Any, Any, Any]) -> Any:
        """Run something on the peers' loop."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(120)

    def start(self) -> None:
        """Start the gateway; returns at once."""
        self._peak_bytes = 0
        self.gateway.start()
        self.neighbour.tell(f"watch {self._pid}")
        self.neighbour.tell("reset")

    def polled_or_ended(self, most_cpu_s: float) -> bool:
        """Return whether the neighbour was polled before the gateway ended, or had used that much of the processor."""
        while not self._has_ended() and self._cpu_s() < most_cpu_s:
            if self.neighbour.report().polls:
                return True
            time.sleep(0.01)
        return False

    def watched(self) -> Toll:
        """Return what the neighbour sees from now on for a while."""
        waits_s = self._waits_s(self._watched_s())
        return Toll(max(waits_s), min(waits_s), self.peak())

    def _watched_s(self) -> float:
        self.neighbour.tell("reset")
        self._watch()
        return self.neighbour.report().owed_s

    def _waits_s(self, first_s: float) -> list[float]:
        """Return the longest wait of each span, of which there are more than one if it was too long in the first."""
        waits_s = [first_s]
        while min(waits_s) > MOST_WAIT_S and max(waits_s) <= MOST_ONCE_S and len(waits_s) < SPANS:
            waits_s.append(self._watched_s())
        return waits_s

    def cost(self) -> tuple[float, int]:
        """Return the seconds of the processor that an ended gateway has used, and the most bytes of memory that were
        seen."""
        return self._used_s, self._peak_bytes

    def run(self) -> None:
        """Start the gateway, unless it runs; return once the neighbour is polled regularly and every peer was good to it."""
        polls = 1
        if self.gateway.process is None or self._has_ended():
            self.start()
            polls = 3
        self.neighbour.tell("reset")
        self.until(lambda: self.neighbour.report().polls >= polls, 30, "polls of the neighbour")

    def endure(self, peer: str) -> Toll:
        """Let a peer attack for a while. A gateway that did not bear it is ended, so that the next row has a sound one."""
        self.run()
        attacker = self._peers[peer]
        attacker.reached.clear()
        before = self.resident()
        (self._proc / "clear_refs").write_text("5")  # proc(5): the peak is counted anew
        self.neighbour.tell("reset")
        self.do(attacker.attack(True))
        try:
            self.until(attacker.reached.is_set, 10, f"{peer} gets to attack")
            self._watch()
            waits_s = self._waits_s(self.neighbour.report().owed_s)
            toll = Toll(max(waits_s), min(waits_s), self.peak() - before)
        finally:
            self.do(attacker.attack(False))
        if not toll.is_borne:
            self.gateway.kill()
        return toll

    def _watch(self) -> None:
        """Wait until the gateway could have had the processor that long; 5 s where others have it all the time."""
        end_s = time.monotonic() + WATCHED_S
        while (left_s := end_s + min(self.neighbour.report().stolen_s, _LONGEST_S) - time.monotonic()) > 0:
            time.sleep(left_s)

    def attack(self, peer: str) -> None:
        """Let a peer attack until the end."""
        self.do(self._peers[peer].attack(True))

    def all_attack(self) -> None:
        """Let all peers attack at once, of brokers the first; return once each has reached the gateway."""
        self.run()
        brokers = [name for name, peer in self._peers.items() if peer.broker()]
        attackers = {name: peer for name, peer in self._peers.items() if name not in brokers[1:]}
        for peer in attackers.values():
            peer.reached.clear()
            self.do(peer.attack(True))
        for name, peer in attackers.items():
            self.until(peer.reached.is_set, 20, f"{name} gets to attack")

    def stop(self) -> float:
        """SIGTERM; return how long the gateway took, without the time for which others had the CPU that it wanted."""
        self.neighbour.tell("reset")
        began_s, stolen_s = time.monotonic(), 0.0
        assert self.gateway.process is not None
        if not self._has_ended():
            self.gateway.process.terminate()
        while not self._has_ended():
            stolen_s = max(stolen_s, self.neighbour.report().stolen_s)
            if time.monotonic() - began_s - stolen_s > 2 * MOST_STOP_S:
                self.gateway.process.kill()
            time.sleep(0.01)
        return time.monotonic() - began_s - stolen_s

    def _has_ended(self) -> bool:
        """Look after the process: what it holds, and what it has used in the end."""
        process = self.gateway.process
        assert process is not None
        if process.returncode is None:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode, self._used_s = os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
            else:
                with suppress(AssertionError):  # it ends just now
                    self._peak_bytes = max(self._peak_bytes, self.peak())
        return process.returncode is not None

    def _cpu_s(self) -> float:
        """Return the seconds of the processor that all its threads have used so far (proc(5): utime and stime)."""
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> int:
        """Return the bytes of memory that the gateway holds."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """Return the most that it has held since the peak was last reset."""
        return self._status("VmHWM")

    def until(self, condition: Callable[[], bool], deadline_s: float, what: str) -> None:
        """Wait, the time not counted for which others had the CPU; fail with what the gateway has said."""
        end_s = time.monotonic() + deadline_s
        while not condition():
            assert not self._has_ended(), f"the gateway has ended: {self.gateway.log()[-3000:]}"
            left_s = end_s + self.neighbour.report().stolen_s - time.monotonic()
            assert left_s > 0, f"not within {deadline_s} s: {what}: {self.gateway.log()[-3000:]}"
            time.sleep(0.02)

    @property
    def _pid(self) -> int:
        assert self.gateway.process is not None
        return self.gateway.process.pid

    @property
    def _proc(self) -> Path:
        return Path(f"/proc/{self._pid}")

    def _status(self, key: str) -> int:
        for line in (self._proc / "status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"the gateway has ended: {self.gateway.log()[-3000:]}")

    def _configure(self) -> None:
        config = self._folder / "config"
        (config / "devices").mkdir(parents=True, exist_ok=True)
        broker = next((url for peer in self._peers.values() if (url := peer.broker())), self._mosquitto.url)
        (config / "gateway.yaml").write_text(
            f"name: test\nmqtt:\n  url: {broker}\n  keepalive: 5s\n  timeout: 2s\n"
            f"outbox:\n  path: {self._folder}/outbox.db\n  keep_free: 0B\n{self._root}\n"
        )
        devices = {f"peer{row}": peer.device() for row, peer in enumerate(self._peers.values()) if peer.device()}
        devices["neighbour"] = (
            f"protocol: modbus\nurl: tcp://127.0.0.1:{self.neighbour.port}\ninterval: {1000 * INTERVAL_S:g}ms\n"
            "tags:\n  - {name: t, address: 'holding:0'}\n"
        )
        for name, text in devices.items():
            (config / "devices" / f"{name}.yaml").write_text(text)
