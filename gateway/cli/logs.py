"""Logs on standard error: key-value lines for the journal, colours for a terminal, JSON for collectors."""

import logging
import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TextIO

from gateway.core.foreign_text import clean, clean_lines
from gateway.core.log_levels import LEVELS, LOG_LEVELS

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

PARTS: Final = (
    "app",
    "history",
    "kafka",
    "opcua",
    "otlp",
    "outbox",
    "pipeline",
    "publisher",
    "requests",
    "security",
    "settings",
    "sparkplug",
    "supervisor",
    "watchdog",
    "web",
)
"""The parts that log, as `logger=gateway.PART` names them in a line."""
_LONGEST_FIELD: Final = 2000
_LONGEST_TRACEBACK: Final = 20_000
"""A line stays below 48 KiB, where journald cuts it in two (journald.conf(5), LineMax=), and the rest is another record."""
_MANY_LINES: Final = ("exception", "stack")
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
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _cleaned, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JournalFormatter(formatter) if _is_journal(sys.stderr) else formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    LOG_LEVELS.begin(level.value, PARTS)
    structlog.configure(
        processors=[_only_wanted, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=_gateway_logger,
        cache_logger_on_first_use=False,
    )


def _only_wanted(logger: Any, method: str, entry: "EventDict") -> "EventDict":
    """Drop what is below the level of its part, which may change at any time."""
    if isinstance(logger, logging.Logger) and not LOG_LEVELS.wants(logger.name, LEVELS.get(method, logging.ERROR)):
        from structlog import DropEvent

        raise DropEvent
    return entry


def _cleaned(_logger: object, _method: str, entry: "EventDict") -> "EventDict":
    """Return an entry in which no text of a peer can end the line, begin another one, or be obeyed by a terminal."""
    return {clean("_".join(key.split())): _cleaned_field(key, value) for key, value in entry.items()}


def _cleaned_field(key: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if key in _MANY_LINES:  # the end says what has happened; further lines are indented, so that none looks like an entry
        return clean_lines(str(value)[-_LONGEST_TRACEBACK:]).replace("\n", "\n    ")
    return clean(value, _LONGEST_FIELD)


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
        return "\n".join(f"<{priority}>{line}" for line in self._inner.format(record).split("\n"))


def _gateway_logger(*names: str) -> logging.Logger:
    logger = logging.getLogger(f"gateway.{names[0]}" if names else "gateway")
    logger.setLevel(logging.DEBUG)
    return logger
