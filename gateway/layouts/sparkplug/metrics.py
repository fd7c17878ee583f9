"""What a Sparkplug host knows of one device: its metrics, their types and newest values. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import orjson

from gateway.core.tags import Tag
from gateway.layouts.sparkplug.structures import TEXT, Shape, grown, write_structure
from gateway.layouts.sparkplug.wire import DataType, new_payload, set_property, set_value

QUALITY: Final = {"good": 192, "uncertain": 500, "bad": 0}
"""Values of the metric property `Quality`: good, stale and bad are all that there is (6.4.9.1)."""

SUMMARY_FIELDS: Final = ("n", "min", "max", "mean", "std")
_STATISTICS: Final = ("min", "max", "mean", "std")
_LARGEST_FLOAT: Final = 3.4028234663852886e38
_LIMITS: Final = {
    DataType.FLOAT: (-_LARGEST_FLOAT, _LARGEST_FLOAT),
    DataType.INT64: (-(2.0**63), 2.0**63 - 1024),
    DataType.UINT64: (0.0, 2.0**64 - 2048),
    DataType.BOOLEAN: (0.0, 1.0),
}
"""The numbers of each type that float64 has."""

MOST_CHANGES: Final = 8
"""How often the shape of a metric may change, each time with births of everything; then it is text."""
_STRUCTURES: Final = (DataType.TEMPLATE, DataType.DATASET)
_INTEGERS: Final = (DataType.INT64, DataType.UINT64)
_FIRST_UINT64_ONLY: Final = 2**63


@dataclass(slots=True)
class Metric:
    """One metric. value, time_ms and quality are the newest that is known; value None is null."""

    name: str
    alias: int
    kind: DataType
    unit: str = ""
    value: Any = None
    time_ms: int = 0
    quality: int = 0
    range: tuple[float, float] | None = None
    shape: Shape | None = None
    """Of structures and arrays, where these are not sent as text."""
    changes: int = 0
    """How often its shape has become another one."""

    def _is_plain(self, value: Any) -> bool:
        """Return whether it is a float that its type carries: nearly all values are, so this is asked first."""
        kind = self.kind
        return type(value) is float and (
            kind is DataType.DOUBLE or (kind is DataType.FLOAT and abs(value) <= _LARGEST_FLOAT)
        )

    def fit(self, value: Any) -> bool:
        """Make the type one that carries `value`. True if it is another one than before, so that a birth is due."""
        if value is None or self._is_plain(value):
            return False
        kind = _kind_for(self.kind, value)
        changed, self.kind = kind is not self.kind, kind
        return changed

    def fit_structure(self, value: Any) -> bool:
        """Do the same for a metric that carries structures as templates and arrays of them as data sets."""
        if self.shape is None and (self.kind is DataType.STRING or not isinstance(value, dict | list)):
            return self.fit(value)
        shape = grown(grown(None, self.value) if self.shape is None else self.shape, value)
        if shape is self.shape:
            return False
        before, self.shape = self.shape, shape
        if (
            before is not None
            and before.kind is shape.kind
            and (shape.kind is not DataType.TEMPLATE or before.name == shape.name)
        ):
            return False
        self.changes += 1
        if self.changes > MOST_CHANGES:
            self.shape = TEXT
        self.kind = self.shape.kind
        return True

    def make_text(self) -> None:
        """Carry structures as text from now on."""
        if self.shape is not None:
            self.shape, self.kind = TEXT, DataType.STRING

    def carried(self, value: Any) -> Any:
        """Return the value as this type carries it."""
        if value is None or self._is_plain(value):
            return value
        if self.kind in _STRUCTURES:
            return value
        if self.kind is DataType.STRING:
            return value if isinstance(value, str) else orjson.dumps(value).decode()
        if self.kind is DataType.BOOLEAN:
            return bool(value)
        return int(value) if self.kind in _INTEGERS else float(value)


def _kind_for(known: DataType, value: Any) -> DataType:
    if value is None or known is DataType.STRING:
        kind = known
    elif isinstance(value, str | list | dict):
        kind = DataType.STRING
    elif isinstance(value, bool):
        kind = DataType.BOOLEAN
    elif isinstance(value, int):
        large = value >= _FIRST_UINT64_ONLY or (known is DataType.UINT64 and value >= 0)
        kind = DataType.UINT64 if large else DataType.INT64
    elif known in _LIMITS and not _within(known, value):
        kind = DataType.DOUBLE
    else:
        kind = known
    return kind


def _within(kind: DataType, value: float) -> bool:
    """Whether a type carries a number as it is, as far as its digits go."""
    low, high = _LIMITS[kind]
    return low <= value <= high and (kind is DataType.FLOAT or value.is_integer())


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A value on its way to a host."""

    metric: Metric
    value: Any
    time_ms: int
    quality: int
    extra: Mapping[str, Any] = field(default_factory=dict)


