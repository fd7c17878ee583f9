"""Field types of configuration models: durations, sizes and names as people write them.

pydantic stands in `core` for these and for the settings of detectors: a part's `config.py` may import nothing else of ours,
and all parts must have one notation.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

_DURATION_NS = {
    "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "min": 60_000_000_000, "m": 60_000_000_000,
    "h": 3_600_000_000_000, "d": 86_400_000_000_000,
}  # fmt: skip
_SIZE_BYTES = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")
_RANGE = re.compile(r"\s*([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s+to\s+([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*")
_TRUST_KEY = re.compile(r"\b(ca|crl)\b")
_LONGEST_NS = 100 * 365 * _DURATION_NS["d"]
_LARGEST_BYTES = 2**50


def _parse_quantity(value: Any, units: dict[str, int], expected: str, most: int) -> int:
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in units:
        raise ValueError(f"{value!r} is not understood; expected {expected}")
    amount = float(match[1]) * units[match[2]]
    if amount > most:  # infinity, too
        raise ValueError(f"{value!r} is out of range; expected {expected}")
    return round(amount)


def parse_duration_ns(value: Any) -> int:
    """Return `250ms`, `1s`, `1.5h`, `7d` as nanoseconds. Raises ValueError for a number without a unit and all else."""
    return _parse_quantity(value, _DURATION_NS, "a number with a unit such as 250ms, 1s, 10min, 7d", _LONGEST_NS)


def parse_size_bytes(value: Any) -> int:
    """Return `512MiB`, `1GB` as bytes. Raises ValueError for a number without a unit and all else."""
    return _parse_quantity(value, _SIZE_BYTES, "a number with a unit such as 64KiB, 512MiB, 1GiB", _LARGEST_BYTES)


def parse_value_range(value: Any) -> tuple[float, float]:
    """Return `0 to 100`, `-40 to 120.5` as two ascending numbers. Raises ValueError for all else."""
    match = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a range; expected for instance 0 to 100")
    low, high = float(match[1]), float(match[2])
    if not low < high < float("inf"):
        raise ValueError(f"{value!r} does not rise; expected for instance 0 to 100")
    return low, high


def check_name(value: Any) -> str:
    """Return a name that becomes one level of a topic: no `/`, `+`, `#`, control characters, not empty.

    Raises ValueError.
    """
    if not isinstance(value, str):
        hint = " (YAML reads it as another type: put it in quotes)" if value is not None else ""
        raise ValueError(f"{value!r} is not text{hint}")
    if not value or value != value.strip():
        raise ValueError(f"{value!r} is not a name: it must not be empty or begin or end with a space")
    bad = sorted({c for c in value if c in "/+#" or not c.isprintable()})
    if bad:
        raise ValueError(f"{value!r} becomes a level of a topic and must not contain {' '.join(map(repr, bad))}")
    if value.startswith("$"):
        raise ValueError(f"{value!r} must not begin with $, which brokers keep for topics of their own")
    if len(value.encode()) > 128:
        raise ValueError(f"{value!r} is longer than 128 bytes")
    return value


def _between(parse: Callable[[Any], int], at_least: str, at_most: str) -> BeforeValidator:
    low, high = parse(at_least), parse(at_most)

    def check(value: Any) -> int:
        amount = parse(value)
        if not low <= amount <= high:
            raise ValueError(f"{value!r} is out of range; expected {at_least} to {at_most}")
        return amount

    return BeforeValidator(check)


def duration_ns(at_least: str = "0s", at_most: str = "36500d") -> BeforeValidator:
    """Return a validator for durations within bounds, in nanoseconds."""
    return _between(parse_duration_ns, at_least, at_most)


def size_bytes(at_least: str, at_most: str = "1024TiB") -> BeforeValidator:
    """Return a validator for sizes within bounds, in bytes."""
    return _between(parse_size_bytes, at_least, at_most)


DURATION_SCHEMA = WithJsonSchema(
    {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(us|ms|s|m|min|h|d)\s*$", "examples": ["250ms", "1s", "7d"]}
)
SIZE_SCHEMA = WithJsonSchema(
    {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(B|[kMGT]B|[KMGT]iB)\s*$", "examples": ["64KiB", "512MiB"]}
)

DurationNs = Annotated[int, duration_ns(), DURATION_SCHEMA]
IntervalNs = Annotated[int, duration_ns("10ms", "7d"), DURATION_SCHEMA]
TimeoutNs = Annotated[int, duration_ns("10ms", "1h"), DURATION_SCHEMA]
SizeBytes = Annotated[int, BeforeValidator(parse_size_bytes), SIZE_SCHEMA]
ValueRange = Annotated[
    tuple[float, float],
    BeforeValidator(lambda value: value if isinstance(value, tuple) else parse_value_range(value)),
    WithJsonSchema({"type": "string", "pattern": r"^\s*[-+]?\d\S*\s+to\s+[-+]?\d\S*\s*$", "examples": ["0 to 100"]}),
]
Name = Annotated[
    str, BeforeValidator(check_name), WithJsonSchema({"type": "string", "pattern": r"^[^/+#$\s]([^/+#]*[^/+#\s])?$"})
]


_folder: ContextVar[Path] = ContextVar("folder of the configuration", default=Path())


@contextmanager
def files_relative_to(folder: Path) -> Iterator[None]:
    """Let relative paths of files count from this folder, not from where the process was started."""
    token = _folder.set(folder.absolute())
    try:
        yield
    finally:
        _folder.reset(token)


def absolute_path(path: Path) -> Path:
    """Return a path of the configuration as an absolute one. Raises ValueError where no file can have it."""
    if "\0" in str(path):
        raise ValueError(f"{str(path)!r}: a path cannot hold the character NUL")
    try:
        return _folder.get() / path.expanduser()
    except RuntimeError:
        raise ValueError(f"{str(path)!r}: no home folder is known; expected a path that begins with /") from None


FilePath = Annotated[Path, AfterValidator(absolute_path)]
"""A path; relative ones count from the configuration folder."""


def _check_folder(path: Path) -> Path:
    if os.path.exists(path) and not os.path.isdir(path):
        raise ValueError(f"{path} is a file; expected a folder")
    return path


FolderPath = Annotated[FilePath, AfterValidator(_check_folder)]
"""A folder, which need not be there yet; relative paths count from the configuration folder."""


def _check_own_file(path: Path) -> Path:
    # `check` may be run by somebody who may not look into the folder: there Path.is_dir raises, os.path does not.
    if not path.name or os.path.isdir(path):
        raise ValueError(f"{path} is a folder; expected a file")
    if os.path.islink(path):
        raise ValueError(f"{path} is a symbolic link; expected the file itself, as what is written could be led elsewhere")
    return path


def resolve_link(path: Path) -> Path:
    """Return the target of a symbolic link, else the path itself. Files beside a file belong beside the target."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path


