"""Asks the running gateway through its socket file, by the standard library alone."""

import http.client
import json
import os
import socket
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from gateway.core.config_types import files_relative_to
from gateway.core.errors import GatewayError
from gateway.settings.problem_collector import ProblemCollector
from gateway.settings.root_file import read_root
from gateway.web.unix_socket import short_path, socket_path

ANSWER_S: Final = 5.0
_RUNTIME: Final = Path("/run/gateway/gateway.sock")
_MOST_BYTES: Final = 16 * 2**20


class NoAnswer(GatewayError):
    """No gateway answers; the text says what was tried."""


class ApiClient:
    """One gateway, found by its configuration or by the path of its socket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def path(self) -> Path:
        """Return the path of the socket file."""
        return self._path

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """Return an answer of the API. Raises NoAnswer."""
        return self._call("GET", path, query)

    def change(self, path: str, **query: str | int) -> dict[str, Any]:
        """Change something of the gateway itself, and return the answer. Raises NoAnswer."""
        return self._call("POST", path, query)

    def _call(self, method: str, path: str, query: Mapping[str, str | int]) -> dict[str, Any]:
        keys = "&".join(f"{key}={quote(str(value))}" for key, value in query.items())
        try:
            status, body = self._ask(method, f"/api/v1/{path}{'?' if keys else ''}{keys}")
            answer = json.loads(body)
        except TimeoutError:
            raise NoAnswer(f"{self._path}: no answer within {ANSWER_S:g} s: the gateway stands still") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise NoAnswer(f"{self._path}: {reason}") from None
        if status != http.client.OK or not isinstance(answer, dict):
            raise NoAnswer(f"{self._path}: {_reason(answer) or status}")
        return answer

    def _ask(self, method: str, target: str) -> tuple[int, bytes]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(ANSWER_S)
            with short_path(self._path) as short:
                sock.connect(short)
            connection = http.client.HTTPConnection("gateway")
            connection.sock = sock
            connection.request(method, target)
            response = connection.getresponse()
            return response.status, response.read(_MOST_BYTES)


def _reason(answer: Any) -> str:
    if not isinstance(answer, dict) or not answer.get("error"):
        return ""
    return f"{answer['error']}; expected {answer['expected']}" if answer.get("expected") else str(answer["error"])


def find_gateway(folder: Path, given: Path | None) -> ApiClient:
    """Return the client of a running gateway: at the given socket, or where this configuration's gateway has its own.

    Raises NoAnswer, which says where was looked.
    """
    places = [given] if given is not None else list(dict.fromkeys(_places(folder)))
    for place in places:
        if _is_socket(place):
            return ApiClient(place)
    raise NoAnswer(_not_found(places, folder))


def _places(folder: Path) -> Iterator[Path]:
    if os.environ.get("RUNTIME_DIRECTORY"):
        yield socket_path(Path(), os.environ)
    if folder.is_dir():
        with files_relative_to(folder):
            _, root = read_root(ProblemCollector(folder))
        if root is not None:
            yield socket_path(root.outbox.path, {})
    yield _RUNTIME


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:
        return False


def _not_found(places: Sequence[Path], folder: Path) -> str:
    looked = ", ".join(map(str, places))
    hint = f"the gateway of {folder}" if folder.is_dir() else "--config DIR, or --socket FILE"
    return (
        f"no gateway runs: there is no socket at {looked} (expected {hint}; its files may be open to its user and root only)"
    )
