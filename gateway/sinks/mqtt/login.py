"""The password for a connection, from where the configuration says. Blocks: for a thread."""

import base64
import binascii
import json
import os
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from gateway.core.errors import NotConnected
from gateway.sinks.mqtt.config import MqttConfig

_LARGEST_BYTES: Final = 65_535
"""Of a password: two bytes tell its length on the wire (MQTT 5.0, 1.5.6)."""
COMMAND_S: Final = 10.0
"""So long a `password_command` may take."""
_JWT_PARTS: Final = 3


def read_password(config: MqttConfig, command_s: float = COMMAND_S) -> str:
    """Return the password or token as it is now, empty for none; a line's end is left out.

    Raises NotConnected that names the key, and says so where a token (JWT, RFC 7519) has expired. Never quotes a password.
    """
    if config.password_file is not None:
        key, raw = "password_file", _read_file("password_file", config.password_file)
    elif config.password_credential:
        key, raw = "password_credential", _read_credential(config.password_credential)
    elif config.password_command:
        key, raw = "password_command", _run(config.password_command, command_s)
    else:
        return config.password.get_secret_value()
    if len(raw) > _LARGEST_BYTES:
        raise NotConnected(f"mqtt.{key}: there are more than {_LARGEST_BYTES} bytes; expected a password or token alone")
    try:
        password = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise NotConnected(f"mqtt.{key}: the password is not UTF-8 text") from None
    if not password:
        raise NotConnected(f"mqtt.{key}: there is no password in it")
    if (expired_s := _expired_for_s(password)) > 0:
        since = datetime.fromtimestamp(time.time() - expired_s, UTC).isoformat(" ", "seconds")
        raise NotConnected(f"mqtt.{key}: the token has expired at {since}: renew it, or check this machine's clock")
    return password


def _read_file(key: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise NotConnected(f"mqtt.{key}: cannot read {path} ({error.strerror})") from None


def _read_credential(name: str) -> bytes:
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not folder:
        raise NotConnected(
            f"mqtt.password_credential: systemd has given no credentials: add LoadCredential={name}:/path to the unit"
        )
    return _read_file("password_credential", Path(folder) / name)


def _run(command: Sequence[str], within_s: float) -> bytes:
    """Return what a program prints. It is ended when it takes too long or prints too much."""
    try:
        process = subprocess.Popen(  # noqa: S603 - the administrator's own program, without a shell
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        raise NotConnected(f"mqtt.password_command: cannot run {command[0]} ({error.strerror})") from None
    too_late = threading.Event()

    def end() -> None:
        too_late.set()
        with suppress(OSError):
            os.killpg(process.pid, 9)  # with what it has started, which would keep the pipe open

    timer = threading.Timer(within_s, end)
    timer.daemon = True
    timer.start()
    try:
        assert process.stdout is not None
        with process.stdout as output:
            printed = output.read(_LARGEST_BYTES + 1)
        if len(printed) > _LARGEST_BYTES:
            end()
            too_late.clear()
            return printed
        status = process.wait()
    finally:
        timer.cancel()
        with suppress(OSError):
            process.kill()
        process.wait()
    if too_late.is_set():
        raise NotConnected(f"mqtt.password_command: {command[0]} takes longer than {within_s:g} s")
    if status:
        raise NotConnected(f"mqtt.password_command: {command[0]} ends with exit code {status}: run it as the gateway's user")
    return printed


def _expired_for_s(token: str) -> float:
    """Return for how long a JSON Web Token has been expired, seconds; 0 for one that has not, and for all else."""
    parts = token.split(".")
    if len(parts) != _JWT_PARTS:
        return 0.0
    try:
        claims: Any = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        ends_s = float(claims["exp"])
    except (binascii.Error, ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return 0.0
    return time.time() - ends_s if 0 < ends_s < time.time() else 0.0
