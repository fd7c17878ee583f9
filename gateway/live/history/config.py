"""Settings of the historian."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from gateway.core.config_types import (
    DURATION_SCHEMA,
    SIZE_SCHEMA,
    ConfigModel,
    FolderPath,
    SizeBytes,
    default,
    duration_ns,
    size_bytes,
)


class HistoryFilesConfig(ConfigModel):
    """History in files, which outlasts a restart and reaches further back than memory."""

    enabled: bool = False
    """Write history to files."""
    path: FolderPath = Path("/var/lib/gateway/history")
    """Folder of the files; a relative path counts from the configuration folder. It is made when missing, for the gateway's
    user only."""
    max_bytes: Annotated[int, size_bytes("16MiB", "1TiB"), SIZE_SCHEMA] = default("2GiB")
    """Most disk space of all files. Ten minutes come first (30 % at most), then minutes, then samples, which always have
    5 %; of each the oldest files go."""
    max_age: Annotated[int, duration_ns("1h", "36500d"), DURATION_SCHEMA] = default("35d")
    """Files of which everything is older are removed."""
    keep_free: SizeBytes = default("512MiB")
    """Disk space left to others, the outbox among them: when less is free, no history is written. Never more than a fifth of
    the disk."""


class HistoryConfig(ConfigModel):
    """What the gateway remembers of the values that it has read, for viewers, export and requests."""

    memory: Annotated[int, size_bytes("0B", "64GiB"), SIZE_SCHEMA] = default("64MB")
    """Most memory of compressed history: four fifths for samples, the rest for minutes and ten minutes. 0B: no history."""
    max_age: Annotated[int, duration_ns("1min", "36500d"), DURATION_SCHEMA] = default("1h")
    """Samples in memory older than this are forgotten; minutes and ten minutes stay as long as there is room."""
    block_time: Annotated[int, duration_ns("1s", "10min"), DURATION_SCHEMA] = default("30s")
    """Samples are compressed, and written to a file, after this long at the latest: what a crash or power cut can cost."""
    files: HistoryFilesConfig = Field(default_factory=HistoryFilesConfig)
    """History in files."""
