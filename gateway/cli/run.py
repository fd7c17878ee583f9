"""`gateway run`."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any, Final

import structlog

from gateway.cli import logs
from gateway.cli.problems import EXIT_CONFIG, print_problems
from gateway.core.errors import ConfigError, Unsaved
from gateway.outbox.disk_room import storage_faults
from gateway.runtime.more_time import MoreTime
from gateway.runtime.watchdog import Notifier
from gateway.settings.kept_configuration import load_for_run

EXIT_UNSAVED: Final = 3


def run_gateway(folder: Path, level: logs.LogLevel, style: logs.LogFormat) -> int:
    """Run until a signal ends it. Returns the exit code. Bugs leave as exceptions."""
    logs.configure(level, style)
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):  # until the loop listens to them: they end no gateway
        signal.signal(number, signal.SIG_IGN)
    try:
        with MoreTime(Notifier(), "reading the configuration"):
            settings = load_for_run(folder)
        for warning in settings.warnings:
            structlog.get_logger("settings").warning("configuration", warning=warning)
        for missing in settings.missing_secrets():
            structlog.get_logger("settings").error("secret missing", problem=str(missing))
        for problem in [str(problem) for one in settings.refused for problem in one.problems] + [settings.refused_root]:
            if problem:
                structlog.get_logger("settings").error("configuration refused", problem=problem)
        for fault in storage_faults(settings.root.outbox.path):
            structlog.get_logger("outbox").error("store-and-forward does not work here", reason=fault)
        from gateway.app.main_loop import run

        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(run(settings))
    except ConfigError as error:
        structlog.get_logger("security").warning(
            "configuration_changed", source=str(folder), result="refused", reason=str(error.problems[0])
        )
        print_problems(error, folder)
        return EXIT_CONFIG
    except Unsaved:
        return EXIT_UNSAVED
    return 0


def _loop_factory() -> Any:
    """Return uvloop where there is a wheel for it (Linux), the standard loop elsewhere."""
    if sys.platform == "linux":
        import uvloop

        return uvloop.new_event_loop
    return None
