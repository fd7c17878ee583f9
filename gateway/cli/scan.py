"""`gateway scan`: what answers on a connection, and what can be read of it."""

import asyncio
import signal
from pathlib import Path

from gateway.cli.output import Output
from gateway.cli.reports import answer, is_url, of_device, of_url, progress
from gateway.core.ports.device_tools import Options, Scan, Scannable
from gateway.core.report import Report


def scan(what: str, folder: Path, options: Options) -> int:
    """Scan a URL or a device of the configuration in `folder`; Ctrl-C ends it with what was found so far.

    Returns the exit code.
    """
    return answer(lambda: _scanned(_scan(what, folder, options)), folder)


def _scan(what: str, folder: Path, options: Options) -> Scan:
    if is_url(what):
        return of_url(what, Scannable, "scanned").scan(what, options)
    plugin, entry = of_device(folder, what, Scannable, "scanned")
    return plugin.scan(entry.config, options)


def _scanned(scan: Scan) -> Report:
    errors = Output(stderr=True)
    errors.print(scan.introduction)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was found is worth as much as after Ctrl-C
    try:
        with progress() as bars:
            asyncio.run(scan.run(bars))
    except KeyboardInterrupt:
        errors.print(f"[yellow]stopped at {scan.position}: what comes after it was not looked at[/]")
    return scan.report()
