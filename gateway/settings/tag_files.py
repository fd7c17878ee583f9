"""The tags of a device: those in its own file, those of `tags/*.csv`, and those that were found on the device."""

from pathlib import Path
from typing import Any

from gateway.core.nearest import nearest
from gateway.core.ports.plugin import Plugin, TagFiles
from gateway.settings import ceilings
from gateway.settings.alarms import check_alarms
from gateway.settings.csv_files import read_csv
from gateway.settings.detectors import check_detectors
from gateway.settings.device_files import Device, ReadTag
from gateway.settings.error_text import quote_value
from gateway.settings.formulas import check_formulas
from gateway.settings.model import FormulaEntry, tag_model
from gateway.settings.problem_collector import ProblemCollector
from gateway.settings.source_files import KeyPath, SourceFile
from gateway.stages.config import OF_NUMBERS


class TagReader:
    """Reader of the tags of devices, from all their files."""

    def __init__(self, collector: ProblemCollector) -> None:
        self._collector = collector
        self._models: dict[str, Any] = {}
        self._count = 0

    @property
    def is_full(self) -> bool:
        """Return whether there are more tags than a gateway takes."""
        return self._count > ceilings.TAGS

    def read(self, device: Device) -> None:
        """Read the tags of a device into `device.tags`; faults go to the files that have them."""
        file, value = device.file, device.value
        inline = [] if value.get("tags") is None else value["tags"]
        if not isinstance(inline, list):
            file.add(("tags",), "is not a list", "one entry per tag: - {name: ..., ...}")
            inline = []
        for at, item in enumerate(inline):
            self._add_tag(device, file, item, ("tags", at))
        tag_file, before = value.get("tag_file"), len(self._collector.problems)
        if tag_file is not None:
            self._read_tag_file(device, tag_file)
        found = (
            self._read_device_files(device, device.plugin) if isinstance(device.plugin, TagFiles) and device.config else None
        )
        has_problems = file.problems or len(self._collector.problems) > before
        device.finds_tags = found is not None
        if device.formulas and device.config:
            check_formulas(device, self._collector.problems, self._collector.warnings)
        check_alarms(device)
        if not device.tags and not has_problems and found is None and getattr(device.config, "enabled", True):
            file.add(("tags",), "the device has no tags", "tags: or tag_file:")

    def _read_device_files(self, device: Device, files: TagFiles[Any, Any]) -> Path | None:
        """Read the files with what the device reports of itself.

        Returns the file of the tags found on it, None where none are searched.
        """
        found, metadata = files.found_tags_path(device.config), files.metadata_path(device.config)
        if found is not None and device.config.enabled:
            self._read_found_tags(device, found)
        if metadata is not None and device.config.enabled and _is_file(metadata):
            self._complete_tags(device, files, metadata)
        return found

    def _read_tag_file(self, device: Device, tag_file: Any) -> None:
        place = self._collector.folder / "tags"
        if not isinstance(tag_file, str) or not tag_file or Path(tag_file).name != tag_file:
            device.file.add(
                ("tag_file",), f"{quote_value(tag_file)} is not a file name", "a file in tags/, for instance press.csv"
            )
            return
        path = place / tag_file
        if not _is_file(path):
            there = nearest(tag_file, (p.name for p in place.glob("*.csv")))
            hint = f"{there}?" if there else f"a CSV file in {place!s}"
            device.file.add(("tag_file",), f"{path!s} does not exist", hint)
            return
        self._collector.add_file(path)
        table = read_csv(path, str(path))
        self._collector.warnings += [f"{table.name}: {note}" for note in table.notes]
        if not table.problems:
            known = self._check_columns(device, table)
            for at, row in enumerate(table.value):
                if known:
                    self._add_tag(device, table, row, (at,))
                else:
                    self._check_name(device, table, row, (at,))
        self._collector.problems += table.problems

    def _read_found_tags(self, device: Device, path: Path) -> None:
        """Read the tags found on the device.

        The gateway writes this file itself, so a fault in it is only a warning.
        """
        warnings = self._collector.warnings
        if not _is_file(path):
            warnings.append(f"{path!s}: nothing was found on {device.config.name} yet; it is asked when the gateway starts")
            return
        table = read_csv(path, str(path), is_own=True)
        configured = {tag.model.name for tag in device.all_tags}
        if not table.problems and not table.value:
            name = device.config.name
            warnings.append(f"{path!s}: nothing that is wanted was found on {name}; gateway browse shows what is there")
        if not table.problems:
            self._collector.add_file(path)
            for at, row in enumerate(table.value):
                if row.get("name") not in configured:
                    self._add_tag(device, table, row, (at,))
        if table.problems:
            warnings.append(f"{table.problems[0]}; delete the file, and it is made anew")

    def _complete_tags(self, device: Device, files: TagFiles[Any, Any], path: Path) -> None:
        """Complete the configured tags with what the device reports of them."""
        table = read_csv(path, str(path), is_own=True)
        if table.problems:
            self._collector.warnings.append(f"{table.problems[0]}; delete the file, and it is made anew")
            return
        self._collector.add_file(path)
        lines = {row.get("name"): row for row in table.value}
        device.tags = [tag._replace(model=files.complete(tag.model, lines.get(tag.model.name, {}))) for tag in device.tags]

    def _check_columns(self, device: Device, table: SourceFile) -> bool:
        """Return whether all columns are known; a wrong one is one problem of the header, not one for each line."""
        known = self._model(device.plugin).model_fields | FormulaEntry.model_fields
        wrong = sorted({key for row in table.value for key in row if key not in known})
        for key in wrong:
            close = nearest(key, known)
            table.add((key,), "is not a known column", f"{close}?" if close else f"one of {', '.join(known)}")
        return not wrong

    def _model(self, plugin: Plugin) -> Any:
        if plugin.name not in self._models:
            self._models[plugin.name] = tag_model(plugin)
        return self._models[plugin.name]

    def _add_tag(self, device: Device, file: SourceFile, item: Any, path: KeyPath) -> None:
        if file.is_full:
            return
        if not isinstance(item, dict):
            file.add(path, f"{quote_value(item)} is not a tag", "keys such as name: and address:")
            return
        self._count += 1
        if self.is_full:
            if self._count == ceilings.TAGS + 1:
                file.add(path, f"is one tag more than {ceilings.TAGS}", "fewer tags in all devices together")
            return
        self._check_name(device, file, item, path)
        if "formula" in item:
            self._add_formula(device, file, item, path)
            return
        tag = self._collector.validate(file, self._model(device.plugin), item, path)
        if tag is None:
            return
        device.tags.append(ReadTag(tag, file, path))
        check_detectors(self._collector, file, tag, path)
        wrong = device.config and device.plugin.check(device.config, tag)
        if wrong:
            key, message, expected = wrong
            file.add((*path, key), message, expected)
        if device.config and device.plugin.traits(device.config, tag).is_text:
            for key in sorted(tag.model_fields_set & OF_NUMBERS.keys()):
                if getattr(tag, key) != OF_NUMBERS[key]:
                    file.add(
                        (*path, key), "has no effect: the tag's values are no numbers", f"a type of numbers, or no {key}"
                    )

    def _add_formula(self, device: Device, file: SourceFile, item: dict[str, Any], path: KeyPath) -> None:
        """Add a computed tag; keys that say how a tag is read have no place in it."""
        own = sorted((item.keys() & self._model(device.plugin).model_fields.keys()) - FormulaEntry.model_fields.keys())
        for key in own:
            file.add((*path, key), "has no effect beside formula", f"a formula, or a tag that is read with {key}")
        tag = self._collector.validate(file, FormulaEntry, {k: v for k, v in item.items() if k not in own}, path)
        if tag is not None and not own:
            device.formulas.append(ReadTag(tag, file, path))
            check_detectors(self._collector, file, tag, path)

    def _check_name(self, device: Device, file: SourceFile, item: dict[str, Any], path: KeyPath) -> None:
        """Check that a name is used once in a device, also where its tag has other faults."""
        if isinstance(name := item.get("name"), str):
            first, where = device.names.setdefault(name, (file, path))
            if (first, where) != (file, path):
                place = f"{first.name}:{first.line(where)}"
                file.add((*path, "name"), f"{name!r} is already a tag of this device: {place}", "another name")


def _is_file(path: Path) -> bool:
    """Return whether a path is a file that exists; False for a name that the file system refuses."""
    try:
        return path.is_file()
    except OSError:
        return False
