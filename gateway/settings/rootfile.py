"""`gateway.yaml`."""

from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from gateway.core.errors import Problem
from gateway.settings.detectors import check_detectors
from gateway.settings.error_text import note_validation, unknown_key
from gateway.settings.model import ENV_PREFIX, FileRoot, Root
from gateway.settings.problem_collector import Findings
from gateway.settings.source_files import Document


def read_root(found: Findings) -> tuple[Document, Root | None]:
    """Read the file. Returns it and its model, None when it cannot be used."""
    path = found.folder / "gateway.yaml"
    document = found.yaml(path)
    if not path.exists() and path.with_suffix(".yml").exists():
        document.problems = [document.problem((), "no such file", "gateway.yml to be called so")]
    document.variable = lambda path: found.environment.variable(document, path)
    root = None
    value = {} if document.value is None and not document.problems else document.value
    if isinstance(value, dict):
        root = _validated(found, document, value)
    elif not document.problems:
        document.add((), "is not a mapping", "keys such as name:, mqtt:, outbox:")
    found.problems += document.problems
    return document, root if not document.problems else None


def _validated(found: Findings, document: Document, value: dict[str, Any]) -> Root | None:
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
        root = Root(**fields)
    except ValidationError as error:
        note_validation(document, error, Root, below=found.environment.below, alone=lambda: FileRoot(**fields))
    except SettingsError as error:
        document.problems.append(found.environment.unreadable(error))
    except RecursionError:
        document.problems.append(Problem("environment", 0, ENV_PREFIX + "...", "a variable is nested too deeply"))
    except OverflowError:
        document.add((), "holds a number beyond all measure")
    else:
        check_detectors(found, document, root.defaults, ("defaults",))
        return root
    return None
