"""`gateway scan`: find the devices on a connection, and the addresses that can be read."""

from pathlib import Path

from gateway.cli.interrupt import run_async
from gateway.cli.output import Output
from gateway.cli.reports import is_url, plugin_for_device, plugin_for_url, progress, run_command
from gateway.core.ports.device_tools import Options, Scan, Scannable
from gateway.core.report import Report


def scan(what: str, folder: Path, options: Options) -> int:
    """Scan a URL or a device of the configuration in `folder`; Ctrl-C ends it with what was found so far.

    Returns the exit code.
    """
    return run_command(lambda: _run_scan(_create_scan(what, folder, options)), folder)


def _create_scan(what: str, folder: Path, options: Options) -> Scan:
    if is_url(what):
        return plugin_for_url(what, Scannable, "scanned").scan(what, options)
    plugin, entry = plugin_for_device(folder, what, Scannable, "scanned")
    return plugin.scan(entry.config, options)


def _run_scan(scan: Scan) -> Report:
    errors = Output(stderr=True)
    errors.print(scan.introduction)
    try:
        with progress() as bars:
            run_async(scan.run(bars))
    except KeyboardInterrupt:
        errors.print(f"stopped at {scan.position}: what comes after it was not looked at", style="yellow")
    return scan.report()
