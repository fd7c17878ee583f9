"""`gateway.yaml`."""

from contextlib import suppress
from typing import Any, Final

from pydantic import ValidationError
from pydantic_settings import SettingsError

from gateway.core.errors import Problem
from gateway.settings.detectors import check_detectors
from gateway.settings.error_text import add_validation_errors, unknown_key
from gateway.settings.model import ENV_PREFIX, FileRoot, Root
from gateway.settings.problem_collector import ProblemCollector
from gateway.settings.secrets import references_in, with_secrets
from gateway.settings.secrets_config import SecretsConfig
from gateway.settings.source_files import SourceFile

_LIST: Final = "sinks"
_NO_LIST: Final = ("is not a list", "a line for each sink: - {name: cloud, kind: mqtt, url: ...}")
_NO_MAPPING: Final = ("is not a mapping", "keys below it, each as key: value")


def read_root(collector: ProblemCollector) -> tuple[SourceFile, Root | None]:
    """Read `gateway.yaml`. Returns the file and its model, which is None where the file has problems."""
    path = collector.folder / "gateway.yaml"
    file = collector.yaml(path)
    if not path.exists() and path.with_suffix(".yml").exists():
        file.problems = [file.problem((), "no such file", "gateway.yml to be called so")]
    file.variable = lambda path: collector.environment.variable(file, path)
    root = None
    value = {} if file.value is None and not file.problems else file.value
    if isinstance(value, dict):
        _configure_secrets(collector, file, value)
        root = _validate(collector, file, value)
    elif not file.problems:
        file.add((), "is not a mapping", "keys such as name:, mqtt:, outbox:")
    collector.problems += file.problems
    return file, root if not file.problems else None


def _configure_secrets(collector: ProblemCollector, file: SourceFile, value: dict[str, Any]) -> None:
    """Let secrets be looked for as the section says, before anything else is read; its faults are found with all others."""
    section = value.get("secrets") if isinstance(value.get("secrets"), dict) else {}
    prefix = f"{ENV_PREFIX}SECRETS__"
    given = {
        name.removeprefix(prefix).lower(): text for name, text in collector.environment.values.items() if prefix in name
    }
    with suppress(ValidationError):
        collector.secrets.config = SecretsConfig.model_validate((section or {}) | given)
    collector.check_literals(file, value)
    named = references_in(value)
    collector.secrets.used = [one for one in named if file.variable(one.key_path) is None]


def _validate(collector: ProblemCollector, file: SourceFile, value: dict[str, Any]) -> Root | None:
    # Root takes options of its own beside its fields (_env_file ...): only fields may reach it.
    fields: dict[str, Any] = {}
    for key, one in value.items():
        if file.is_full:
            return None
        if key not in Root.model_fields:
            file.add((key,), *unknown_key(key, list(Root.model_fields)))
        elif key != "name" and one is None:
            continue  # a section of which every line is commented out
        elif key != "name" and not isinstance(one, list if key == _LIST else dict):
            # A variable below this key would replace the file's value and hide that it is wrong.
            file.add((key,), *(_NO_LIST if key == _LIST else _NO_MAPPING))
        else:
            fields[key] = one
    if any(references_in(fields)):
        fields = with_secrets(lambda given: Root(**given), fields, drop_missing=collector.drops_missing)
    try:
        root = Root(**fields)
    except ValidationError as error:
        add_validation_errors(file, error, Root, below=collector.environment.below, alone=lambda: FileRoot(**fields))
    except SettingsError as error:
        file.problems.append(collector.environment.unreadable(error))
    except RecursionError:
        file.problems.append(Problem("environment", 0, ENV_PREFIX + "...", "a variable is nested too deeply"))
    except OverflowError:
        file.add((), "holds a number beyond all measure")
    else:
        check_detectors(collector, file, root.defaults, ("defaults",))
        return root
    return None
