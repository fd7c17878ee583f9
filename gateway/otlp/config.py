"""Settings of the push to a collector."""

from importlib.util import find_spec
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, ConfigDict, SecretStr, model_validator

from gateway.core.config_types import DURATION_SCHEMA, ConfigModel, ExistingFile, default, duration_ns

_EXAMPLE: Final = "expected for instance http://127.0.0.1:4318"
_PACKAGE: Final = "opentelemetry.exporter.otlp.proto.http"


def check_endpoint(value: Any) -> str:
    """Return the base URL of a collector, without a slash at its end. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text; {_EXAMPLE}")
    if not value:
        return value
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(f"{value!r} is not a URL; {_EXAMPLE}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(f"{value!r} is not the URL of a collector; {_EXAMPLE}")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError(f"a URL without query, user and password; {_EXAMPLE}, and the token in otlp.token")
    return value.rstrip("/").removesuffix("/v1/metrics").removesuffix("/v1/traces")


def is_installed() -> bool:
    """Return whether the extra is there."""
    try:
        return find_spec(_PACKAGE) is not None
    except ModuleNotFoundError:  # of a package that it is in
        return False


class OtlpConfig(ConfigModel):
    """Push of metrics and traces to an OpenTelemetry collector, by OTLP over HTTP. Needs the extra `otlp`.

    A collector can as well scrape /metrics, without it.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    endpoint: Annotated[str, BeforeValidator(check_endpoint)] = ""
    """URL of the collector, for instance http://127.0.0.1:4318; /v1/metrics and /v1/traces are added. Empty: nothing is
    pushed."""
    interval: Annotated[int, duration_ns("1s", "1h"), DURATION_SCHEMA] = default("10s")
    """Between two readings of all metrics."""
    keep: Annotated[int, duration_ns("0s", "1h"), DURATION_SCHEMA] = default("5min")
    """So long are readings kept while the collector is away, 200,000 values at most; older ones are dropped and counted."""
    slow: Annotated[int, duration_ns("1ms", "1h"), DURATION_SCHEMA] = default("1s")
    """Polls and deliveries that take as long become traces; connects always do."""
    token: SecretStr = SecretStr("")
    """Sent as `Authorization: Bearer`."""
    ca: ExistingFile | None = None
    """PEM file of the authority that signed the collector's certificate. Default: those that Python's `certifi` trusts."""

    @model_validator(mode="after")
    def _installed(self) -> Self:
        if self.endpoint and not is_installed():
            raise ValueError("the package opentelemetry-exporter-otlp-proto-http is missing; expected a gateway installed "
                             "with its extra otlp, or no endpoint")  # fmt: skip
        return self
