"""`gateway reload`: have the running gateway take the changed configuration, or show what that would change."""

import os
import signal
import time
from pathlib import Path
from typing import Any, Final

from gateway.app.reload_record import read_record
from gateway.cli.output import say, waiting_for
from gateway.cli.problems import EXIT_CONFIG, print_problems
from gateway.core.errors import ConfigError
from gateway.core.foreign_text import LONGEST_TEXT, clean
from gateway.outbox.lock import holder_of
from gateway.settings import load
from gateway.settings.difference import difference
from gateway.settings.kept_configuration import load_kept
from gateway.settings.load_folder import load_tolerant

EXIT_NOT_TAKEN: Final = 1
_ANSWER_S: Final = 120.0
_LOOK_S: Final = 0.1


def show_difference(folder: Path) -> int:
    """Print how the folder differs from the configuration that ran last. Returns the exit code."""
    try:
        with waiting_for(f"reading {folder}"):
            after = load(folder)
            before = load_kept(folder, after.root.outbox.path)
    except ConfigError as error:
        print_problems(error, folder)
        return EXIT_CONFIG
    if before is None:
        say("there are no problems; no configuration has run for long enough to compare it with")
        return 0
    found = difference(before, after)
    for line in found.lines or ("nothing differs",):
        say(clean(line, LONGEST_TEXT))
    say(f"compared with the configuration that ran last ({before.hash})")
    return 0


def reload_gateway(folder: Path, *, wait: bool) -> int:
    """Send SIGHUP to the gateway of this folder, and print what came of it. Returns the exit code.

    wait: until the changed devices can be read, or are changed back.
    """
    try:
        outbox = load_tolerant(folder).root.outbox.path
    except ConfigError as error:
        print_problems(error, folder)
        return EXIT_CONFIG
    pid = holder_of(outbox)
    if pid is None:
        say(f"no gateway runs with the outbox {outbox}", err=True)
        return EXIT_NOT_TAKEN
    before = _turn(read_record(outbox))
    try:
        os.kill(pid, signal.SIGHUP)
    except OSError as error:
        advice = "use sudo systemctl reload gateway, or the gateway's own user"
        say(f"the gateway (pid {pid}) cannot be asked: {error.strerror}; {advice}", err=True)
        return EXIT_NOT_TAKEN
    with waiting_for("waiting for the gateway"):
        record = _next_record(outbox, before, _ANSWER_S)
    if not record:
        say(f"the gateway has been asked (SIGHUP to pid {pid}) and has not said how that ended; its log does", err=True)
        return EXIT_NOT_TAKEN
    return _print_result(outbox, record, wait=wait)


def _print_result(outbox: Path, record: dict[str, Any], *, wait: bool) -> int:
    _print_changes(record)
    if record.get("result") == "confirmed":  # so soon that this is the first that is seen of it
        return _print_confirmed(record)
    if record.get("result") != "applied":
        return _print_failure(record)
    if wait and not record.get("final", True):
        return _follow(outbox, record)
    later = "" if record.get("final", True) else "; a device that does not come up is changed back"
    say(f"applied: configuration {record.get('config')} runs{later}")
    return 0


def _follow(outbox: Path, applied: dict[str, Any]) -> int:
    """Wait until a configuration that was applied is confirmed or changed back. Returns the exit code."""
    confirm_s = float(applied.get("confirm_s", 0.0))
    with waiting_for(f"applied; the changed devices have {confirm_s:g} s to come up (Ctrl-C stops only the waiting)"):
        record = _next_record(outbox, _turn(applied), confirm_s + _ANSWER_S)
    if not record:
        say("applied, and the gateway has not said whether its devices have come up; its log does", err=True)
        return EXIT_NOT_TAKEN
    if record.get("result") == "confirmed":
        return _print_confirmed(record)
    if record.get("result") == "rolled_back":
        _print_changes(record)
        return _print_failure(record)
    say(f"applied: configuration {applied.get('config')}; another reload has begun meanwhile", err=True)
    return EXIT_NOT_TAKEN


def _turn(record: dict[str, Any]) -> tuple[Any, Any]:
    return record.get("pid"), record.get("number")


def _next_record(outbox: Path, before: tuple[Any, Any], within_s: float) -> dict[str, Any]:
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        record = read_record(outbox)
        if record and _turn(record) != before and record.get("result") != "started":
            return record
        time.sleep(_LOOK_S)
    return {}


def _print_changes(record: dict[str, Any]) -> None:
    changes = record.get("changes")
    for line in changes if isinstance(changes, list) else []:
        say(clean(line, LONGEST_TEXT))


def _print_confirmed(record: dict[str, Any]) -> int:
    say(f"confirmed: configuration {record.get('config')} runs, and the changed devices are read")
    return 0


def _print_failure(record: dict[str, Any]) -> int:
    if problem := record.get("problem"):
        say(clean(problem, LONGEST_TEXT), err=True)
    say("refused: nothing was changed" if record.get("result") == "refused" else "changed back", err=True)
    return EXIT_NOT_TAKEN
