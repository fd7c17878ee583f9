"""An OPC UA connection without a server."""

import asyncio
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected
from gateway.core.ports.plugin import DeviceEntry, SourceServices
from gateway.sources.opcua.codec.columns import EXACT, ValueColumns
from gateway.sources.opcua.config.browse import Browse
from gateway.sources.opcua.config.device import OpcUaDevice, OpcUaTag
from gateway.sources.opcua.config.events import OpcUaEvents
from gateway.sources.opcua.port.adaptive_timeout import AdaptiveTimeout
from gateway.sources.opcua.port.errors import ServiceFault
from gateway.sources.opcua.port.findings import Findings, FoundTag
from gateway.sources.opcua.port.history import HistoryPage
from gateway.sources.opcua.port.session import ServerHealth
from gateway.sources.opcua.port.traffic import Traffic
from gateway.sources.opcua.port.units import EngineeringUnit
from gateway.sources.opcua.port.values import DataValues, Item, ShortQueue
from gateway.sources.opcua.source.source import QUEUE_SAMPLES, OpcUaSource
from tests.support.clock import ManualClock
from tests.support.watermarks_fake import FakeWatermarks

DAY_NS = 1_700_000_000_000_000_000
DOUBLE = 11
BAD_NODE_ID_UNKNOWN = 0x80340000
BAD_HISTORY_UNSUPPORTED = 0x80720000
FOUND = tempfile.TemporaryDirectory(prefix="opcua-found-")
"""Where what is found is kept, unless a test says otherwise."""


class FakeSession:
    """`Session` with a server that lives in this object and its roles. It keeps no history.

    refused: status by node for `values.subscribe`. unlabelled: nodes whose labels are not told. numbers: value by node for
    `values.read`. `publish` queues what `values.next_notification` gives. on_add: told the rows of `values.subscribe`.
    """

    def __init__(self, clock: Clock, keepalive_s: float = 3.0) -> None:
        self.clock = clock
        self.keepalive_s = keepalive_s
        self.check_s = 10.0
        self.traffic = Traffic()
        self.refused: dict[str, int] = {}
        self.numbers: dict[str, float] = {}
        self.found: list[FoundTag] | Exception = []
        self.findings = Findings()
        self.model_watched = self.hangs_up_on_model = False
        self.marked: Sequence[str] = ("namespaces", "start")
        self.measures_of: dict[str, EngineeringUnit] = {}
        self.event_names: dict[str, str] = {}
        self.labels_of: dict[str, dict[int, str]] = {}
        self.unlabelled: set[str] = set()
        self.labels_asked: list[list[int]] = []
        self.leaves: list[bool] = []
        self.added: list[list[int]] = []
        self.removed: list[int] = []
        self.reads_s: list[float] = []
        self.reads_refused = 0
        self.read_takes_s = 0.0
        self.checks = 0
        self.taken = 0
        self.events_added: list[list[OpcUaEvents]] = []
        self.refreshes = self.revived = 0
        self.stands = ServerHealth(0, 255)
        self.failure: Exception | None = None
        self.closed = self.left_behind = False
        self.knows_session = True
        self.on_add: Callable[[list[int]], None] = lambda rows: None
        self.published: asyncio.Queue[DataValues | Exception] = asyncio.Queue()
        self.values, self.events = FakeValues(self), FakeEvents(self)
        self.history, self.metadata = FakeHistory(), FakeMetadata(self)

    async def connect(self, config: OpcUaDevice, clock: Clock, patience: AdaptiveTimeout) -> "FakeSession":
        """As `Connect`: this object is the session."""
        if self.failure:
            raise self.failure
        return self

    def publish(self, what: DataValues | Exception) -> None:
        """The server's next notification, or the way in which waiting for it fails."""
        self.published.put_nowait(what)

    async def health(self) -> ServerHealth:
        if self.failure:
            raise self.failure
        return self.stands

    async def check(self) -> int:
        self.checks += 1
        if self.failure:
            raise self.failure
        return self.reads_refused

    async def resume(self) -> bool:
        if self.failure:
            raise self.failure
        self.revived += 1
        self.closed = not self.knows_session
        return self.knows_session

    async def close(self, *, leave: bool = False) -> None:
        self.closed = True
        self.left_behind = self.left_behind or leave
        self.leaves.append(leave)


class FakeValues:
    """`Values` of a `FakeSession`."""

    def __init__(self, session: FakeSession) -> None:
        self._session = session
        self.short_queues: dict[int, ShortQueue] = {}

    async def subscribe(self, items: Sequence[Item]) -> list[int]:
        session = self._session
        session.added.append([item.row for item in items])
        session.on_add(session.added[-1])
        return [session.refused.get(item.node, 0) for item in items]

    async def unsubscribe(self, items: Sequence[Item]) -> None:
        self._session.removed += [item.row for item in items]

    async def next_notification(self) -> DataValues:
        what = await self._session.published.get()
        if isinstance(what, Exception):
            raise what
        self._session.taken += 1
        return what

    async def read(self, items: Sequence[Item]) -> list[DataValues]:
        session = self._session
        session.reads_s.append(session.clock.monotonic())
        if session.read_takes_s:
            await session.clock.sleep(session.read_takes_s)
        if session.failure:
            raise session.failure
        numbers = [session.numbers.get(item.node, 0.0) for item in items]
        statuses = [session.refused.get(item.node, 0) for item in items]
        return [values([item.row for item in items], numbers, status=statuses, received_ns=session.clock.now_ns())]


