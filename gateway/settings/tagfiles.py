"""The tags of a device: those in its own file, those of `tags/*.csv`, and those that were found on the device."""

import difflib
from pathlib import Path
from typing import Any

from gateway.core.ports.plugin import Plugin, TagFiles
from gateway.settings.detectors import check_detectors
from gateway.settings.devicefiles import Device
from gateway.settings.error_text import show
from gateway.settings.model import tag_model
from gateway.settings.problem_collector import Findings
from gateway.settings.source_files import Document, KeyPath, read_csv
from gateway.stages.config import OF_NUMBERS


class Tags:
    """Reads the tags of one device after the other."""

    def __init__(self, found: Findings) -> None:
        self._findings = found
        self._models: dict[str, Any] = {}

    def read(self, device: Device) -> None:
        """Fill in the device's tags."""
        document, value = device.document, device.value
        inline = [] if value.get("tags") is None else value["tags"]
        if not isinstance(inline, list):
            document.add(("tags",), "is not a list", "one entry per tag: - {name: ..., ...}")
            inline = []
        for at, item in enumerate(inline):
            self._tag(device, document, item, ("tags", at))
        tag_file, before = value.get("tag_file"), len(self._findings.problems)
        if tag_file is not None:
            self._tag_file(device, tag_file)
        found = self._read_own(device, device.plugin) if isinstance(device.plugin, TagFiles) and device.config else None
        blamed = document.problems or len(self._findings.problems) > before
        if not device.tags and not blamed and found is None and getattr(device.config, "enabled", True):
            document.add(("tags",), "the device has no tags", "tags: or tag_file:")

    def _read_own(self, device: Device, files: TagFiles[Any, Any]) -> Path | None:
        """Read what the device described itself. Returns the file of the tags found on it, None where none are searched."""
        found, metadata = files.found_tags_path(device.config), files.metadata_path(device.config)
        if found is not None and device.config.enabled:
            self._found(device, found)
        if metadata is not None and device.config.enabled and _is_file(metadata):
            self._complete(device, files, metadata)
        return found

    def _tag_file(self, device: Device, tag_file: Any) -> None:
        place = self._findings.folder / "tags"
        if not isinstance(tag_file, str) or not tag_file or Path(tag_file).name != tag_file:
            device.document.add(
                ("tag_file",), f"{show(tag_file)} is not a file name", "a file in tags/, for instance press.csv"
            )
            return
        path = place / tag_file
        if not _is_file(path):
            there = difflib.get_close_matches(tag_file, [p.name for p in place.glob("*.csv")], 1)
            hint = f"{there[0]}?" if there else f"a CSV file in {place!s}"
            device.document.add(("tag_file",), f"{path!s} does not exist", hint)
            return
        self._findings.read.append(path)
        table = read_csv(path, str(path))
        if not table.problems:
            known = self._check_columns(device, table)
            for at, row in enumerate(table.value):
                if known:
                    self._tag(device, table, row, (at,))
                else:
                    self._name(device, table, row, (at,))
        self._findings.problems += table.problems

    def _found(self, device: Device, path: Path) -> None:
        """Read the tags found on the device; the file is the gateway's own, so what is wrong with it is only a warning."""
        warnings = self._findings.warnings
        if not _is_file(path):
            warnings.append(f"{path!s}: nothing was found on {device.config.name} yet; it is asked when the gateway starts")
            return
        table = read_csv(path, str(path))
        configured = {tag.name for tag, _, _ in device.tags}
        if not table.problems and not table.value:
            name = device.config.name
            warnings.append(f"{path!s}: nothing that is wanted was found on {name}; gateway browse shows what is there")
        if not table.problems:
            self._findings.read.append(path)
            for at, row in enumerate(table.value):
                if row.get("name") not in configured:
                    self._tag(device, table, row, (at,))
        if table.problems:
            warnings.append(f"{table.problems[0]}; delete the file, and it is made anew")

    def _complete(self, device: Device, files: TagFiles[Any, Any], path: Path) -> None:
        """Fill in what the device itself said of configured tags."""
        table = read_csv(path, str(path))
        if table.problems:
            self._findings.warnings.append(f"{table.problems[0]}; delete the file, and it is made anew")
            return
        self._findings.read.append(path)
        lines = {row.get("name"): row for row in table.value}
        device.tags = [(files.complete(tag, lines.get(tag.name, {})), *where) for tag, *where in device.tags]

    def _check_columns(self, device: Device, table: Document) -> bool:
        """Return whether all columns are known; a wrong one is one problem of the header, not one for each line."""
        known = self._model(device.plugin).model_fields
        wrong = sorted({key for row in table.value for key in row if key not in known})
        for key in wrong:
            close = difflib.get_close_matches(key, known, 1)
            table.add((key,), "is not a known column", f"{close[0]}?" if close else f"one of {', '.join(known)}")
        return not wrong

    def _model(self, plugin: Plugin) -> Any:
        if plugin.name not in self._models:
            self._models[plugin.name] = tag_model(plugin)
        return self._models[plugin.name]

    def _tag(self, device: Device, document: Document, item: Any, path: KeyPath) -> None:
        if not isinstance(item, dict):
            document.add(path, f"{show(item)} is not a tag", "keys such as name: and address:")
            return
        self._name(device, document, item, path)
        tag = self._findings.validated(document, self._model(device.plugin), item, path)
        if tag is None:
            return
        device.tags.append((tag, document, path))
        check_detectors(self._findings, document, tag, path)
        wrong = device.config and device.plugin.check(device.config, tag)
        if wrong:
            key, message, expected = wrong
            document.add((*path, key), message, expected)
        if device.config and device.plugin.traits(device.config, tag).is_text:
            for key in sorted(tag.model_fields_set & OF_NUMBERS.keys()):
                if getattr(tag, key) != OF_NUMBERS[key]:
                    document.add(
                        (*path, key), "has no effect: the tag's values are no numbers", f"a type of numbers, or no {key}"
                    )

    def _name(self, device: Device, document: Document, item: dict[str, Any], path: KeyPath) -> None:
        """Check that a name stands once in a device, whatever else is wrong with its tag."""
        if isinstance(name := item.get("name"), str):
            first, where = device.names.setdefault(name, (document, path))
            if (first, where) != (document, path):
                place = f"{first.file}:{first.line(where)}"
                document.add((*path, "name"), f"{name!r} is already a tag of this device: {place}", "another name")


def _is_file(path: Path) -> bool:
    """Return whether it is there and a file; a name that the file system refuses is not."""
    try:
        return path.is_file()
    except OSError:
        return False
