"""What one pass over a configuration folder finds beside its models: problems, warnings, and which files there are."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from gateway.core.errors import Problem
from gateway.settings.environment import Environment
from gateway.settings.error_text import note_validation
from gateway.settings.source_files import Document, KeyPath, read_yaml
from gateway.stages.detector_choice import DetectorChoice


class Findings:
    """What one pass over a configuration folder has found so far.

    Attributes:
        problems: Faults, with file and line.
        warnings: Sentences that begin with their place.
        read: Every file that was read, for the configuration's hash.
        valid_detectors: Detector settings that have been checked and found right.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = Environment()
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.read: list[Path] = []
        self.valid_detectors: set[DetectorChoice] = set()

    def yaml(self, path: Path) -> Document:
        """Read a YAML file of the configuration; its problems stay with it."""
        self.read.append(path)
        return read_yaml(path, str(path))

    def files(self, place: Path) -> list[Path]:
        """Return the files in a folder, without hidden ones; none where there is no folder."""
        try:
            return sorted(path for path in place.iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            self.problems.append(Problem(str(place), 0, "", f"cannot be read: {error.strerror}", "a folder"))
            return []

    def validated(
        self,
        document: Document,
        model: type[BaseModel],
        value: Any,
        path: KeyPath,
        extra_keys: tuple[str, ...] = (),
        prefix: str = "",
        file_value: Any = None,
    ) -> Any:
        """Return the model of what stands at a key path; None when it is wrong, and the document has the problem.

        extra_keys: known beside the model's. prefix: of the variables that may have set it. file_value: what the file says
        without these.
        """
        try:
            return model.model_validate(value)
        except ValidationError as error:

            def below(where: KeyPath) -> str:
                return self.environment.below(where, prefix) if prefix else ""

            note_validation(document, error, model, path, extra_keys, below, lambda: model.model_validate(file_value))
        except OverflowError:
            document.add(path, "holds a number beyond all measure")
        return None
