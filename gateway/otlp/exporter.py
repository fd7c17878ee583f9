"""Readings and spans as OTLP over HTTP: the one file that knows the OpenTelemetry SDK. Blocking, for a thread."""

import logging
from collections.abc import Iterator, Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from gateway.otlp.config import OtlpConfig
from gateway.otlp.readings import EndedSpan, Points, Reading

TIMEOUT_S: Final = 5.0


class OtlpExporter:
    """Sends to one collector."""

    def __init__(self, config: OtlpConfig, name: str, version: str, boot: str, started_ns: int) -> None:
        """Connect nothing yet. name, version, boot: of the gateway. started_ns: since when counters count, ns UTC."""
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it would log each attempt; the pusher says it once
        logging.getLogger("urllib3").setLevel(logging.CRITICAL)
        token = config.token.get_secret_value()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        ca = str(config.ca) if config.ca is not None else None
        self._metrics = OTLPMetricExporter(
            f"{config.endpoint}/v1/metrics", ca, headers=headers, timeout=TIMEOUT_S, compression=Compression.Gzip
        )
        self._spans = OTLPSpanExporter(
            f"{config.endpoint}/v1/traces", ca, headers=headers, timeout=TIMEOUT_S, compression=Compression.Gzip
        )
        attributes = {"service.name": "gateway", "service.instance.id": name, "service.version": version}
        self._resource = Resource({**attributes, "gateway.boot": boot})
        self._scope = InstrumentationScope("gateway", version)
        self._ids = RandomIdGenerator()
        self._started_ns = started_ns

    def send(self, reading: Reading) -> bool:
        """Send the metrics of a reading. Returns whether the collector has taken them."""
        metrics = [self._metric(points, reading.time_ns) for points in reading.metrics if points.series]
        scope = ScopeMetrics(self._scope, metrics, "")
        found = self._metrics.export(MetricsData([ResourceMetrics(self._resource, [scope], "")]))
        return found is MetricExportResult.SUCCESS

    def send_spans(self, spans: Sequence[EndedSpan]) -> bool:
        """Send traces of one span each. Returns whether the collector has taken them."""
        return self._spans.export(list(self._readable(spans))) is SpanExportResult.SUCCESS

    def _metric(self, points: Points, time_ns: int) -> Metric:
        data_points = [NumberDataPoint(dict(labels), self._started_ns, time_ns, value) for value, labels in points.series]
        if points.kind == "counter":
            data = Sum(data_points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
            return Metric(points.name.removesuffix("_total"), points.text, "", data)
        return Metric(points.name, points.text, "", Gauge(data_points))

    def _readable(self, spans: Sequence[EndedSpan]) -> Iterator[ReadableSpan]:
        for one in spans:
            ids = self._ids.generate_trace_id(), self._ids.generate_span_id()
            yield ReadableSpan(
                one.span.name,
                SpanContext(*ids, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)),
                resource=self._resource,
                attributes=dict(one.span.attributes),
                kind=SpanKind.CLIENT,
                status=Status(StatusCode.ERROR, one.span.error) if one.span.error else Status(StatusCode.UNSET),
                start_time=one.end_ns - round(one.span.took_s * 1e9),
                end_time=one.end_ns,
                instrumentation_scope=self._scope,
            )
