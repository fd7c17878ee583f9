"""A real Kafka for tests: one broker in KRaft mode as a child process, on its ports of loopback for its whole life."""

import asyncio
import signal
import socket
import subprocess
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.support.network import free_port, until

JARS = Path(__file__).resolve().parents[1] / "java" / "jars"
_JAVA = ("java", "-Xms32m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
         "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")  # fmt: skip
_CLUSTER = "Z2F0ZXdheXRlc3RzMDAwMA"


class Kafka:
    """`start` as often as needed: ports and log stay."""

    def __init__(self, folder: Path) -> None:
        """folder: an empty directory for its files."""
        self._folder = folder
        self.port, self._controller = free_port(), free_port()
        self._listeners = {
            "PLAINTEXT": ("PLAINTEXT", self.port, self.port),
            "CONTROLLER": ("PLAINTEXT", self._controller, 0),
        }
        self._more: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"127.0.0.1:{self.port}"

    def set(self, **properties: str) -> None:
        """Set properties of server.properties, underscores for dots, before the first start."""
        self._more |= {name.replace("_", "."): value for name, value in properties.items()}

    def listen(self, name: str, protocol: str = "PLAINTEXT", *, advertised: int = 0, **properties: str) -> int:
        """Add a listener before the first start; returns its port.

        advertised: a port that it names instead of its own. properties: below listener.name.NAME, double underscores for
        hyphens, single ones for dots.
        """
        port = free_port()
        own = {
            f"listener.name.{name.lower()}.{key.replace('__', '-').replace('_', '.')}": value
            for key, value in properties.items()
        }
        self._listeners[name] = (protocol, port, advertised or port)
        self._more |= own
        return port

    def _properties(self) -> str:
        listeners = self._listeners.items()
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller}",
            "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, (_, port, _) in listeners),
            "advertised.listeners": ",".join(f"{name}://127.0.0.1:{seen}" for name, (_, _, seen) in listeners if seen),
            "listener.security.protocol.map": ",".join(f"{name}:{kind}" for name, (kind, _, _) in listeners),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self._folder / "log"),
            "num.partitions": "3",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
            "num.network.threads": "1",
            "num.io.threads": "2",
            "log.cleaner.enable": "false",
            **self._more,
        }
        return "".join(f"{key}={value}\n" for key, value in properties.items())

    async def start(self) -> None:
        """Run it and return when it takes requests."""
        await asyncio.to_thread(self.start_now)

    def start_now(self, *, scram: Mapping[str, str] | None = None) -> None:
        """The same without an event loop. scram: users and passwords, at the first start only."""
        path = self._folder / "server.properties"
        path.write_text(self._properties())
        log = self._folder / "log"
        if scram:
            users = [f"--add-scram={kind}=[name={name},password={password}]"
                     for name, password in scram.items() for kind in ("SCRAM-SHA-256", "SCRAM-SHA-512")]  # fmt: skip
            self._java("kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(path), *users).wait(60)
        elif not log.exists():  # what `format` would write, without a virtual machine of its own
            log.mkdir()
            (log / "meta.properties").write_text(f"version=1\ncluster.id={_CLUSTER}\nnode.id=1\n")
        self._process = self._java("kafka.Kafka", str(path))
        weakref.finalize(self, self._process.kill)  # a test that fails leaves no broker behind
        end = time.monotonic() + 120
        while not self._answers():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < end, self.log()
            time.sleep(0.1)

    def _java(self, *arguments: str) -> "subprocess.Popen[bytes]":
        with (self._folder / "kafka.log").open("ab") as log:
            return subprocess.Popen([*_JAVA, "-cp", f"{JARS}/*", *arguments], stdout=log, stderr=log)

    def log(self) -> str:
        """What it has said so far."""
        return (self._folder / "kafka.log").read_text(errors="replace")

    def stop(self) -> None:
        """End it politely (SIGTERM)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze it: its sockets stay open and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(60)
            self._process = None

    def _answers(self) -> bool:
        """Return whether it gives ids to producers: a port that listens says less."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                connection.sendall(bytes.fromhex("00000010 0016 0000 00000001 ffff ffff 7fffffff"))
                answer = connection.recv(64)
        except OSError:
            return False
        return len(answer) >= 14 and answer[12:14] == b"\0\0"

    async def create(self, *topics: str, partitions: int = 3, **settings: str) -> None:
        """Make topics. settings: of the topic, underscores for dots."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
        await admin.start()
        try:
            own = {name.replace("_", "."): value for name, value in settings.items()}
            await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=own) for topic in topics])
        finally:
            await admin.close()

    async def read(self, topics: Sequence[str], enough: int = 0) -> list[ConsumerRecord]:
        """Return what is in the log of these topics, once there are `enough` records, partition by partition in order."""
        consumer = AIOKafkaConsumer(*topics, bootstrap_servers=self.address, auto_offset_reset="earliest", group_id=None)
        await consumer.start()
        records: list[ConsumerRecord] = []
        try:

            async def complete() -> bool:
                found = await consumer.getmany(timeout_ms=200)
                records.extend(record for batch in found.values() for record in batch)
                ends = await consumer.end_offsets(consumer.assignment())
                return len(records) >= enough and len(records) >= sum(ends.values())

            async with asyncio.timeout(60):
                while not await complete():
                    pass
        finally:
            await consumer.stop()
        return records


def headers_of(record: ConsumerRecord) -> dict[str, str]:
    """The headers of a record as text."""
    return {name: value.decode() for name, value in record.headers}


__all__ = ["JARS", "Kafka", "headers_of", "until"]
