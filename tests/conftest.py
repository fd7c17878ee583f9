"""Fixtures that every kind of test may need."""

import gc
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from tests.support import disk as disk_under_test
from tests.support.absent import NODE_PACKAGES, absent
from tests.support.examples import QUICK
from tests.support.network import free_port
from tests.support.postgres import binaries

NODE = Path(__file__).parent / "node"

settings.load_profile(QUICK)

_COLLECT_AFTER = 200_000
"""Objects made since the last collection: about what one server of asyncua takes."""


def pytest_configure() -> None:
    gc.disable()  # collecting tests makes no garbage; `_collected_between_tests` takes over


def pytest_collection_finish() -> None:
    """What is imported by now stays: no later collection of garbage looks at it."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:  # a hook: a fixture for every test costs ten times as much
    """With some hundred servers behind it a worker's garbage takes seconds to collect: not in the middle of a test, in which
    server and client share one loop and nobody answers meanwhile.

    A property is hundreds of tests in one: bytes that decode to a million lists, kept in a traceback, were 17 GB by the end.
    """
    is_property = item.get_closest_marker("hypothesis") is not None
    if not is_property:
        gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        if not is_property and gc.get_count()[0] > _COLLECT_AFTER:
            gc.collect()


def _as_text(logger: object, method: str, event: dict[str, object]) -> str:
    """A line of the journal as one text."""
    text = str(event.pop("event"))
    return " ".join([text, *(f"{key}={value}" for key, value in event.items())])


def pytest_runtest_setup() -> None:
    """Send what structlog is given through the standard library, where `caplog` finds it."""
    structlog.configure(
        processors=[structlog.processors.format_exc_info, _as_text],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=lambda *names: logging.getLogger(".".join(("gateway", *names))),
        cache_logger_on_first_use=False,
    )


@pytest.fixture
def port() -> int:
    """A free TCP port on loopback."""
    return free_port()


@pytest.fixture(scope="session")
def node() -> Path:
    """The folder with the foreign servers, installed by `make test`. Absent node: skipped at home, an error in CI."""
    if not shutil.which("node") or not (NODE / "node_modules" / "node-opcua").is_dir():
        absent(NODE_PACKAGES)
    return NODE


@pytest.fixture(scope="session")
def mosquitto() -> str:
    """Path of the real broker. Absent: skipped at home, an error in CI."""
    path = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not path:
        absent("mosquitto (make test installs it where it can)")
    subprocess.run([path, "-h"], capture_output=True, check=False)
    return path


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """The folder of Kafka's jars. Absent java or the jars: skipped at home, an error in CI."""
    jars = Path(__file__).parent / "java" / "jars"
    if not shutil.which("java") or not (jars / ".complete").exists():
        absent("java and Kafka's jars (make test fetches them where it can)")
    return jars


@pytest.fixture(scope="session")
def postgres() -> Path:
    """The folder of PostgreSQL's programs. Absent: skipped at home, an error in CI."""
    found = binaries()
    if found is None:
        absent("PostgreSQL's server (make test installs it where it can)")
    return found


@pytest.fixture(scope="session")
def influxd() -> str:
    """Path of InfluxDB 1. Absent: skipped at home, an error in CI."""
    return shutil.which("influxd") or absent("influxd (make test installs it where it can)")


@pytest.fixture(scope="session")
def victoria() -> str:
    """Path of VictoriaMetrics. Absent: skipped at home, an error in CI."""
    return shutil.which("victoria-metrics") or absent("victoria-metrics (make test installs it where it can)")


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that puts a process on a disk under test. Absent a compiler: skipped at home, an error in CI."""
    library = disk_under_test.compiled(tmp_path_factory.mktemp("disk"))
    if library is None:
        absent("a C compiler (make test installs it where it can)")
    return library


@pytest.fixture
def shared_memory(tmp_path: Path) -> Iterator[Path]:
    """An empty folder that costs no wait for a disk, where there is one."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield Path(folder)
