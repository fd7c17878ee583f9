"""Settings of the push."""

import pytest
from pydantic import ValidationError

from gateway.otlp import config as module
from gateway.otlp.config import OtlpConfig


@pytest.mark.parametrize(
    ("given", "endpoint"),
    [
        ("", ""),
        ("http://box:4318/", "http://box:4318"),
        ("https://x/otlp/v1/metrics", "https://x/otlp"),
        ("http://[::1]:4318", "http://[::1]:4318"),
    ],
)
def test_endpoints(given: str, endpoint: str) -> None:
    assert OtlpConfig.model_validate({"endpoint": given}).endpoint == endpoint


@pytest.mark.parametrize(
    "given", ["box:4318", "grpc://box:4317", "http://", "http://u:p@box", "http://box?x=1", "http://box:99999", 7]
)
def test_what_is_no_endpoint(given: object) -> None:
    with pytest.raises(ValidationError, match=r"expected for instance http://127.0.0.1:4318"):
        OtlpConfig.model_validate({"endpoint": given})


def test_without_the_extra_it_cannot_be_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_installed", lambda: False)
    assert OtlpConfig().endpoint == ""
    with pytest.raises(ValidationError, match=r"expected a gateway installed with its extra otlp"):
        OtlpConfig.model_validate({"endpoint": "http://127.0.0.1:4318"})
