"""A collector for tests: takes OTLP over HTTP and decodes it by the protocol's own definitions."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """Listens on a port while `start`ed. What comes is kept; `status` is what it answers."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.metrics: list[Any] = []
        self.spans: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.resources: list[dict[str, str]] = []
        self.status = 200
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listen."""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(self.path, dict(self.headers), body)
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """Decode and keep what has come."""
        self.headers.append(headers)
        if self.status != 200:
            return
        if path == "/v1/metrics":
            for one in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.resources.append({a.key: a.value.string_value for a in one.resource.attributes})
                self.metrics.append({metric.name: metric for scope in one.scope_metrics for metric in scope.metrics})
        elif path == "/v1/traces":
            for found in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.spans += [span for scope in found.scope_spans for span in scope.spans]

    @property
    def times_ns(self) -> list[int]:
        """When each reading was made, in the order of arrival."""
        return [one["gateway_start_time_seconds"].gauge.data_points[0].time_unix_nano for one in self.metrics]
