"""Reading a configuration folder: every problem of every file at once."""

import difflib
import hashlib
import os
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError

from gateway.core.errors import ConfigError, Problem
from gateway.core.fields import files_relative_to
from gateway.core.sourcekind import DeviceEntry, SourceKind
from gateway.core.tags import Tag, TagTable
from gateway.encoding.config import DeviceLayoutConfig
from gateway.encoding.topics import Topics
from gateway.kinds import KINDS
from gateway.settings.advice import Configured, advice
from gateway.settings.documents import Document, KeyPath, read_csv, read_yaml
from gateway.settings.model import ENV_PREFIX, Root, Settings, tag_model
from gateway.settings.problems import note_validation, show, unknown_key
from gateway.settings.publishing import Publishing, sparkplug_problems, topic_problems
from gateway.settings.templates import expand
from gateway.stages.config import PolicyDefaults, TagPolicy

_OWN_KEYS = ("tags", "tag_file", "defaults", "publish")
_DEVICE_VARIABLE = f"{ENV_PREFIX}DEVICES__NAME__KEY with NAME the file's name in capitals"


@dataclass(slots=True)
class _Device:
    """One device file on its way to a `DeviceEntry`."""

    kind: SourceKind
    config: Any
    document: Document
    defaults: PolicyDefaults
    publish: DeviceLayoutConfig
    tags: list[Any] = field(default_factory=list)
    names: dict[str, tuple[Document, KeyPath]] = field(default_factory=dict)