class FakeEvents:
    """`Events` of a `FakeSession`."""

    def __init__(self, session: FakeSession) -> None:
        self._session = session

    async def subscribe(self, wanted: Sequence[OpcUaEvents], *, model: bool) -> list[int]:
        session = self._session
        if model and session.hangs_up_on_model:
            raise NotConnected("the server hung up")
        session.events_added.append(list(wanted))
        session.model_watched = model
        statuses = [session.refused.get(one.notifier, 0) for one in wanted]
        return [*statuses, *([session.refused.get("model", 0)] if model else [])]

    async def refresh_conditions(self) -> bool:
        self._session.refreshes += 1
        return True

    async def type_names(self, types: Collection[str]) -> Mapping[str, str]:
        return {one: self._session.event_names[one] for one in types if one in self._session.event_names}


class FakeHistory:
    """`History` of a server that keeps none."""

    async def readable(self, items: Sequence[Item]) -> list[bool]:
        return [False] * len(items)

    async def read(
        self, items: Sequence[Item], start_ns: int, end_ns: int, most: int, points: Sequence[bytes]
    ) -> list[HistoryPage]:
        raise ServiceFault(BAD_HISTORY_UNSUPPORTED)

    async def release(self, items: Sequence[Item], points: Sequence[bytes]) -> None:
        """There are none."""


class FakeMetadata:
    """`Metadata` of a `FakeSession`."""

    def __init__(self, session: FakeSession) -> None:
        self._session = session

    async def labels(self, items: Sequence[Item]) -> list[Mapping[int, object] | None]:
        session = self._session
        session.labels_asked.append([item.row for item in items])
        refused = session.refused.keys() | session.unlabelled
        return [None if item.node in refused else session.labels_of.get(item.node, {}) for item in items]

    async def browse(self, wanted: Sequence[Browse]) -> Findings:
        if isinstance(self._session.found, Exception):
            raise self._session.found
        return replace(self._session.findings, tags=self._session.found)

    async def units(self, nodes: Sequence[str]) -> list[EngineeringUnit]:
        return [self._session.measures_of.get(node, EngineeringUnit()) for node in nodes]

    async def model_version(self, nodes: Sequence[str]) -> Sequence[str]:
        return self._session.marked if nodes else ()


def values(
    rows: Sequence[int],
    numbers: Sequence[object],
    *,
    kind: Sequence[int] | int = DOUBLE,
    status: Sequence[int] | int = 0,
    source_ns: Sequence[int] | int | None = None,
    server_ns: Sequence[int] | int = 0,
    received_ns: int = DAY_NS,
    server_clock_ns: int | None = None,
    lost: int = 0,
    model_changed: bool = False,
) -> DataValues:
    """Data values with sensible columns: good doubles, taken and received at one time."""
    count = len(rows)

    def column(one: Sequence[int] | int, dtype: type) -> np.ndarray:
        return np.array([one] * count if isinstance(one, int) else list(one), dtype)

    kinds = column(kind, np.uint8)
    is_number = [1 <= k <= DOUBLE for k in kinds]
    objects = {
        place: value
        for place, (value, numeric) in enumerate(zip(numbers, is_number, strict=True))
        if value is not None and (not numeric or (kinds[place] in (8, 9) and abs(value) > EXACT))  # type: ignore[arg-type]
    }
    columns = ValueColumns(
        column(rows, np.uint32),
        kinds,
        np.array([float(v) if ok else np.nan for v, ok in zip(numbers, is_number, strict=True)]),  # type: ignore[arg-type]
        objects,
        column(status, np.uint32),
        column(received_ns if source_ns is None else source_ns, np.int64),
        column(server_ns, np.int64),
    )
    clock_ns = received_ns if server_clock_ns is None else server_clock_ns
    return DataValues(columns, received_ns, clock_ns, lost, model_changed=model_changed)


def entry(
    tags: int = 3, *, first_tag: int = 0, nodes: Sequence[str | dict[str, object]] = (), **device: object
) -> DeviceEntry:
    """A device with tags t0, t1 ... on the nodes ns=1;s=v0, v1 ... (or on `nodes`: each a node, or a tag's keys)."""
    config = {"name": "plc", "protocol": "opcua", "url": "opc.tcp://127.0.0.1:4840", "security": "none", "silence": "0s"}
    config["history_kept"] = "/dev/null/nowhere"  # nothing is left behind unless a test says where
    config |= {"found": FOUND.name} | device
    nodes = nodes or [f"ns=1;s=v{i}" for i in range(tags)]
    given = [node if isinstance(node, dict) else {"node": node} for node in nodes]
    configured = [OpcUaTag.model_validate({"name": f"t{i}", **keys}) for i, keys in enumerate(given)]
    return DeviceEntry(0, OpcUaDevice.model_validate(config), configured, first_tag)


def source(
    clock: ManualClock,
    connection: FakeSession,
    tags: int = 3,
    watermarks: FakeWatermarks | None = None,
    take_tags: Callable[[int], None] = lambda device: None,
    *,
    queue_samples: int = QUEUE_SAMPLES,
    **device: object,
) -> OpcUaSource:
    """A source on the fake."""
    services = SourceServices(clock, watermarks or FakeWatermarks(), take_tags)
    return OpcUaSource(entry(tags, **device), services, connection.connect, queue_samples=queue_samples)
