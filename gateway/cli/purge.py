"""`gateway purge`: wipe what a gateway has kept, before its machine leaves the plant."""

import sys
from collections.abc import Iterator
from pathlib import Path

import typer

from gateway.cli.outbox_locations import configured
from gateway.cli.output import describe_error, say
from gateway.cli.problems import EXIT_CONFIG, print_problems
from gateway.core.errors import ConfigError, GatewayError
from gateway.core.plural import counted
from gateway.core.ports.plugin import KeepsFiles
from gateway.core.ports.sink_plugin import HasSecretFiles
from gateway.core.wiping import wipe
from gateway.live.history.segments import SUFFIX
from gateway.outbox.files import lock_file, own_files
from gateway.outbox.lock import PathLock
from gateway.settings import Settings, load

EXIT_LEFT = 1
_CREDENTIAL = "credential:"


def purge(folder: Path, is_confirmed: bool) -> int:
    """Wipe outbox, keys, history and found files, file by file. Returns the exit code."""
    try:
        settings = load(folder)
    except ConfigError as error:
        print_problems(error, folder)
        return EXIT_CONFIG
    outbox = settings.root.outbox
    lock = PathLock(outbox.path)
    try:
        if outbox.path.parent.is_dir():
            lock.acquire()
        return _purge(settings, folder, is_confirmed)
    except (GatewayError, OSError) as error:
        say(describe_error(error), err=True)
        return EXIT_CONFIG
    finally:
        lock.release()


def _purge(settings: Settings, folder: Path, is_confirmed: bool) -> int:
    files = list(dict.fromkeys(_files(settings)))
    for path in files:
        say(f"  {path}")
    question = f"wipe {counted(len(files), 'file')}? What waits for the broker and all keys are lost for good"
    if not is_confirmed:
        if not sys.stdin.isatty():
            say(f"{question}. Nothing was wiped: say --yes where nobody can be asked", err=True)
            return EXIT_CONFIG
        if not typer.confirm(question):
            say("nothing was wiped")
            return EXIT_CONFIG
    left = 0
    for path in files:
        try:
            say(f"{path}: {wipe(path)}")
        except OSError as error:
            left += 1
            say(f"{path}: NOT wiped: {error.strerror}")
    _say_what_remains(settings, folder)
    if left:
        say(f"{counted(left, 'file')} could not be wiped", err=True)
    return EXIT_LEFT if left else 0


def _files(settings: Settings) -> Iterator[Path]:
    """Yield the files to wipe: keys first, as without them encrypted rows are worth nothing; the lock last, being held."""
    outbox = settings.root.outbox
    key_file = outbox.key_file
    if key_file and not key_file.startswith(_CREDENTIAL):
        yield from _there(Path(key_file))
    for sink in settings.root.all_sinks:
        if isinstance(sink.plugin, HasSecretFiles):
            for path in sink.plugin.secret_files(sink.config):
                yield from _there(path)
    for plugin, entry in zip(settings.plugins, settings.entries, strict=True):
        if isinstance(plugin, KeepsFiles):
            for path in plugin.kept_files(entry.config):
                yield from _there(path)
    history = settings.root.history.files.path
    yield from (path for path in _there(history) if path.suffix == SUFFIX)
    for one in configured(settings):
        if one.file != outbox.path:
            for path in own_files(one.file):
                yield from _there(path)
    lock = lock_file(outbox.path)
    for path in own_files(outbox.path):
        if path != lock:
            yield from _there(path)
    yield from _there(lock)


def _there(path: Path) -> Iterator[Path]:
    """Yield a file, or all files below a folder; links are named and not followed."""
    if path.is_dir() and not path.is_symlink():
        for inner in sorted(path.iterdir()):
            yield from _there(inner)
    elif path.is_symlink() or path.exists():
        yield path


def _say_what_remains(settings: Settings, folder: Path) -> None:
    say(f"not touched: the configuration in {folder}, which may hold passwords, and variables of the service")
    if settings.root.outbox.key_file.startswith(_CREDENTIAL):
        say(f"not touched: {settings.root.outbox.key_file}, which belongs to systemd; remove its file below /etc")
    say("not touched: what the journal, backups and the broker (retained messages) have")
    say(
        "cannot be promised: on flash (SSD, SD card, eMMC) and on file systems that copy on writing (btrfs, ZFS, snapshots)"
        " overwriting reaches other cells or blocks, and what was there may be read from the chips until that is erased."
        " Where that matters, have the device erase itself (blkdiscard, nvme format, hdparm --security-erase) or destroy it."
        " Rows of an encrypted outbox are worth nothing without their key, if that was never on the same flash (TPM)"
    )
