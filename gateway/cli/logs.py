"""Logs on standard error: key-value lines for the journal, colours for a terminal, JSON for collectors."""

import logging
import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from structlog.typing import Processor


_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))


class LogLevel(StrEnum):
    """Least important message that is logged."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


class LogFormat(StrEnum):
    """The format of a line."""

    auto = "auto"
    console = "console"
    plain = "plain"
    json = "json"


def configure(level: LogLevel, style: LogFormat) -> None:
    """Send the gateway's logs and those of libraries (from warning on) to standard error in one format."""
    import structlog  # here, because every `--help` reads the names above

    if style is LogFormat.auto:
        style = LogFormat.console if sys.stderr.isatty() else LogFormat.plain
    shared: list[Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Processor
    if style is LogFormat.json:
        renderer = structlog.processors.JSONRenderer()
    elif style is LogFormat.plain:
        renderer = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "logger", "event"])
    else:
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JournalFormatter(formatter) if _is_journal(sys.stderr) else formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=_gateway_logger,
        cache_logger_on_first_use=False,
    )


def _is_journal(stream: TextIO) -> bool:
    """Return whether a stream is connected to systemd's journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or no file
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class _JournalFormatter(logging.Formatter):
    """A formatter that puts its priority in front of each line (sd-daemon(3)), so that `journalctl -p warning` finds it."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        priority = next(number for level, number in _PRIORITIES if record.levelno >= level)
        return "\n".join(f"<{priority}>{line}" for line in self._inner.format(record).splitlines())


def _gateway_logger(*names: str) -> logging.Logger:
    logger = logging.getLogger(f"gateway.{names[0]}" if names else "gateway")
    logger.setLevel(logging.DEBUG)
    return logger
