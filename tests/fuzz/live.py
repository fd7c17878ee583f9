"""A running gateway behind proxies that change what real servers send: Modbus, OPC UA, MQTT."""

from collections.abc import Iterator
from typing import Final

LIVE: Final[dict[str, str]] = {}


def run_live(name: str, seed: str, seconds: float) -> Iterator[tuple[int, str, bytes]]:
    """Yield inputs so far, a finding or "", and the bytes that led to it."""
    yield 0, "", b""
