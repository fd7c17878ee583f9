"""Passwords and tokens of sinks, read anew at each connect."""

from pathlib import Path
from typing import Final

from pydantic import SecretStr

from gateway.core.bounded_file import read_bounded
from gateway.core.errors import NotConnected

_LARGEST_BYTES: Final = 65_535


def read_secret(literal: SecretStr, file: Path | None, key: str) -> str:
    """Return a password or token as it is now, empty for none; the end of the line is left out.

    Reads a file, so it belongs on a thread. key: that of the file, for errors. Raises NotConnected; never quotes a secret.
    """
    if file is None:
        return literal.get_secret_value()
    try:
        text = read_bounded(file, _LARGEST_BYTES).decode().rstrip("\r\n")
    except OSError as error:
        raise NotConnected(f"{key}: cannot read {file} ({error.strerror})") from None
    except UnicodeDecodeError:
        raise NotConnected(f"{key}: {file} is not UTF-8 text") from None
    if not text:
        raise NotConnected(f"{key}: there is nothing in {file}")
    return text
