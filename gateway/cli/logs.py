"""Logs on standard error: key-value lines for the journal, colours for a terminal, JSON for collectors."""

import logging
import sys
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import Processor


class LogLevel(StrEnum):
    """Least important message that is logged."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


class LogFormat(StrEnum):
    """How a line looks."""

    auto = "auto"
    console = "console"
    plain = "plain"
    json = "json"


def configure(level: LogLevel, style: LogFormat) -> None:
    """Send our logs and those of the libraries (from warning on) to standard error in one form."""
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
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=_own_logger,
        cache_logger_on_first_use=False,
    )


def _own_logger(*names: str) -> logging.Logger:
    logger = logging.getLogger(f"gateway.{names[0]}" if names else "gateway")
    logger.setLevel(logging.DEBUG)
    return logger