OwnFile = Annotated[Path, AfterValidator(absolute_path), AfterValidator(_check_own_file)]
"""A file that the gateway writes itself; relative paths count from the configuration folder."""

MUST_EXIST: Final = "must exist"
ExistingFile = Annotated[FilePath, MUST_EXIST]
"""A file that is read at each connect: `check` says when it cannot be read now."""


def default(text: str) -> Any:
    """Return a field's default in the notation of the file (`1s`, `1GiB`), as the schema and the reference page show it."""
    return Field(default=text)


class ConfigModel(BaseModel):
    """Base of every configuration model: unknown keys are errors, values are frozen, docstrings become descriptions."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)


def existing_files(model: BaseModel, prefix: str = "") -> dict[str, Path]:
    """Return each `ExistingFile` below a model by its dotted key."""
    found: dict[str, Path] = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            found |= existing_files(value, f"{prefix}{name}.")
        elif isinstance(value, tuple):
            for at, one in enumerate(value):
                found |= existing_files(one, f"{prefix}{name}.{at}.") if isinstance(one, BaseModel) else {}
        elif isinstance(value, Path) and MUST_EXIST in (*field.metadata, *_inner(field.annotation)):
            found[prefix + name] = value
    return found


def trust_files(files: Mapping[str, Path]) -> list[Path]:
    """Return those files that say which peers are trusted: authorities and revocation lists. files: by their key."""
    return [path for key, path in files.items() if _TRUST_KEY.search(key)]


def _inner(annotation: Any) -> list[Any]:
    """Return what is annotated within a union such as `ExistingFile | None`."""
    return [mark for one in getattr(annotation, "__args__", ()) for mark in getattr(one, "__metadata__", ())]


class TagModel(ConfigModel):
    """What every tag has, whatever its protocol."""

    name: Name
    """Name of the tag: unique within its device, one level of a topic."""
    unit: str = ""
    """Engineering unit, for instance °C, bar, mm/s."""
    range: ValueRange | None = None
    """Lowest and highest value in normal operation, for people and hosts: 0 to 100. Alarms have hi, lo and so on."""
    description: str = ""
    """What it measures, for people."""


class DeviceModel(ConfigModel):
    """What every device has, whatever its protocol. Tags and the tag file are read beside the model, one by one."""

    name: Name
    """Name of the device: unique, one level of a topic. Default: the file's name."""
    enabled: bool = True
    """False leaves the device out without deleting its file."""

    def files(self) -> dict[str, Path]:
        """Return the files that are read at each connect, by their key."""
        return existing_files(self)

    def trust_places(self) -> list[Path]:
        """Return the files, and folders of files, that say which peers are trusted."""
        return trust_files(self.files())
