"""Reading a configuration folder: every problem of every file at once."""

import difflib
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from gateway.core.errors import ConfigError, Problem
from gateway.core.sourcekind import DeviceEntry, SourceKind
from gateway.core.tags import Tag, TagTable
from gateway.kinds import KINDS
from gateway.settings.documents import Document, KeyPath, read_csv, read_yaml
from gateway.settings.model import ENV_PREFIX, Root, Settings, tag_model
from gateway.settings.problems import note_validation
from gateway.stages.config import PolicyDefaults, TagPolicy

_OWN_KEYS = ("tags", "tag_file", "defaults")


@dataclass(slots=True)
class _Device:
    """One device file on its way to a `DeviceEntry`."""

    kind: SourceKind
    config: Any
    document: Document
    defaults: PolicyDefaults
    tags: list[Any] = field(default_factory=list)


class _Loader:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {k.upper(): v for k, v in os.environ.items() if k.upper().startswith(ENV_PREFIX)}
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.read: list[Path] = []
        self.tag_models: dict[str, Any] = {}

    def yaml(self, path: Path) -> Document:
        self.read.append(path)
        return read_yaml(path, str(path))

    def settings(self) -> Settings:
        root = self._root()
        devices = self._devices()
        self._check_names(devices)
        self._check_environment()
        self._check_unused_tag_files()
        if not devices and not self.problems:
            self.problems.append(Problem(str(self.folder / "devices"), 0, "", "no enabled device", "a file *.yaml"))
        if self.problems or root is None:
            raise ConfigError(sorted(self.problems, key=lambda p: (p.file, p.line)))
        return self._assembled(root, devices)

    # -- gateway.yaml ------------------------------------------------------------------------------------------------

    def _root(self) -> Root | None:
        document = self.yaml(self.folder / "gateway.yaml")
        root = None
        value = {} if document.value is None else document.value
        if not document.problems and not isinstance(value, dict):
            document.add((), "is not a mapping", "keys such as name:, mqtt:, outbox:")
        elif not any(p.message == "no such file" for p in document.problems):
            root = self._validated_root(document, value)
        self.problems += document.problems
        return root

    def _validated_root(self, document: Document, value: dict[str, Any]) -> Root | None:
        try:
            return Root(**value)
        except ValidationError as error:
            note_validation(document, error, Root, environment=self._variable)
        except ValueError as error:  # pydantic-settings could not parse a variable
            document.problems.append(Problem("environment", 0, "", str(error).splitlines()[0]))
        return None

    def _variable(self, path: KeyPath) -> str | None:
        """The environment variable that set this key of gateway.yaml, if one did."""
        for end in range(len(path), 0, -1):
            name = ENV_PREFIX + "__".join(str(part) for part in path[:end]).upper()
            if name in self.environ:
                return name
        return None

    def _check_environment(self) -> None:
        known = {name.upper() for name in Root.model_fields} | {"DEVICES"}
        for name in sorted(self.environ):
            head = name.removeprefix(ENV_PREFIX).split("__")[0]
            if head not in known:
                close = difflib.get_close_matches(head, known, 1)
                hint = f"{ENV_PREFIX}{close[0]}..." if close else "a key of gateway.yaml or DEVICES"
                self.problems.append(Problem("environment", 0, name, "is not a known setting", hint))

    # -- devices -----------------------------------------------------------------------------------------------------

    def _devices(self) -> list[_Device]:
        place = self.folder / "devices"
        files = sorted(p for p in place.glob("*") if p.suffix in (".yaml", ".yml") and not p.name.startswith("."))
        devices = [d for d in map(self._device, files) if d is not None]
        overridden = {name.split("__")[2] for name in self.environ if name.startswith(f"{ENV_PREFIX}DEVICES__")}
        stems = {_variable_part(p.stem) for p in files}
        for name in sorted(overridden - stems):
            expected = f"the name of a file in devices/ in capitals: {', '.join(sorted(stems)) or 'none there'}"
            self.problems.append(Problem("environment", 0, f"{ENV_PREFIX}DEVICES__{name}", "names no device file", expected))
        return devices

    def _device(self, path: Path) -> _Device | None:
        document = self.yaml(path)
        value = document.value
        device = None
        if not document.problems and not isinstance(value, dict):
            document.add((), "is not a mapping", "keys such as protocol:, url:, tags:")
        elif isinstance(value, dict):
            device = self._parsed_device(document, path, value)
        self.problems += document.problems
        return device if device is not None and device.config.enabled else None

    def _parsed_device(self, document: Document, path: Path, value: dict[str, Any]) -> _Device | None:
        self._override(document, path, value)
        protocol = value.get("protocol")
        kind = KINDS.get(protocol) if isinstance(protocol, str) else None
        if kind is None:
            message = "is missing" if protocol is None else f"{protocol!r} is not known"
            document.add(("protocol",), message, " or ".join(KINDS))
            return None
        own = {"name": path.stem} | {k: v for k, v in value.items() if k not in _OWN_KEYS}
        config = self._validated(document, kind.device_model, own, (), extra_keys=_OWN_KEYS)
        defaults = self._validated(document, PolicyDefaults, value.get("defaults") or {}, ("defaults",))
        device = _Device(kind, config, document, defaults or PolicyDefaults())
        self._tags(device, value)
        return device if config is not None else None

    def _override(self, document: Document, path: Path, value: dict[str, Any]) -> None:
        """GATEWAY__DEVICES__NAME__KEY sets a plain key of devices/name.yaml."""
        prefix = f"{ENV_PREFIX}DEVICES__{_variable_part(path.stem)}__"
        for name, text in self.environ.items():
            if name.startswith(prefix):
                target = value
                *parents, last = name.removeprefix(prefix).lower().split("__")
                for key in parents:
                    target = target.setdefault(key, {})
                    if not isinstance(target, dict):
                        document.add((key,), f"cannot be set by {name}: it is not a mapping")
                        return
                target[last] = text

    def _validated(
        self, document: Document, model: type[BaseModel], value: Any, path: KeyPath, extra_keys: tuple[str, ...] = ()
    ) -> Any:
        try:
            return model.model_validate(value)
        except ValidationError as error:
            note_validation(document, error, model, path, extra_keys)
            return None

    # -- tags --------------------------------------------------------------------------------------------------------

    def _tags(self, device: _Device, value: dict[str, Any]) -> None:
        document = device.document
        inline = value.get("tags") or []
        if not isinstance(inline, list):
            document.add(("tags",), "is not a list", "one entry per tag: - {name: ..., ...}")
            inline = []
        for at, item in enumerate(inline):
            self._tag(device, document, item, ("tags", at))
        tag_file = value.get("tag_file")
        if tag_file is not None:
            self._tag_file(device, tag_file)
        if not device.tags and not document.problems and getattr(device.config, "enabled", True):
            document.add(("tags",), "the device has no tags", "tags: or tag_file:")

    def _tag_file(self, device: _Device, tag_file: Any) -> None:
        place = self.folder / "tags"
        if not isinstance(tag_file, str) or not tag_file or Path(tag_file).name != tag_file:
            device.document.add(("tag_file",), f"{tag_file!r} is not a file name", "a file in tags/, for instance press.csv")
            return
        path = place / tag_file
        if not path.is_file():
            there = difflib.get_close_matches(tag_file, [p.name for p in place.glob("*.csv")], 1)
            hint = f"is there as {there[0]}?" if there else f"a CSV file in {place!s}"
            device.document.add(("tag_file",), f"{path!s} does not exist", hint)
            return
        self.read.append(path)
        table = read_csv(path, str(path))
        if not table.problems and self._check_columns(device, table):
            for at, row in enumerate(table.value):
                self._tag(device, table, row, (at,))
        self.problems += table.problems

    def _check_columns(self, device: _Device, table: Document) -> bool:
        """A wrong column is one problem of the header, not one for each line."""
        known = self._tag_model(device.kind).model_fields
        wrong = sorted({key for row in table.value for key in row if key not in known})
        for key in wrong:
            close = difflib.get_close_matches(key, known, 1)
            table.add((key,), "is not a known column", f"{close[0]}?" if close else f"one of {', '.join(known)}")
        return not wrong

    def _tag_model(self, kind: SourceKind) -> Any:
        if kind.name not in self.tag_models:
            self.tag_models[kind.name] = tag_model(kind)
        return self.tag_models[kind.name]

    def _tag(self, device: _Device, document: Document, item: Any, path: KeyPath) -> None:
        if not isinstance(item, dict):
            document.add(path, f"{item!r} is not a tag", "keys such as name: and address:")
            return
        tag = self._validated(document, self._tag_model(device.kind), item, path)
        if tag is not None:
            device.tags.append((tag, document, path))

    # -- checks over all files ---------------------------------------------------------------------------------------

    def _check_names(self, devices: list[_Device]) -> None:
        seen: dict[str, Document] = {}
        for device in devices:
            first = seen.setdefault(device.config.name, device.document)
            if first is not device.document:
                self._late_problem(device.document, ("name",), f"{device.config.name!r} is already the name in {first.file}")
            tags: dict[str, tuple[Document, KeyPath]] = {}
            for tag, document, path in device.tags:
                where = tags.setdefault(tag.name, (document, path))
                if where != (document, path):
                    place = f"{where[0].file}:{where[0].line(where[1])}"
                    self._late_problem(document, (*path, "name"), f"{tag.name!r} is already a tag of this device: {place}")

    def _late_problem(self, document: Document, path: KeyPath, message: str) -> None:
        """A problem found after the document's own problems were collected."""
        key = ".".join(str(part) for part in path)
        self.problems.append(Problem(document.file, document.line(path), key, message, "another name"))

    def _check_unused_tag_files(self) -> None:
        used = {p.resolve() for p in self.read}
        for path in sorted((self.folder / "tags").glob("*.csv")):
            if path.resolve() not in used:
                self.warnings.append(f"{path!s}: no device uses this file")

    # -- the result --------------------------------------------------------------------------------------------------

    def _assembled(self, root: Root, devices: list[_Device]) -> Settings:
        entries, policies = [], []
        tags: list[Tag] = []
        for number, device in enumerate(devices):
            models = [tag for tag, _, _ in device.tags]
            entries.append(DeviceEntry(number, device.config, tuple(models), len(tags)))
            for model in models:
                kind, config = device.kind, device.config
                single, interval = kind.is_single(config, model), kind.interval_ns(config, model)
                tags.append(Tag(len(tags), number, model.name, model.unit, single, interval))
                policies.append(_with_defaults(model, device.defaults, root.defaults))
        table = TagTable(tuple(d.config.name for d in devices), tuple(tags))
        kinds = tuple(d.kind for d in devices)
        return Settings(self.folder, root, kinds, tuple(entries), tuple(policies), table, self._hash(), tuple(self.warnings))

    def _hash(self) -> str:
        """Twelve hex digits that change with any byte of the files read or of the variables that override them."""
        digest = hashlib.sha256()
        for path in sorted(self.read):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        for name, text in sorted(self.environ.items()):
            digest.update(f"{name}={text}\0".encode())
        return digest.hexdigest()[:12]


def _variable_part(name: str) -> str:
    """A device's name as it stands in an environment variable."""
    return "".join(c if c.isalnum() else "_" for c in name).upper()


def _with_defaults(tag: Any, *defaults: PolicyDefaults) -> TagPolicy:
    """The tag's policy; keys it does not give come from the device, then the gateway, then the model."""
    values = {name: getattr(tag, name) for name in TagPolicy.model_fields}
    for name in PolicyDefaults.model_fields:
        if name not in tag.model_fields_set:
            chosen = next((getattr(d, name) for d in defaults if getattr(d, name) is not None), values[name])
            values[name] = chosen
    return TagPolicy.model_construct(**values)


def load(folder: Path) -> Settings:
    """Read and check a configuration folder; variables GATEWAY__... of the process override. Raises ConfigError with every
    problem found."""
    if not folder.is_dir():
        raise ConfigError([Problem(str(folder), 0, "", "no such folder", "a folder with gateway.yaml, devices/ and tags/")])
    return _Loader(folder).settings()
