"""YAML files, read with a ceiling for everything that somebody can make large."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from gateway.settings import ceilings
from gateway.settings.secrets import SecretReference, SecretStore, is_secret_name
from gateway.settings.source_files import KeyPath, SourceFile, is_secret, read_text

_LONGEST_VALUE = 60
_NUMBER_TAGS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "timestamp", "bool"))
_SECRET = "!secret"  # noqa: S105 - a tag of YAML
_FAST_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_IN_TABLES = "many tags in files of tags/"
_DIRECTIVE = re.compile(r"^%TAG", re.MULTILINE)
_SCALAR_ERRORS = (yaml.YAMLError, ValueError, OverflowError, LookupError, AttributeError, TypeError)
"""What PyYAML raises on a scalar whose text does not fit its tag: `!!int ""`, `!!bool maybe`, `!!timestamp x`."""


class _TooLargeError(Exception):
    """The content is nested too deeply, or aliases make it explode; carries a YAML mark's line, 0-based."""

    def __init__(self, message: str, line: int, expected: str = "") -> None:
        self.line = line
        self.expected = expected
        super().__init__(message)


class _Scalars(yaml.SafeLoader):
    """Makes values of scalars."""

    def __init__(self, secrets: SecretStore) -> None:
        super().__init__("")
        self.secrets = secrets


def _yaml_hint(error: yaml.MarkedYAMLError) -> str:
    context = error.context or ""
    if "flow" in context:
        return "a text with # , : { } [ ] in quotes, and every bracket closed"
    if "mapping values" in (error.problem or ""):
        return "keys of one level to begin in the same column, and a text with a colon in quotes"
    return "keys of one level to begin in the same column" if "block mapping" in context else ""


def read_yaml(path: Path, shown: str, secrets: SecretStore | None = None) -> SourceFile:
    """Read a YAML file. A key that stands twice is a problem, not a silent choice.

    shown: its name in problems. secrets: where `!secret` is looked for.
    """
    file = SourceFile(shown)
    text = read_text(file, path, ceilings.YAML_BYTES)
    if text is None:
        return file
    try:
        _check_size(text)
        node = yaml.compose(text, Loader=_FAST_LOADER)
        file.lines[()] = 1
        if node is not None:
            file.value = _plain_value(file, node, (), _Scalars(secrets or SecretStore()))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        file.lines[()] = mark.line + 1 if mark else 0
        line = text.splitlines()[mark.line : mark.line + 1] if mark else []
        hint = "spaces: the line begins with a tab" if line and line[0].lstrip(" ").startswith("\t") else _yaml_hint(error)
        begun = f", {error.context} that begins in line {error.context_mark.line + 1}" if error.context_mark else ""
        file.add((), f"is not valid YAML: {error.problem or error.context}{begun}", hint)
    except yaml.reader.ReaderError as error:
        found = yaml.reader.Reader.NON_PRINTABLE.search(text)
        file.lines[()] = text.count("\n", 0, found.start()) + 1 if found else 0
        file.add((), f"is not valid YAML: the character U+{int(error.character):04X}", "printable text")
    except (yaml.YAMLError, ValueError) as error:
        file.add((), f"is not valid YAML: {str(error).splitlines()[0]}")
    except _TooLargeError as error:
        file.lines = {(): error.line + 1}
        file.add((), str(error), error.expected)
    return file


def _check_size(text: str) -> None:
    """Raise _TooLargeError for deep nesting and very many values, before the tree is made.

    Composing recurses in C without a limit, and would end the process.
    """
    if len(directives := [*_DIRECTIVE.finditer(text)]) > ceilings.TAG_DIRECTIVES:
        raise _TooLargeError("has too many lines %TAG", text.count("\n", 0, directives[-1].start()))
    depth = nodes = 0
    for event in yaml.parse(text, Loader=_FAST_LOADER):
        line = event.start_mark.line if event.start_mark else 0
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
            if nodes > 2 * ceilings.VALUES:  # keys and values
                raise _TooLargeError(f"has more than {ceilings.VALUES} values", line, _IN_TABLES)
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > ceilings.TEXT_CHARACTERS:
            expected = f"at most {ceilings.TEXT_CHARACTERS}"
            raise _TooLargeError(f"holds a text or number of {len(event.value)} characters", line, expected)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > ceilings.DEPTH:
                raise _TooLargeError("is nested too deeply", line)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _plain_value(file: SourceFile, node: yaml.Node, path: KeyPath, scalars: _Scalars) -> Any:
    file.lines.setdefault(path, node.start_mark.line + 1)
    if len(path) > ceilings.DEPTH or len(file.lines) > ceilings.VALUES:
        message = "repeats itself through aliases or is far too large"
        raise _TooLargeError(message, node.start_mark.line, f"at most {ceilings.VALUES} values; {_IN_TABLES}")
    if node.tag == _SECRET:
        return _secret(file, node, path, scalars.secrets)
    if isinstance(node, yaml.MappingNode):
        return _mapping(file, node, path, scalars)
    if isinstance(node, yaml.SequenceNode):
        return [_plain_value(file, item, (*path, i), scalars) for i, item in enumerate(node.value)]
    if node.tag in _NUMBER_TAGS and len(node.value) > ceilings.NUMBER_CHARACTERS:
        file.unreadable.add(path)
        file.add(path, f"is a number of {len(node.value)} characters", f"at most {ceilings.NUMBER_CHARACTERS}")
        return None
    try:
        return scalars.construct_object(node)
    except _SCALAR_ERRORS as error:
        shown = "the value" if is_secret(path) else repr(node.value[:_LONGEST_VALUE])
        problem = None if is_secret(path) else getattr(error, "problem", None)
        reason = problem or f"{shown} does not fit {node.tag.rpartition(':')[2]}"
        file.unreadable.add(path)
        file.add(path, f"cannot be understood: {reason}")
        return None


def _secret(file: SourceFile, node: yaml.Node, path: KeyPath, secrets: SecretStore) -> SecretReference | None:
    name = node.value if isinstance(node, yaml.ScalarNode) else ""
    if is_secret_name(name):
        return SecretReference(name, secrets, (file.name, node.start_mark.line + 1, path))
    file.unreadable.add(path)
    file.add(path, "has no name of a secret behind !secret", "letters, digits, . - _: !secret broker-password")
    return None


def _mapping(file: SourceFile, node: yaml.MappingNode, path: KeyPath, scalars: _Scalars) -> dict[str, Any]:
    value: dict[str, Any] = {}
    if len(node.value) > ceilings.KEYS:
        file.unreadable.add(path)
        file.add(path, f"has {len(node.value)} keys", f"at most {ceilings.KEYS}")
        return value
    for key_node, item in node.value:
        key: Hashable = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
        here = (*path, str(key))
        line = key_node.start_mark.line + 1
        if key is None:
            file.add(path, f"line {line}: a key must be plain text")
        elif len(str(key)) > ceilings.KEY_CHARACTERS:
            file.add(path, f"line {line}: a key has {len(str(key))} characters", f"at most {ceilings.KEY_CHARACTERS}")
        elif key in value:
            first = file.lines[here]
            file.lines[here] = line
            file.add(here, f"stands twice, first in line {first}")
        else:
            file.lines[here] = line
            value[str(key)] = _plain_value(file, item, here, scalars)
    return value
