"""Collects problems, warnings and file names while a configuration folder is read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from gateway.core.errors import Problem
from gateway.settings import ceilings
from gateway.settings.environment import Environment
from gateway.settings.error_text import add_validation_errors
from gateway.settings.secrets import SecretStore, literal_passwords, references_in, with_secrets
from gateway.settings.source_files import KeyPath, SourceFile
from gateway.settings.yaml_files import read_yaml
from gateway.stages.detector_choice import DetectorChoice

_CLEAR_TEXT = "is a password in clear text: write !secret and a name, or permit it with secrets: {literal: allow}"


class ProblemCollector:
    """Everything that the reading of a configuration folder has found so far beside the models.

    Attributes:
        problems: Faults, with file and line.
        warnings: Sentences that begin with their place.
        files_read: Every file that was read, for the configuration's hash.
        environment: The variables that override the files.
        secrets: Where `!secret` is looked for.
        drops_missing: Keys of gateway.yaml whose secret is missing have their defaults.
        of_lists: Faults of files with several devices that are of none of them, by the name of the file.
        valid_detectors: Detector settings that have passed their check, with the types of their values.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = Environment()
        self.secrets = SecretStore()
        self.drops_missing = False
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.files_read: list[Path] = []
        self.of_lists: dict[str, list[Problem]] = {}
        self._is_read: set[Path] = set()
        self._templates: dict[Path, SourceFile] = {}
        self.valid_detectors: set[tuple[DetectorChoice, tuple[type, ...]]] = set()

    def yaml(self, path: Path) -> SourceFile:
        """Read a YAML file of the configuration. Its problems are in the file that is returned, not in `problems`."""
        self.add_file(path)
        return read_yaml(path, str(path), self.secrets)

    def template(self, path: Path) -> SourceFile:
        """Return a template, read once for all devices that use it. Its problems are those of one device."""
        if path not in self._templates:
            self._templates[path] = self.yaml(path)
        return replace(self._templates[path], problems=[*self._templates[path].problems], origins={})

    def add_file(self, path: Path) -> None:
        """Record that a file was read."""
        if path not in self._is_read:
            self._is_read.add(path)
            self.files_read.append(path)

    @property
    def has_too_many_problems(self) -> bool:
        """Return whether no more problems are looked for."""
        return len(self.problems) >= ceilings.PROBLEMS

    def files(self, place: Path) -> list[Path]:
        """Return the files in a folder, without hidden ones; none where there is no folder."""
        try:
            return sorted(path for path in place.iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            self.problems.append(Problem(str(place), 0, "", f"cannot be read: {error.strerror}", "a folder"))
            return []

    def validate(
        self,
        file: SourceFile,
        model: type[BaseModel],
        value: Any,
        path: KeyPath,
        extra_keys: tuple[str, ...] = (),
        prefix: str = "",
        file_value: Any = None,
    ) -> Any:
        """Return the model of the value at a key path, or None after adding each fault to the file.

        extra_keys: keys that are known beside the model's. prefix: how the variables begin that may have set the value.
        file_value: the value in the file, without these variables.
        """
        if any(references_in(value)):
            value = with_secrets(model.model_validate, value)
        try:
            return model.model_validate(value)
        except ValidationError as error:

            def below(where: KeyPath) -> str:
                return self.environment.below(where, prefix) if prefix else ""

            add_validation_errors(file, error, model, path, extra_keys, below, lambda: model.model_validate(file_value))
        except OverflowError:
            file.add(path, "holds a number beyond all measure")
        return None

    def check_literals(self, file: SourceFile, value: Any) -> None:
        """Add a warning or problem for each password in clear text, as `secrets.literal` says. value: without variables."""
        if self.secrets.config.literal == "allow":
            return
        for path in literal_passwords(value):
            if file.variable(path) is not None:
                continue
            if self.secrets.config.literal == "refuse":
                file.add(path, "is a password in clear text, and secrets.literal refuses it", "!secret and a name")
            else:
                self.warnings.append(f"{file.problem(path, _CLEAR_TEXT)}")
