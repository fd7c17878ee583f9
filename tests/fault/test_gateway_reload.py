"""A changed configuration is taken while the whole gateway runs: device by device, and nobody else notices."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from gateway.audit.ledger import Ledger
from tests.support.gateway import ROOT, GatewayProcess, Modbus, Subscriber, write_config
from tests.support.line import EVERY_WINDOW, QUEUES, impatient
from tests.support.modbus_server import ScriptedServer
from tests.support.mosquitto import Mosquitto
from tests.support.network import free_port, until


class Plant:
    """Devices that one server plays, a broker, the gateway, and who listens to it."""

    def __init__(
        self, gateway: GatewayProcess, subscriber: Subscriber, devices: list[Modbus], servers: list[ScriptedServer]
    ) -> None:
        self.gateway, self.subscriber, self.devices = gateway, subscriber, devices
        self.servers = {device.name: server for device, server in zip(devices, servers, strict=True)}

    def file(self, name: str) -> Path:
        return self.gateway.config / "devices" / f"{name}.yaml"

    def edit(self, name: str, old: str, new: str) -> None:
        """Change a device file, as an editor does: written beside, then put in its place."""
        text = self.file(name).read_text()
        assert old in text
        fresh = self.file(name).with_name(".fresh")
        fresh.write_text(text.replace(old, new))
        fresh.replace(self.file(name))

    def hang_up(self) -> None:
        assert self.gateway.process is not None
        self.gateway.process.send_signal(signal.SIGHUP)

    def reloads(self) -> list[dict]:
        return [m.payload for m in self.subscriber.of("/test/event") if m.payload["kind"] == "reload"]

    async def reload(self, deadline_s: float = 60.0) -> dict:
        """SIGHUP, and what came of it."""
        count = len(self.reloads())
        self.hang_up()
        await until(lambda: len(self.reloads()) > count, deadline_s, self.gateway.log)
        return self.reloads()[count]

    def windows(self, device: str) -> list[dict]:
        """Each once, as a busy machine may lose the connection, and what was not confirmed comes again."""
        found = [m.payload for m in self.subscriber.of(f"/{device}/window")]
        return list({(one["boot"], one["seq"]): one for one in reversed(found)}.values())[::-1]

    async def more_windows(self, device: str, count: int = 2) -> None:
        target = len(self.windows(device)) + count
        await until(lambda: len(self.windows(device)) >= target, 60, self.gateway.log)

    async def until_samples(self, device: str, count: int) -> None:
        """Wait for a new window with so many samples of each tag: the interval that is configured."""
        known = len(self.windows(device))
        await until(
            lambda: any(row["n"] == count for one in self.windows(device)[known:] for row in one["tags"].values()),
            60,
            self.gateway.log,
        )

    def status(self) -> dict:
        online = [m.payload for m in self.subscriber.of("/status") if m.payload["state"] == "online"]
        return online[-1] if online else {}

    def assert_complete(self) -> None:
        ledger = Ledger(from_start=True)
        for m in self.subscriber.messages:
            if not m.retain and m.topic.endswith(("/window", "/event", "/summary", "/value", "/stats")):
                ledger.add(m.topic, m.payload, is_repeated=m.dup, is_kept=False)
        report = ledger.report()
        assert report.complete, report

    def assert_no_gap(self, device: str) -> None:
        """Each sample that the device was asked for is in one window, but for a last one; no window comes twice."""
        windows = self.windows(device)
        starts = [one["ts"] for one in windows if "late" not in one]
        assert starts == sorted(set(starts))
        asks = len(self.servers[device].asks)
        for tag in ("t0", "t1", "t2"):
            samples = sum(one["tags"][tag]["n"] for one in windows if tag in one["tags"])
            assert asks - 1 <= samples <= asks, (device, tag, asks, samples)

    def assert_never_twice(self, device: str) -> None:
        """Of all that was sent live, repetitions included, each window came once."""
        own = [m.payload for m in self.subscriber.of(f"/{device}/window") if not m.dup]
        starts = [one["ts"] for one in own if not (one["hist"] or "late" in one)]
        assert len(starts) == len(set(starts)), device


async def listening() -> ScriptedServer:
    """A server on a port that nobody has taken meanwhile."""
    while True:
        server = ScriptedServer(free_port())
        with suppress(OSError):
            await server.start()
            return server


@asynccontextmanager
async def plant(folder: Path, mosquitto: str, count: int = 3, *, root: str = EVERY_WINDOW, tags: int = 3):
    (folder / "broker").mkdir()
    broker = Mosquitto(mosquitto, folder / "broker", persistent=True)
    await broker.start(QUEUES)
    servers = [await listening() for _ in range(count)]
    devices = [Modbus(f"d{n}", f"tcp://127.0.0.1:{server.port}", tags, interval="200ms") for n, server in enumerate(servers)]
    config = write_config(folder, broker.url, devices, root=root)
    subscriber = await asyncio.to_thread(lambda: Subscriber(broker.port).wait_ready())
    gateway = GatewayProcess(config)
    gateway.program = ("-c", impatient())
    gateway.start()
    made = Plant(gateway, subscriber, devices, servers)
    try:
        await until(lambda: all(len(made.windows(one.name)) >= 1 for one in devices), 60, gateway.log)
        yield made
    finally:
        gateway.kill()
        subscriber.close()
        broker.stop()
        for server in servers:
            await server.stop()


async def test_a_changed_device_costs_the_others_nothing(tmp_path: Path, mosquitto: str) -> None:
    """One boot, one connection each for the others, windows without a gap; the event says in words what has changed."""
    async with plant(tmp_path, mosquitto) as line:
        boot = line.windows("d0")[-1]["boot"]
        line.edit("d1", "interval: 200ms", "interval: 100ms")
        found = await line.reload()
        assert (found["result"], found["reason"], found["changes"]) == ("applied", "SIGHUP", ["d1 is changed: interval"])
        await line.until_samples("d1", 10)
        assert {one["boot"] for name in ("d0", "d1", "d2") for one in line.windows(name)} == {boot}
        assert line.status()["configuration"]["reload"]["result"] == "applied"
        assert line.gateway.terminate() == 0
        for name in ("d0", "d2"):
            line.assert_no_gap(name)
        line.assert_complete()


async def test_devices_come_and_go(tmp_path: Path, mosquitto: str) -> None:
    """One that stands before the others in the table, too: what they send goes on under their own names."""
    async with plant(tmp_path, mosquitto) as line:
        line.file("a").write_text(line.file("d1").read_text())
        line.file("d1").unlink()
        line.file("d2").write_text(line.file("d2").read_text() + "publish: {format: json}\n")
        found = await line.reload()
        assert found["changes"][:2] == ["a is new: 3 tags", "d1 is removed"]
        await line.more_windows("a", 3)
        count = len(line.windows("d1"))
        await line.more_windows("d0", 3)
        assert len(line.windows("d1")) == count
        assert set(line.status()["devices"]) == {"a", "d0", "d2"}
        assert line.gateway.terminate() == 0
        line.assert_no_gap("d0")
        line.assert_complete()


MISTAKES = {
    "an unknown key": ("d1", "interval: 200ms", "intervall: 200ms"),
    "half a file": ("d1", "tag_file: d1.csv", "tag_fi"),
    "no yaml": ("d1", "protocol: modbus", "protocol: [modbus"),
    "two of one name": ("d1", "protocol: modbus", "name: d0\nprotocol: modbus"),
    "a tag file that is not there": ("d1", "tag_file: d1.csv", "tag_file: d9.csv"),
}


async def test_each_kind_of_mistake_changes_nothing(tmp_path: Path, mosquitto: str) -> None:
    """The reload says which file, which line; a good change beside it is not taken either. Then it is corrected."""
    async with plant(tmp_path, mosquitto) as line:
        config = line.status()["config"]
        line.edit("d2", "interval: 200ms", "interval: 400ms")
        for name, old, new in MISTAKES.values():
            good = line.file(name).read_text()
            line.edit(name, old, new)
            found = await line.reload()
            assert (found["result"], found["config"], found["changes"]) == ("refused", config, [])
            assert "d1.yaml" in found["problem"]
            line.file(name).write_text(good)
        gateway = line.gateway.config / "gateway.yaml"
        good = gateway.read_text()
        for text, problem in ((good + "nonsense: 1\n", "nonsense"), (good.replace("name: test", "name: other"), "restart")):
            gateway.write_text(text)
            found = await line.reload()
            assert (found["result"], found["config"]) == ("refused", config)
            assert problem in found["problem"]
        gateway.write_text(good)
        assert line.status()["configuration"]["reload"]["result"] == "refused"
        assert (await line.reload())["changes"] == ["d2 is changed: interval"]
        assert line.gateway.terminate() == 0
        for name in ("d0", "d1"):
            line.assert_no_gap(name)
        line.assert_complete()


async def _reload_command(config: Path, *more: str) -> tuple[int, str]:
    """Exit code and all output of `gateway reload`."""
    command = [sys.executable, "-m", "gateway", "reload", "--config", str(config), *more]
    done = await asyncio.to_thread(
        subprocess.run, command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, check=False
    )
    return done.returncode, done.stdout


async def test_a_device_that_does_not_come_up_is_changed_back(tmp_path: Path, mosquitto: str) -> None:
    """Only that device; another change of the same reload stays."""
    async with plant(tmp_path, mosquitto, root=EVERY_WINDOW + "reload: {confirm: 3s}\n") as line:
        url = line.devices[1].url
        away = free_port()
        line.edit("d1", url, f"tcp://127.0.0.1:{away}")
        line.edit("d2", "interval: 200ms", "interval: 100ms")
        code, output = await _reload_command(line.gateway.config)
        assert code == 1, output
        assert "d1 did not come up: " in output
        assert output.rstrip().endswith("changed back")
        await until(lambda: line.reloads() and line.reloads()[-1]["result"] == "rolled_back", 60, line.gateway.log)
        assert line.reloads()[0]["result"] == "applied"
        found = line.reloads()[-1]
        assert found["problem"].startswith("d1 did not come up: ")
        assert found["changes"] == ["d1 is changed: url"]
        await line.until_samples("d1", 5)
        await line.until_samples("d2", 10)
        line.edit("d1", f"tcp://127.0.0.1:{away}", url)
        line.edit("d1", "interval: 200ms", "interval: 300ms")
        code, output = await _reload_command(line.gateway.config)
        assert code == 0, output
        assert "confirmed: configuration" in output
        code, output = await _reload_command(line.gateway.config, "--no-wait")
        assert code == 0, output
        assert "nothing differs" in output
        assert line.gateway.terminate() == 0
        line.assert_no_gap("d0")
        line.assert_complete()


async def test_a_device_that_was_away_before_is_no_reason(tmp_path: Path, mosquitto: str) -> None:
    async with plant(tmp_path, mosquitto, root=EVERY_WINDOW + "reload: {confirm: 1s}\n") as line:
        line.file("gone").write_text(
            line.file("d1").read_text().replace(line.devices[1].url, f"tcp://127.0.0.1:{free_port()}")
        )
        assert (await line.reload())["result"] == "applied"
        line.edit("gone", "interval: 200ms", "interval: 300ms")
        assert (await line.reload())["result"] == "applied"
        await line.more_windows("d0", 4)
        assert [one["result"] for one in line.reloads()] == ["applied", "applied"]


async def test_a_folder_that_is_watched_is_taken_by_itself(tmp_path: Path, mosquitto: str) -> None:
    """As Kubernetes changes a ConfigMap: files are links through one link, which is replaced."""
    async with plant(tmp_path, mosquitto, root=EVERY_WINDOW + "reload: {watch: true}\n") as line:
        folder = line.gateway.config / "devices"
        for version, text in (("..v1", ""), ("..v2", "")):
            (folder / version).mkdir()
            for one in line.devices:
                content = line.file(one.name).read_text()
                if version == "..v2" and one.name == "d1":
                    content = content.replace("interval: 200ms", "interval: 100ms")
                (folder / version / f"{one.name}.yaml").write_text(content + text)
        (folder / "..data").symlink_to("..v1")
        for one in line.devices:
            link = folder / f"{one.name}.link"
            link.symlink_to(Path("..data") / f"{one.name}.yaml")
            link.replace(line.file(one.name))
        await until(lambda: bool(line.reloads()), 60, line.gateway.log)
        assert line.reloads()[-1]["changes"] == ["nothing differs"]
        fresh = folder / "..fresh"
        fresh.symlink_to("..v2")
        os.replace(fresh, folder / "..data")
        await until(lambda: line.reloads()[-1]["changes"] == ["d1 is changed: interval"], 60, line.gateway.log)
        await line.until_samples("d1", 10)


async def test_fifty_reloads_under_load(tmp_path: Path, mosquitto: str) -> None:
    """Another device each time: the others miss no sample and have no window twice, and nobody misses a number.

    GATEWAY_RELOAD_DEVICES says how many there are. What each reload took is printed, and nothing is asked of it.
    """
    devices, took = int(os.environ.get("GATEWAY_RELOAD_DEVICES", "40")), []
    async with plant(tmp_path, mosquitto, devices, tags=5) as line:
        changed = [f"d{n % (devices - 2)}" for n in range(50)]
        for number, name in enumerate(changed):
            line.edit(name, "interval: 200ms" if number < devices - 2 else "interval: 100ms", "interval: 100ms")
            if number >= devices - 2:
                line.edit(name, "interval: 100ms", "interval: 200ms")
            begun = time.monotonic()
            found = await line.reload()
            took.append(time.monotonic() - begun)
            assert (found["result"], found["changes"]) == ("applied", [f"{name} is changed: interval"])
        await line.more_windows("d0", 3)
        assert line.gateway.terminate() == 0
        for name in sorted({device.name for device in line.devices} - set(changed)):
            line.assert_no_gap(name)
        for device in line.devices:
            line.assert_never_twice(device.name)
        line.assert_complete()
    print(f"{devices} devices: {min(took):.2f} to {max(took):.2f} s, half within {sorted(took)[25]:.2f} s")


def command(line: Plant, *words: str) -> tuple[int, str]:
    """Run `gateway reload`; exit code and all that it says."""
    program = [sys.executable, "-m", "gateway", "reload", *words, "--config", str(line.gateway.config)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


async def test_the_command_says_what_came_of_it_and_what_ran_last_is_kept(tmp_path: Path, mosquitto: str) -> None:
    """A bad device file at the next start: the device runs as it ran last, and this is said."""
    root = EVERY_WINDOW + "reload: {keep_after: 1s}\n"
    async with plant(tmp_path, mosquitto, root=root) as line:
        await until(lambda: "configuration kept" in line.gateway.log(), 60, line.gateway.log)
        line.edit("d1", "interval: 200ms", "interval: 100ms")
        code, text = await asyncio.to_thread(command, line, "--dry-run")
        assert (code, text.splitlines()[0]) == (0, "d1 is changed: interval")
        assert line.reloads() == []
        code, text = await asyncio.to_thread(command, line)
        assert code == 0, text
        assert text.startswith("d1 is changed: interval\nconfirmed: ")
        await until(lambda: line.gateway.log().count("configuration kept") == 2, 60, line.gateway.log)
        line.edit("d1", "interval: 100ms", "nonsense: 1")
        code, text = await asyncio.to_thread(command, line)
        assert code == 1, text
        assert "d1.yaml" in text
        assert line.gateway.terminate() == 0
        code, text = await asyncio.to_thread(command, line)
        assert (code, "no gateway runs" in text) == (1, True)
        line.gateway.start()
        await until(lambda: line.status().get("configuration", {}).get("kept") == ["d1"], 60, line.gateway.log)
        await line.until_samples("d1", 10)
        events = [m.payload for m in line.subscriber.of("/test/event") if m.payload["kind"] == "configuration_refused"]
        assert [(event["name"], event["runs"]) for event in events] == [("d1", "last")]


async def test_requests_at_any_time_end_nothing(tmp_path: Path, mosquitto: str) -> None:
    """Many at once, while it starts, while a file is half written, and while it stops."""
    async with plant(tmp_path, mosquitto) as line:
        line.edit("d1", "interval: 200ms", "interval: 100ms")
        text = line.file("d2").read_text()
        for end in range(0, len(text), 7):
            line.file("d2").write_text(text[:end])
            line.hang_up()
            await asyncio.sleep(0.01)
        line.file("d2").write_text(text)
        await until(lambda: bool(line.reloads()), 60, line.gateway.log)
        await line.reload()
        await until(lambda: line.reloads()[-1]["result"] == "applied", 60, line.gateway.log)
        await line.until_samples("d1", 10)
        line.hang_up()
        line.edit("d1", "interval: 100ms", "interval: 200ms")
        line.hang_up()
        assert line.gateway.terminate() == 0
        line.assert_no_gap("d0")
        line.assert_complete()