class _Loader:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {k.upper(): v for k, v in os.environ.items() if k.upper().startswith(ENV_PREFIX)}
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.read: list[Path] = []
        self.tag_models: dict[str, Any] = {}
        self.root_document = Document("")

    def yaml(self, path: Path) -> Document:
        self.read.append(path)
        return read_yaml(path, str(path))

    def settings(self) -> Settings:
        root = self._root()
        devices = self._devices()
        self._check_names(devices)
        if root is not None:
            self._check_topics(root, devices)
        self._check_environment()
        self._check_unused_tag_files()
        if not devices and not self.problems:
            self.problems.append(Problem(str(self.folder / "devices"), 0, "", "no enabled device", "a file *.yaml"))
        if self.problems or root is None:
            raise ConfigError(sorted(dict.fromkeys(self.problems), key=lambda p: (p.file, p.line)))
        configured = [Configured(d.document.file, d.kind, d.config, [tag for tag, _, _ in d.tags]) for d in devices]
        self.warnings += advice(self.folder, root, configured, self.read)
        return self._assembled(root, devices)

    # -- gateway.yaml ------------------------------------------------------------------------------------------------

    def _root(self) -> Root | None:
        document = self.root_document = self.yaml(self.folder / "gateway.yaml")
        if not (self.folder / "gateway.yaml").exists() and (self.folder / "gateway.yml").exists():
            document.problems = [document.problem((), "no such file", "gateway.yml to be called so")]
        root = None
        value = {} if document.value is None and not document.problems else document.value
        if isinstance(value, dict):
            root = self._validated_root(document, value)
        elif not document.problems:
            document.add((), "is not a mapping", "keys such as name:, mqtt:, outbox:")
        self.problems += document.problems
        return root if not document.problems else None

    def _validated_root(self, document: Document, value: dict[str, Any]) -> Root | None:
        # Root takes options of its own beside its fields (_env_file ...): only fields may reach it.
        fields = {}
        for key, one in value.items():
            if key not in Root.model_fields:
                document.add((key,), *unknown_key(key, list(Root.model_fields)))
            elif key != "name" and one is None:
                continue  # a section of which every line is commented out
            elif key != "name" and not isinstance(one, dict):
                # A variable below this key would replace the file's value and hide that it is wrong.
                document.add((key,), "is not a mapping", "keys below it, each as key: value")
            else:
                fields[key] = one
        try:
            return Root(**fields)
        except ValidationError as error:
            note_validation(document, error, Root, environment=lambda path: self._variable(document, path))
        except SettingsError as error:
            document.problems.append(self._unreadable_variable(error))
        except RecursionError:
            document.problems.append(Problem("environment", 0, ENV_PREFIX + "...", "a variable is nested too deeply"))
        except OverflowError:
            document.add((), "holds a number beyond all measure")
        return None

    def _unreadable_variable(self, error: SettingsError) -> Problem:
        """pydantic-settings could not parse the text of a variable; it names only the field."""
        field = str(error).partition('field "')[2].partition('"')[0]
        names = [name for name in sorted(self.environ) if name == f"{ENV_PREFIX}{field}".upper()]
        return Problem(
            "environment", 0, (names or [""])[0], "is not valid JSON", "a JSON object, or one variable for each key"
        )

    def _variable(self, document: Document, path: KeyPath, prefix: str = ENV_PREFIX) -> str | None:
        """The environment variable that set this key, something around it, or (if the file does not) something in it."""
        for end in range(len(path), 0, -1):
            name = prefix + "__".join(str(part) for part in path[:end]).upper()
            if name in self.environ:
                return name
        inner = prefix + "".join(f"{part}__" for part in path).upper()
        below = [name for name in sorted(self.environ) if name.startswith(inner)]
        return below[0] if path and below and path not in document.lines else None

    def _check_environment(self) -> None:
        known = {name.upper() for name in Root.model_fields} | {"DEVICES"}
        for name in sorted(self.environ):
            head, *rest = name.removeprefix(ENV_PREFIX).split("__")
            if head not in known:
                close = difflib.get_close_matches(head, known, 1)
                hint = f"{ENV_PREFIX}{close[0]}..." if close else "a key of gateway.yaml or DEVICES"
                self.problems.append(Problem("environment", 0, name, "is not a known setting", hint))
            elif head == "DEVICES" and not rest:
                self.problems.append(Problem("environment", 0, name, "names no device", _DEVICE_VARIABLE))

    def _files(self, place: Path) -> list[Path]:
        """What is in a folder, hidden files left out; none where there is no folder."""
        try:
            return sorted(path for path in place.iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            self.problems.append(Problem(str(place), 0, "", f"cannot be read: {error.strerror}", "a folder"))
            return []

    # -- devices -----------------------------------------------------------------------------------------------------

    def _devices(self) -> list[_Device]:
        place = self.folder / "devices"
        found = [one for p in self._files(place) if p.suffix in (".yaml", ".yml") for one in self._device_documents(p)]
        devices = [d for document, name in found if (d := self._device(document, name)) is not None]
        stems = {_variable_part(name) for _, name in found}
        for name in sorted(self.environ):
            rest = name.removeprefix(f"{ENV_PREFIX}DEVICES__")
            if rest != name and not any(len(rest) > len(stem) + 2 and rest.startswith(f"{stem}__") for stem in stems):
                problem = "names no key of the device" if rest.rstrip("_") in stems else "names no device file"
                expected = f"{_DEVICE_VARIABLE}: {', '.join(sorted(stems)) or 'there is no device file'}"
                self.problems.append(Problem("environment", 0, name, problem, expected))
        return devices

    def _device_documents(self, path: Path) -> list[tuple[Document, str]]:
        """The devices of a file with the name of each: one, named like the file, or those of its list `devices`, to which
        the other keys of the file belong in common."""
        whole = self.yaml(path)
        if not isinstance(whole.value, dict) or "devices" not in whole.value:
            return [(whole, path.stem)]
        common = {key: item for key, item in whole.value.items() if key != "devices"}
        listed = whole.value["devices"]
        if not isinstance(listed, list) or not listed:
            whole.add(("devices",), "is not a list", "one entry for each device: - {name: ..., ...}")
            listed = []
        found = []
        for place, item in enumerate(listed):
            if not isinstance(item, dict):
                whole.add(("devices", place), f"{show(item)} is not a device", "keys such as name: and url:")
            elif not isinstance(item.get("name"), str):
                whole.add(("devices", place, "name"), "is missing", "a name for each device of a list")
            else:
                document = whole.part(("devices", place), _merged(common, item))
                document.origins = {key: whole for key in common if key not in item}
                found.append((document, item["name"]))
        self.problems += whole.problems
        return found

    def _device(self, document: Document, name: str) -> _Device | None:
        value = document.value
        device = None
        if not document.problems and not isinstance(value, dict):
            document.add((), "is not a mapping", "keys such as protocol:, url:, tags:")
        elif isinstance(value, dict):
            device = self._parsed_device(document, name, value)
        self.problems += document.problems
        return device if device is not None and device.config.enabled else None

    def _parsed_device(self, document: Document, name: str, value: dict[str, Any]) -> _Device | None:
        value, template = expand(self.folder, document, value)
        if template is not None:
            self.read.append(Path(template.file))
            self.problems += template.problems
            if template.problems:
                return None
        self._override(document, name, value)
        protocol = value.get("protocol")
        kind = KINDS.get(protocol) if isinstance(protocol, str) else None
        if kind is None:
            message = "is missing" if protocol is None else f"{show(protocol)} is not known"
            document.add(("protocol",), message, " or ".join(KINDS))
            return None
        own = {"name": name} | {k: v for k, v in value.items() if k not in _OWN_KEYS}
        prefix = _device_prefix(name)
        config = self._validated(document, kind.device_model, own, (), _OWN_KEYS, prefix)
        defaults = {} if value.get("defaults") is None else value["defaults"]
        policy = self._validated(document, PolicyDefaults, defaults, ("defaults",), (), prefix)
        publish = {} if value.get("publish") is None else value["publish"]
        publishing = self._validated(document, DeviceLayoutConfig, publish, ("publish",), (), prefix)
        device = _Device(kind, config, document, policy or PolicyDefaults(), publishing or DeviceLayoutConfig())
        self._tags(device, value)
        return device if config is not None else None

    def _override(self, document: Document, device: str, value: dict[str, Any]) -> None:
        """GATEWAY__DEVICES__NAME__KEY sets a plain key of devices/name.yaml, or of the device of this name in a list."""
        prefix = _device_prefix(device)
        for name, text in self.environ.items():
            if name.startswith(prefix) and name != prefix:
                target = value
                *parents, last = name.removeprefix(prefix).lower().split("__")
                if "tags" in (last, *parents):
                    document.problems.append(Problem("environment", 0, name, "tags cannot be set here", "a plain key"))
                    continue
                for key in parents:
                    inner = target.setdefault(key, {})
                    if not isinstance(inner, dict):
                        document.problems.append(Problem("environment", 0, name, f"{key} is not a mapping", "a plain key"))
                        break
                    target = inner
                else:
                    target[last] = text

    def _validated(
        self,
        document: Document,
        model: type[BaseModel],
        value: Any,
        path: KeyPath,
        extra_keys: tuple[str, ...] = (),
        prefix: str = "",
    ) -> Any:
        try:
            return model.model_validate(value)
        except ValidationError as error:

            def variable(where: KeyPath) -> str | None:
                return self._variable(document, where, prefix) if prefix else None

            note_validation(document, error, model, path, extra_keys, variable)
        except OverflowError:
            document.add(path, "holds a number beyond all measure")
        return None

    # -- tags --------------------------------------------------------------------------------------------------------

    def _tags(self, device: _Device, value: dict[str, Any]) -> None:
        document = device.document
        inline = [] if value.get("tags") is None else value["tags"]
        if not isinstance(inline, list):
            document.add(("tags",), "is not a list", "one entry per tag: - {name: ..., ...}")
            inline = []
        for at, item in enumerate(inline):
            self._tag(device, document, item, ("tags", at))
        tag_file, before = value.get("tag_file"), len(self.problems)
        if tag_file is not None:
            self._tag_file(device, tag_file)
        found = device.kind.found(device.config) if device.config is not None else None
        if found is not None and device.config.enabled:
            self._found(device, found)
        told = device.kind.told(device.config) if device.config is not None else None
        if told is not None and device.config.enabled and _is_file(told):
            self._complete(device, told)
        blamed = document.problems or len(self.problems) > before
        if not device.tags and not blamed and found is None and getattr(device.config, "enabled", True):
            document.add(("tags",), "the device has no tags", "tags: or tag_file:")

    def _tag_file(self, device: _Device, tag_file: Any) -> None:
        place = self.folder / "tags"
        if not isinstance(tag_file, str) or not tag_file or Path(tag_file).name != tag_file:
            device.document.add(
                ("tag_file",), f"{show(tag_file)} is not a file name", "a file in tags/, for instance press.csv"
            )
            return
        path = place / tag_file
        if not _is_file(path):
            there = difflib.get_close_matches(tag_file, [p.name for p in place.glob("*.csv")], 1)
            hint = f"is there as {there[0]}?" if there else f"a CSV file in {place!s}"
            device.document.add(("tag_file",), f"{path!s} does not exist", hint)
            return
        self.read.append(path)
        table = read_csv(path, str(path))
        if not table.problems:
            known = self._check_columns(device, table)
            for at, row in enumerate(table.value):
                if known:
                    self._tag(device, table, row, (at,))
                else:
                    self._name(device, table, row, (at,))
        self.problems += table.problems

    def _found(self, device: _Device, path: Path) -> None:
        """Tags that the device itself told of; the file is the gateway's own, so what is wrong with it is no error."""
        if not _is_file(path):
            self.warnings.append(
                f"{path!s}: nothing was found on {device.config.name} yet; it is asked when the gateway starts"
            )
            return
        table = read_csv(path, str(path))
        configured = {tag.name for tag, _, _ in device.tags}
        if not table.problems:
            self.read.append(path)
            for at, row in enumerate(table.value):
                if row.get("name") not in configured:
                    self._tag(device, table, row, (at,))
        if table.problems:
            self.warnings.append(f"{table.problems[0]}; delete the file, and it is made anew")

    def _complete(self, device: _Device, path: Path) -> None:
        """Fill in what the device itself told of configured tags."""
        table = read_csv(path, str(path))
        if table.problems:
            self.warnings.append(f"{table.problems[0]}; delete the file, and it is made anew")
            return
        self.read.append(path)
        lines = {row.get("name"): row for row in table.value}
        device.tags = [(device.kind.completed(tag, lines.get(tag.name, {})), *where) for tag, *where in device.tags]

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
            document.add(path, f"{show(item)} is not a tag", "keys such as name: and address:")
            return
        self._name(device, document, item, path)
        tag = self._validated(document, self._tag_model(device.kind), item, path)
        if tag is None:
            return
        device.tags.append((tag, document, path))
        wrong = device.config and device.kind.check(device.config, tag)
        if wrong:
            key, message, expected = wrong
            document.add((*path, key), message, expected)

    def _name(self, device: _Device, document: Document, item: dict[str, Any], path: KeyPath) -> None:
        """A name stands once in a device, whatever else is wrong with its tag."""
        if isinstance(name := item.get("name"), str):
            first, where = device.names.setdefault(name, (document, path))
            if (first, where) != (document, path):
                place = f"{first.file}:{first.line(where)}"
                document.add((*path, "name"), f"{name!r} is already a tag of this device: {place}", "another name")

    # -- checks over all files ---------------------------------------------------------------------------------------

    def _check_names(self, devices: list[_Device]) -> None:
        seen: dict[str, Document] = {}
        for device in devices:
            first = seen.setdefault(device.config.name, device.document)
            if first is not device.document:
                self._late_problem(device.document, ("name",), f"{device.config.name!r} is already the name in {first.file}")
            for row, key, message, expected in device.kind.check_tags(device.config, [tag for tag, _, _ in device.tags]):
                _, document, path = device.tags[row]
                self.problems.append(document.problem((*path, key), message, expected))
        for kind in KINDS.values():
            of_kind = [device for device in devices if device.kind is kind]
            for row, key, message, expected in kind.check_devices([device.config for device in of_kind]):
                self.problems.append(of_kind[row].document.problem((key,), message, expected))

    def _check_topics(self, root: Root, devices: list[_Device]) -> None:
        publishing = [
            Publishing(d.config.name, d.publish, d.document, [(tag.name, document, path) for tag, document, path in d.tags])
            for d in devices
        ]
        topics = Topics.of(root.mqtt.root, root.name, [d.name for d in publishing])
        self.problems += topic_problems(root.publish, self.root_document, topics, publishing)
        clean = root.mqtt.clean_start
        self.problems += sparkplug_problems(root.publish, self.root_document, root.mqtt.root, clean, publishing)

    def _late_problem(self, document: Document, path: KeyPath, message: str) -> None:
        """A problem found after the document's own problems were collected."""
        self.problems.append(document.problem(path, message, "another name"))

    def _check_unused_tag_files(self) -> None:
        used = {os.path.realpath(path) for path in self.read}
        for path in self._files(self.folder / "tags"):
            if path.suffix == ".csv" and os.path.realpath(path) not in used:
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
                logical = kind.is_logical(config, model)
                tags.append(Tag(len(tags), number, model.name, model.unit, single, interval, logical, model.range))
                policies.append(_with_defaults(model, device.defaults, root.defaults))
        table = TagTable(tuple(d.config.name for d in devices), tuple(tags))
        kinds = tuple(d.kind for d in devices)
        return Settings(
            self.folder,
            root,
            kinds,
            tuple(entries),
            tuple(policies),
            tuple(d.publish for d in devices),
            table,
            self._hash(),
            tuple(self.warnings),
        )

    def _hash(self) -> str:
        """Twelve hex digits that change with any byte of the files read or of the variables that override them."""
        digest = hashlib.sha256()
        for path in sorted(self.read):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        for name, text in sorted(self.environ.items()):
            digest.update(f"{name}={text}\0".encode(errors="surrogateescape"))
        return digest.hexdigest()[:12]


def _is_file(path: Path) -> bool:
    """Whether it is there and a file; a name that the file system refuses is not."""
    try:
        return path.is_file()
    except OSError:
        return False


def _merged(common: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    """Keys of a device of a list, with those in common; parameters of both."""
    both = [part["parameters"] for part in (common, item) if isinstance(part.get("parameters"), dict)]
    return deepcopy(common) | item | ({"parameters": both[0] | both[1]} if len(both) == 2 else {})


def _device_prefix(name: str) -> str:
    """How the environment variables for a device begin."""
    return f"{ENV_PREFIX}DEVICES__{_variable_part(name)}__"


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
    if folder.is_file():
        raise ConfigError([Problem(str(folder), 0, "", "is a file", f"the folder it lies in: {folder.parent}")])
    if not folder.is_dir():
        raise ConfigError([Problem(str(folder), 0, "", "no such folder", "a folder with gateway.yaml, devices/ and tags/")])
    with files_relative_to(folder):
        return _Loader(folder).settings()