class DeviceMetrics:
    """The metrics of one device. `born`: the host knows them as they are now."""

    def __init__(
        self,
        name: str,
        aliases: "count[int]",
        *,
        statistics: bool,
        structures: bool = False,
        summary_fields: Sequence[str] = SUMMARY_FIELDS,
    ) -> None:
        """structures: they are sent as templates and data sets. summary_fields: what summaries have of each tag."""
        self.name = name
        self._structures = structures
        self.born = False
        self._aliases = aliases
        self._statistics = statistics
        self._summary_fields = summary_fields
        self._metrics: dict[str, Metric] = {}

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._metrics.values())

    def metric(self, name: str, kind: DataType = DataType.DOUBLE, unit: str = "") -> Metric:
        """Return the metric of this name, made if there is none; then a birth is due."""
        known = self._metrics.get(name)
        if known is None:
            known = self._metrics[name] = Metric(name, next(self._aliases), kind, unit)
            self.born = False
        return known

    def templates(self) -> Iterator[Shape]:
        """Yield the templates that its metrics are instances of, inner ones first."""
        for metric in self._metrics.values():
            if metric.shape is not None:
                yield from metric.shape.templates()

    def make_text(self) -> None:
        """Send structures as text from now on."""
        self._structures = False
        for metric in self._metrics.values():
            metric.make_text()

    def prefill(self, tags: Sequence[Tag], *, summaries: bool) -> None:
        """Make the metrics of a device's tags, so that the first birth has all of them."""
        published = [tag for tag in tags if tag.published]
        for tag in published:
            self.metric(tag.name, _kind_of(tag), tag.unit).range = tag.range
        for tag in published if summaries else ():
            for what in self._summary_fields:
                self.metric(f"Summary/{tag.name}/{what}", DataType.INT64 if what == "n" else DataType.DOUBLE, tag.unit)

    def observe(self, kind: str, body: Mapping[str, Any]) -> None:
        """Learn the newest values from a message of the contract that was just made. A supplement is not the newest."""
        if "late" not in body:
            for new in self.read(kind, body):
                new.metric.value, new.metric.time_ms, new.metric.quality = new.value, new.time_ms, new.quality

    def read(self, kind: str, body: Mapping[str, Any]) -> list[MetricValue]:
        """Return what a message says, in the order of time.

        Metrics are made and change their type as the values ask for it.
        """
        rows = self._summary(body) if kind == "summary" else self._rows(body, number=kind == "window")
        values = []
        for name, value, time_ms, quality, extra in rows:
            metric = self.metric(name)
            if metric.fit_structure(value) if self._structures else metric.fit(value):
                self.born = False
            carried = value if isinstance(value, dict | list) else metric.carried(value)  # else when it is written
            values.append(MetricValue(metric, carried, time_ms, quality, extra))
        return sorted(values, key=lambda one: one.time_ms)

    def _rows(self, body: Mapping[str, Any], *, number: bool) -> Iterable[tuple[str, Any, int, int, Mapping[str, Any]]]:
        """Return one metric's news.

        number: of a window, where a number that is rounded comes exactly in a message of its own.
        """
        exact_elsewhere = [name for name, row in body["tags"].items() if number and row.get("reason") == "rounded"]
        keep_all = len(exact_elsewhere) == len(body["tags"])
        for name, row in body["tags"].items():
            if number and row.get("reason") == "rounded" and not keep_all:
                continue
            value = row.get("last") if number else row["value"]
            time_ms = row.get("last_ts", body["ts"]) if number else row["ts"]
            extra = (
                {key: row[key] for key in ("n", *_STATISTICS) if key in row}
                if number and self._statistics and row["n"]
                else {}
            )
            yield name, value, time_ms, QUALITY.get(row["q"], 0), extra

    def _summary(self, body: Mapping[str, Any]) -> Iterable[tuple[str, Any, int, int, Mapping[str, Any]]]:
        for name, row in body["tags"].items():
            for what in self._summary_fields:
                yield f"Summary/{name}/{what}", row.get(what), body["ts"], QUALITY.get(row["q"], 0), {}


def _kind_of(tag: Tag) -> DataType:
    if tag.logical:
        return DataType.BOOLEAN
    return DataType.FLOAT if tag.single else DataType.DOUBLE


def _quality_alone(quality: int) -> Any:
    entry = new_payload().metrics.add()
    set_property(entry, "Quality", DataType.INT32, quality)
    return entry.properties


_QUALITY_ALONE: Final = {quality: _quality_alone(quality) for quality in QUALITY.values()}
"""The property that every value has, made once."""


def write_birth(payload: Any, metric: Metric, now_ms: int) -> None:
    """Write a metric into a birth: name, alias, type, newest value, unit and range (6.4.10)."""
    entry = payload.metrics.add(
        name=metric.name, alias=metric.alias, timestamp=metric.time_ms or now_ms, datatype=metric.kind
    )
    if metric.kind in _STRUCTURES and metric.shape is not None:
        write_structure(entry, metric.shape, metric.value, entry.timestamp)
    else:
        set_value(entry, metric.kind, metric.carried(metric.value))
    set_property(entry, "Quality", DataType.INT32, metric.quality)
    if metric.unit:
        set_property(entry, "engUnit", DataType.STRING, metric.unit)
    if metric.range is not None:
        set_property(entry, "engLow", DataType.DOUBLE, metric.range[0])
        set_property(entry, "engHigh", DataType.DOUBLE, metric.range[1])


def write_value(payload: Any, new: MetricValue, *, historical: bool) -> None:
    """Write a metric into a data message, known to the host by its alias."""
    metric = new.metric
    entry = payload.metrics.add(alias=metric.alias, timestamp=new.time_ms, datatype=metric.kind)
    if historical:
        entry.is_historical = True
    if metric.kind in _STRUCTURES and metric.shape is not None:
        write_structure(entry, metric.shape, new.value, new.time_ms)
    else:
        set_value(entry, metric.kind, metric.carried(new.value))
    entry.properties.CopyFrom(_QUALITY_ALONE[new.quality])
    for key, value in new.extra.items():
        set_property(entry, key, DataType.INT64 if key == "n" else DataType.DOUBLE, value)
