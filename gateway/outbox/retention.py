"""Retention: how much room there is, and how much must be made. Pure."""

from collections.abc import Sequence
from math import ceil
from typing import Final

from gateway.outbox.config import OutboxConfig
from gateway.outbox.database.schema import PAGE_BYTES
from gateway.outbox.records import Entry, Usage

WAL_RESERVE_BYTES: Final = 8 * 2**20
"""Kept free below `max_bytes` for the write-ahead log: 4 MiB until its checkpoint and the largest transaction."""

AT_ONCE: Final = 16
"""When something has to go, a sixteenth goes too, so that losses stay few and large."""

NEAR: Final = 0.75
"""Share of a ceiling from which on stored windows are merged."""

_OF_DISK: Final = 10
_ROW_BYTES: Final = 60
_CELL_BYTES: Final = PAGE_BYTES - 35
_NS_PER_MS: Final = 1_000_000


def footprint(size: int) -> int:
    """Return the disk space of one message with a payload of `size` bytes, counting what is left over on its page."""
    row = size + _ROW_BYTES
    if row <= _CELL_BYTES:
        return PAGE_BYTES // (_CELL_BYTES // row)
    return PAGE_BYTES * (1 + ceil(row / (PAGE_BYTES - 4)))


def needed(entries: Sequence[Entry]) -> int:
    """Return the disk space for these messages."""
    return sum(footprint(len(entry.message.payload)) for entry in entries) + 8 * PAGE_BYTES


def kept_free(config: OutboxConfig, usage: Usage) -> int:
    """Return the bytes that are left to others: as configured; by default no more than a tenth of the disk."""
    if "keep_free" in config.model_fields_set or not usage.disk:
        return config.keep_free
    return min(config.keep_free, usage.disk // _OF_DISK)


def ceiling(config: OutboxConfig, usage: Usage) -> tuple[int, str]:
    """Return how many bytes of pages may be in use at present, and what limits them (a cause of `Loss`)."""
    allowed = config.max_bytes - max(WAL_RESERVE_BYTES, usage.wal)
    log_growth = max(0, WAL_RESERVE_BYTES - usage.wal)
    on_disk = usage.file + max(0, usage.free - kept_free(config, usage) - log_growth)
    return (allowed, "max_bytes") if allowed <= on_disk else (on_disk, "disk_free")


def near(config: OutboxConfig, usage: Usage) -> bool:
    """Return whether the ceiling is so near that windows are merged, so that it is not reached."""
    return usage.used > ceiling(config, usage)[0] * NEAR


def shortage(config: OutboxConfig, usage: Usage, need: int) -> tuple[int, str]:
    """Return the bytes to free before `need` more may be written, and the ceiling (a cause of `Loss`) that asks for it."""
    limit, cause = ceiling(config, usage)
    over = usage.used + need - limit
    return (over, cause) if over > 0 else (0, "")


def surplus(config: OutboxConfig, usage: Usage) -> tuple[int, str]:
    """Bytes to free once something had to go, and the ceiling that asked for it: a sixteenth of what is allowed goes too."""
    limit, cause = ceiling(config, usage)
    over = usage.used - max(0, limit) * (AT_ONCE - 1) // AT_ONCE
    return (over, cause) if over > 0 else (0, "")


def age_period_ns(config: OutboxConfig) -> int:
    """Return how often to look for messages that are too old, ns."""
    return min(max(config.max_age // 64, 1_000_000_000), 3_600_000_000_000)


def too_old_ms(config: OutboxConfig, now_ns: int) -> int:
    """Return the UTC time before which messages ended that are dropped now: too old before the next look."""
    return (now_ns - config.max_age + age_period_ns(config)) // _NS_PER_MS


def middle_aged_ms(config: OutboxConfig, now_ns: int) -> int:
    """Return the UTC time before which windows ended that are merged: half of `max_age` is over."""
    return (now_ns - config.max_age // 2) // _NS_PER_MS
