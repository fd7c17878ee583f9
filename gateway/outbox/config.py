"""Settings of the outbox."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.core.config_types import (
    DURATION_SCHEMA,
    SIZE_SCHEMA,
    ConfigModel,
    OwnFile,
    SizeBytes,
    absolute_path,
    default,
    duration_ns,
    size_bytes,
)


def _key_file(value: str) -> str:
    """Return the setting with its path made absolute, from the configuration folder. Raises ValueError."""
    name = value.removeprefix("credential:")
    if name == value:
        return str(absolute_path(Path(value))) if value else value
    if not name or "/" in name:
        raise ValueError(f"{value!r} names no credential; expected credential:NAME without a slash")
    return value


class OutboxConfig(ConfigModel):
    """Where messages wait until the sink has confirmed them, and how much may wait."""

    path: OwnFile = Path("/var/lib/gateway/outbox.db")
    """Database file; a relative path counts from the configuration folder. Its folder is made when missing; the gateway must
    be able to write there."""
    commit_interval: Annotated[int, duration_ns("10ms", "60s"), DURATION_SCHEMA] = default("1s")
    """Longest time from accepting a message until it survives a crash, unless it is confirmed sooner. 10ms to 60s."""
    strict: bool = False
    """Commit first, then send: nothing is sent that a crash could make the gateway forget. Costs a write of every
    message and up to a commit interval of delay. While the disk refuses, messages are sent without."""
    synchronous: Literal["full", "normal", "extra"] = "full"
    """SQLite's setting of that name. `full`: a power cut costs at most the commit interval. `normal`: a power cut may cost
    what was committed since the last checkpoint; a crash of the process costs no more than with `full`."""
    backlog_order: Literal["oldest-first", "newest-first"] = "oldest-first"
    """In what order windows, summaries and values leave the backlog. Events always leave it first, and oldest first: the
    last state of an alarm must come last."""
    backlog_messages: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Most backlog messages sent per second; 0: no limit. Live messages are not held back."""
    backlog_bytes: Annotated[int, size_bytes("0B", "1TiB"), SIZE_SCHEMA] = default("0B")
    """Most payload bytes of backlog sent per second; 0: no limit."""
    compress: bool = True
    """Keep payloads compressed (zstd): a quarter of the space and of the writing for some 50 us of CPU per 14 kB."""
    key_file: Annotated[str, AfterValidator(_key_file)] = ""
    """Encrypt payloads at rest (AES-256-GCM) with the key in this file: 32 bytes, 64 hex digits, or base64.
    `credential:NAME` is the systemd credential NAME, which can be sealed to a TPM. Topics, times and sizes stay readable.
    Empty: not encrypted."""
    accept_plain: bool = False
    """With `key_file`: take what is in a file that has no seal, as it was written before `key_file` was set. For one start;
    left there, it lets whoever can write the file remove its seal and forge messages. Without it such a file is set aside,
    and what it had is declared lost."""
    max_bytes: Annotated[int, size_bytes("16MiB", "1TiB"), SIZE_SCHEMA] = default("1GiB")
    """Most disk space of the database and its write-ahead log together. Above it the oldest messages of least worth go.
    Lowered, it counts from the next message that has to be written; the file gives its space back when it is empty."""
    max_age: Annotated[int, duration_ns("1min", "36500d"), DURATION_SCHEMA] = default("7d")
    """Messages older than this are dropped, with a loss record. For ten minutes after a start or a step of the clock nothing
    counts as too old."""
    memory: Annotated[int, size_bytes("1MiB", "64GiB"), SIZE_SCHEMA] = default("32MiB")
    """Most memory of what waits, for the disk or for the sink."""
    keep_free: SizeBytes = default("256MiB")
    """Disk space left to others: when less is free the database does not grow, and new messages replace the oldest. Where it
    is not written, no more than a tenth of the disk. 8 MiB more are kept free for the write-ahead log."""
