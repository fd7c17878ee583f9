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


def reload_gateway(folder: Path) -> int:
    """Send SIGHUP to the gateway of this folder, and print what came of it. Returns the exit code."""
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
        record = _next_record(outbox, before)
    if not record:
        say(f"the gateway has been asked (SIGHUP to pid {pid}) and has not said how that ended; its log does", err=True)
        return EXIT_NOT_TAKEN
    return _print_result(record)


def _turn(record: dict[str, Any]) -> tuple[Any, Any]:
    return record.get("pid"), record.get("number")


def _next_record(outbox: Path, before: tuple[Any, Any]) -> dict[str, Any]:
    end_s = time.monotonic() + _ANSWER_S
    while time.monotonic() < end_s:
        record = read_record(outbox)
        if record and _turn(record) != before and record.get("result") != "started":
            return record
        time.sleep(_LOOK_S)
    return {}


def _print_result(record: dict[str, Any]) -> int:
    changes = record.get("changes")
    for line in changes if isinstance(changes, list) else []:
        say(clean(line, LONGEST_TEXT))
    result, problem = record.get("result"), record.get("problem")
    if problem:
        say(clean(problem, LONGEST_TEXT), err=True)
    if result == "applied":
        say(f"applied: configuration {record.get('config')} runs; a device that does not come up is changed back")
        return 0
    say(f"{'refused: nothing was changed' if result == 'refused' else 'changed back'}", err=True)
    return EXIT_NOT_TAKEN
