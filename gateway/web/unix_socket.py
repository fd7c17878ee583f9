"""The socket file through which commands on this machine talk to the gateway: for its user only, never through a link."""

import os
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_BACKLOG: Final = 16
_MODE: Final = 0o600


def socket_path(outbox: Path, environ: Mapping[str, str]) -> Path:
    """Return where the socket belongs: in systemd's runtime folder, else beside the outbox."""
    folder = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(folder) / "gateway.sock" if folder else outbox.with_name(f"{outbox.name}.sock")


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Let a socket be named by a path that fits into 107 bytes (unix(7)), however long its folder's name is."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen_private(path: Path) -> socket.socket:
    """Return a listening socket at a path, which takes the place of one that an earlier run has left.

    It is made under another name and gets its mode before anybody can connect. Raises OSError, FileExistsError where
    something else has the name.
    """
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(f"{path} is there and is no socket: it is not replaced")
    fresh = path.with_name(f"{path.name}.new")
    with suppress(FileNotFoundError):
        fresh.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        with short_path(fresh) as short:
            sock.bind(short)
        os.chmod(fresh, _MODE)
        sock.listen(_BACKLOG)
        fresh.replace(path)
    except OSError:
        sock.close()
        with suppress(OSError):
            fresh.unlink()
        raise
    return sock


def remove(path: Path) -> None:
    """Remove a socket file, nothing else, and never raise."""
    with suppress(OSError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
