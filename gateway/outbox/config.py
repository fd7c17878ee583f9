"""Settings of the outbox."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from gateway.core.fields import ConfigModel, DurationNs, IntervalNs, SizeBytes, parse_duration_ns, parse_size_bytes


def _within(parse: Any, at_least: str, at_most: str) -> AfterValidator:
    low, high = parse(at_least), parse(at_most)

    def check(value: int) -> int:
        if not low <= value <= high:
            raise ValueError(f"is out of range; expected {at_least} to {at_most}")
        return value

    return AfterValidator(check)


class OutboxConfig(ConfigModel):
    """Where messages wait until the broker has them, and how much may wait."""

    path: Path = Path("/var/lib/gateway/outbox.db")
    """Database file. Its folder is made when missing; the gateway must be able to write there."""
    commit_interval: Annotated[IntervalNs, _within(parse_duration_ns, "10ms", "60s")] = Field("1s", validate_default=True)
    """Longest time from accepting a message until it survives a crash, unless the broker has it sooner. 10ms to 60s."""
    max_bytes: Annotated[SizeBytes, _within(parse_size_bytes, "16MiB", "1TiB")] = Field("1GiB", validate_default=True)
    """Most disk space of the database and its write-ahead log together. Above it the oldest messages of least worth go."""
    max_age: Annotated[DurationNs, _within(parse_duration_ns, "1min", "36500d")] = Field("7d", validate_default=True)
    """Messages older than this are dropped, with a loss record."""
    memory: Annotated[SizeBytes, _within(parse_size_bytes, "1MiB", "64GiB")] = Field("32MiB", validate_default=True)
    """Most memory of what waits, for the disk or for the broker."""
    keep_free: SizeBytes = Field("256MiB", validate_default=True)
    """Disk space left to others: below it the database does not grow, and new messages replace the oldest."""
