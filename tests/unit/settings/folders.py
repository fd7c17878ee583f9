"""Configuration folders made in a temporary place."""

from pathlib import Path

import pytest

from gateway.core.errors import ConfigError, Problem
from gateway.settings import load

ROOT = "name: press-1\n"
PRESS = "protocol: modbus\nurl: tcp://10.0.0.5\ntag_file: press.csv\n"
LINE = "protocol: opcua\nurl: opc.tcp://10.0.0.6:4840\ntags:\n  - {name: speed, node: ns=2;s=Speed}\n"
CSV = "name,address,type,unit\noil_temp,holding:0,float32,°C\npressure,holding:2,float32,bar\n"


def write(folder: Path, files: dict[str, str | bytes | None] | None = None) -> Path:
    """A valid folder with two devices, with some files replaced, added or (None) left out."""
    whole: dict[str, str | bytes | None] = {
        "gateway.yaml": ROOT, "devices/press.yaml": PRESS, "devices/line.yaml": LINE, "tags/press.csv": CSV,
    }  # fmt: skip
    for name, content in (whole | (files or {})).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def problems_of(folder: Path) -> list[Problem]:
    """Every problem of a folder that cannot be used, files named relative to it."""
    with pytest.raises(ConfigError) as caught:
        load(folder)
    prefix = f"{folder}/"
    return [Problem(p.file.removeprefix(prefix), p.line, p.key, p.message, p.expected) for p in caught.value.problems]


def places_of(folder: Path) -> list[tuple[str, int, str]]:
    """(file, line, key) of every problem."""
    return [(p.file, p.line, p.key) for p in problems_of(folder)]
