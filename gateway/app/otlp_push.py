"""The push to a collector, built from the parts of a gateway."""

from collections.abc import Coroutine
from typing import Any

from gateway import __version__
from gateway.app.compose import GatewayParts
from gateway.app.web_view import gateway_view
from gateway.otlp.config import OtlpConfig
from gateway.otlp.push import Exporter, OtlpPush
from gateway.web.host import HostReadings
from gateway.web.metrics import families


def otlp_tasks(parts: GatewayParts) -> dict[str, Coroutine[Any, Any, None]]:
    """Return what pushes metrics and traces, by the name of its task: nothing where no endpoint is configured."""
    root = parts.settings.root
    config: OtlpConfig = root.otlp
    if not config.endpoint:
        return {}
    view, host = gateway_view(parts), HostReadings(root.outbox.path)

    def build() -> Exporter:
        """Return the exporter; its library is imported here at the earliest, on the thread."""
        from gateway.otlp.exporter import OtlpExporter

        return OtlpExporter(config, root.name, __version__, parts.boot, parts.started_ms * 1_000_000)

    return {"otlp": OtlpPush(config, lambda: families(view, host), build, parts.clock).run()}
