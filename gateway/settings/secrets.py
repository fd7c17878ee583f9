"""`!secret NAME`: passwords, keys and tokens that stand outside the configuration and are looked up when they are used."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr, ValidationError

from gateway.core.errors import NotConnected, Problem
from gateway.core.foreign_text import hide
from gateway.settings.age_files import decrypt_age
from gateway.settings.secrets_config import SecretsConfig
from gateway.settings.source_files import KeyPath

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MOST_BYTES: Final = 65_536
ENV_SECRET: Final = "GATEWAY_SECRET_"  # noqa: S105 - how the variables begin
_SHORTEST_HIDDEN: Final = 4
_EXPECTED: Final = "the secret in one of these"
_CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"
"""systemd sets it for a service with LoadCredential= (systemd.exec(5))."""


class SecretMissingError(Exception):
    """A secret that is in none of its places, or in one that cannot be read. The text names every place, and no value."""


class SecretStore:
    """The places of secrets, in this order: systemd credential, file, variable, age file.

    Attributes:
        config: The section `secrets` of gateway.yaml.
        used: The secrets that the configuration names.
    """

    def __init__(self) -> None:
        self.config = SecretsConfig()
        self.used: list[SecretReference] = []

    def read(self, name: str) -> str:
        """Return a secret as it is now, without the end of its last line. Raises SecretMissingError."""
        places = []
        for place, path in self._files(name):
            if (content := _read(place, path)) is not None:
                return _text(place, content)
            places.append(place)
        variable = variable_of(name)
        if (value := os.environ.get(variable)) is not None:
            return _text(f"variable {variable}", value.encode(errors="surrogateescape"))
        encrypted = self.config.folder / f"{name}.age"
        if (content := _read(str(encrypted), encrypted)) is not None:
            return _text(str(encrypted), self._decrypt(encrypted, content))
        if not os.environ.get(_CREDENTIALS):
            places.insert(0, f"systemd credential (none: {_CREDENTIALS} is not set)")
        raise SecretMissingError(f"is in none of its places: {', '.join([*places, f'variable {variable}', str(encrypted)])}")

    def path(self, name: str) -> Path:
        """Return the file of a secret, for keys that take the name of a file; where it should be, if there is none."""
        paths = [path for _, path in self._files(name)]
        return next((path for path in paths if path.exists()), paths[-1])

    def _files(self, name: str) -> list[tuple[str, Path]]:
        given = os.environ.get(_CREDENTIALS, "")
        credential = [(f"systemd credential {given}/{name}", Path(given) / name)] if given else []
        return [*credential, (str(self.config.folder / name), self.config.folder / name)]

    def _decrypt(self, path: Path, content: bytes) -> bytes:
        identity = self.config.age_identity
        if identity is None:
            raise SecretMissingError(f"is encrypted in {path}: set secrets.age_identity to the file of the key")
        key = _read(f"secrets.age_identity {identity}", identity)
        if key is None:
            raise SecretMissingError(f"is encrypted in {path}, and secrets.age_identity {identity} does not exist")
        try:
            return decrypt_age(content, key)
        except ValueError as error:
            raise SecretMissingError(f"cannot be decrypted from {path}: {error}") from None


class SecretReference(SecretStr):
    """A secret by its name. Each `get_secret_value` looks it up anew, so that it may be changed while the gateway runs."""

    def __init__(self, name: str, store: SecretStore, place: tuple[str, int, KeyPath]) -> None:
        super().__init__(name)
        self.name = name
        self._store = store
        self._place = place

    def get_secret_value(self) -> str:
        """Return the secret as it is now. Raises NotConnected that names every place where it was looked for."""
        try:
            return self._store.read(self.name)
        except SecretMissingError as error:
            raise NotConnected(f"secret {self.name} {error}") from None

    def problem(self) -> Problem | None:
        """Return why there is no such secret now, with file and line of its use; None where there is one."""
        try:
            self._store.read(self.name)
        except SecretMissingError as error:
            file, line, path = self._place
            return Problem(file, line, ".".join(map(str, path)), f"secret {self.name} {error}", _EXPECTED)
        return None

    @property
    def key_path(self) -> KeyPath:
        """Return where in its file it is named."""
        return self._place[2]

    def path(self) -> Path:
        """Return the file of the secret."""
        return self._store.path(self.name)

    def __len__(self) -> int:
        return 1  # it is not empty; only a look-up tells how long it is

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretReference) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return f"!secret {self.name}"

    __repr__ = __str__


def is_missing_secret(problem: Problem) -> bool:
    """Return whether a problem is that a secret is not here, or cannot be used (`SecretReference.problem`)."""
    return problem.message.startswith("secret ") and problem.expected == _EXPECTED


def variable_of(name: str) -> str:
    """Return the variable that may hold a secret: GATEWAY_SECRET_BROKER_PASSWORD for broker-password."""
    return ENV_SECRET + re.sub(r"\W", "_", name, flags=re.ASCII).upper()


def is_secret_name(name: str) -> bool:
    """Return whether a secret can have this name: letters, digits, dot, minus and underscore."""
    return _NAME.fullmatch(name) is not None


def references_in(value: Any) -> Iterator[SecretReference]:
    """Yield the secrets that a value of a configuration names."""
    if isinstance(value, SecretReference):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from references_in(inner)


def with_secrets(validate: Callable[[Any], object], value: Any, *, drop_missing: bool = False) -> Any:
    """Return the value with plain texts, or names of files, for the secrets at keys that are not passwords.

    Such keys are those where the models do not take a secret. Texts that are put in are hidden from logs and terminals. A
    secret that is missing stays, and is an error of its own. drop_missing: for commands that need only a part, keys whose
    secret is missing are left out instead.
    """
    try:
        validate(value)
    except ValidationError as error:
        value = _without_missing(value) if drop_missing else value
        return _filled(value, {id(one["input"]): one["type"] == "path_type" for one in error.errors(include_url=False)})
    return value


def _without_missing(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kept = {key: _without_missing(one) for key, one in value.items()}
    return {key: one for key, one in kept.items() if not isinstance(one, SecretReference) or one.problem() is None}


def _filled(value: Any, wrong: Mapping[int, bool]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, wrong) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, wrong) for inner in value]
    if not isinstance(value, SecretReference) or id(value) not in wrong:
        return value
    if wrong[id(value)]:
        return value.path()
    try:
        text = value.get_secret_value()
    except NotConnected:
        return value
    if len(text) >= _SHORTEST_HIDDEN:
        hide(text, str(value))
    return text


def literal_passwords(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the key paths of passwords that stand in a configuration in clear text."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.lower() == "password" and isinstance(inner, str | int | float) and inner not in ("", True, False):
                yield (*path, key)
            else:
                yield from literal_passwords(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from literal_passwords(inner, (*path, at))


def _read(place: str, path: Path) -> bytes | None:
    """Return what a file holds, None where there is none. One that cannot be read is not passed over."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SecretMissingError(f"cannot be read from {place}: {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise SecretMissingError(f"in {place} has more than {_MOST_BYTES >> 10} KiB")
    return content


def _text(place: str, content: bytes) -> str:
    try:
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise SecretMissingError(f"in {place} is not UTF-8 text") from None
    if not text:
        raise SecretMissingError(f"in {place} is empty")
    return text
