"""The metrics as text."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.web.host import HostReadings
from gateway.web.metrics import escape, number, slices
from tests.support.web_view import FakeSource, fake_plant

HOST = HostReadings(Path("/"))


def families(text: str) -> dict[str, object]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_the_reference_parser_reads_every_family_once() -> None:
    plant = fake_plant(devices=3)
    plant.set_state(1, "down", "away")
    text = "".join(slices(plant.view(), HOST))
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    found = families(text)
    assert {"gateway_outbox_messages", "gateway_device_state", "gateway_device_requests", "gateway_samples"} <= found.keys()
    states = {(s.labels["device"], s.labels["state"]): s.value for s in found["gateway_device_state"].samples}  # type: ignore[attr-defined]
    assert states["d1", "down"] == 1
    assert states["d0", "down"] == 0


def test_names_of_devices_cannot_break_out_of_their_label() -> None:
    assert escape('a"} 1\nevil 2 \\') == 'a\\"} 1\\nevil 2 \\\\'


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (0.5, "0.5"), (float("nan"), "NaN"), (float("-inf"), "-Inf"), (-3.0, "-3")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_no_slice_is_large() -> None:
    """4,000 series come in many parts, between which the event loop has its turn."""
    plant = fake_plant(devices=200)
    plant.sources[:] = [FakeSource(d, {f"counter_{n}": n for n in range(20)}) for d in range(200)]
    parts = list(slices(plant.view(), HOST))
    assert sum(part.count("\n") for part in parts) > 4_000
    assert max(part.count("\n") for part in parts) <= 700
