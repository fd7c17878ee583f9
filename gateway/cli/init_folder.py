"""`gateway init`: a configuration folder to begin with."""

import os
import re
import socket
from pathlib import Path
from typing import Final

import orjson

from gateway.cli.output import say
from gateway.cli.problems import EXIT_CONFIG
from gateway.core.foreign_text import LONGEST_TEXT, clean
from gateway.settings import device_schema, schema
from gateway.settings.template_schema import template_schema

_OF_SERVICE: Final = "/var/lib/gateway/outbox.db"

_ROOT: Final = """\
# yaml-language-server: $schema=gateway.schema.json
# One gateway: who it is, where it sends, how it stores. Devices are in devices/, one file each: `gateway add` writes them.
# After every change: gateway check --config {folder}
# Every key: docs/reference/configuration.md, or complete and check while you type with an editor that knows the line above.

name: {name}

mqtt:
  url: {broker}    # mqtts://host:8883 for TLS, wss://host/mqtt for WebSocket
  # username: gateway
  # password: !secret broker     # the file secrets/broker, a systemd credential, or the variable GATEWAY_SECRET_BROKER

outbox:                          # every message waits on disk until the broker has it
  path: {outbox}
  max_bytes: 512MiB              # when full, the least valuable oldest messages go, and a loss record says which
  max_age: 7d

# window: {{length: 1s}}           # min, max, mean ... of every tag over each second
# publish: {{windows: changed, layout: device, format: json}}
# defaults: {{max_silence: 60s, hysteresis: 1%}}

secrets:
  literal: refuse                # no passwords in clear text in these files; allow or warn permit them
"""

_DEVICES: Final = """\
One file for each device: NAME.yaml. `gateway add modbus tcp://HOST` or `gateway add opcua opc.tcp://HOST` looks at a
device and writes its file; `gateway templates` lists devices whose registers are known.
"""


def init_folder(folder: Path, name: str, broker: str) -> int:
    """Make a configuration folder with comments; an existing file is never changed. Returns the exit code."""
    shown = clean(folder, LONGEST_TEXT)
    if (folder / "gateway.yaml").exists() or (folder / "gateway.yml").exists():
        say(f"{shown}: there is a gateway.yaml already; nothing was changed", err=True)
        return EXIT_CONFIG
    outbox = _OF_SERVICE if os.geteuid() == 0 else "outbox.db"
    text = _ROOT.format(folder=shown, name=_quoted(name or _host_name()), broker=_quoted(broker), outbox=outbox)
    files = {
        "gateway.yaml": text,
        "gateway.schema.json": orjson.dumps(schema(), option=orjson.OPT_INDENT_2).decode() + "\n",
        "templates/template.schema.json": orjson.dumps(template_schema(), option=orjson.OPT_INDENT_2).decode() + "\n",
        "device.schema.json": orjson.dumps(device_schema(), option=orjson.OPT_INDENT_2).decode() + "\n",
        "devices/README": _DEVICES,
        ".gitignore": "secrets/\noutbox.db*\n",
    }
    try:
        for place in ("devices", "tags", "templates"):
            (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / "secrets").mkdir(mode=0o700, exist_ok=True)
        for file, content in files.items():
            if not (folder / file).exists():
                (folder / file).write_text(content, "utf-8")
                say(f"made {clean(folder / file, LONGEST_TEXT)}")
    except OSError as error:
        say(f"{clean(error.filename or folder, LONGEST_TEXT)}: cannot be made: {error.strerror}", err=True)
        return EXIT_CONFIG
    say(f"next: gateway add modbus tcp://HOST --config {shown}, or gateway add opcua opc.tcp://HOST --config {shown}")
    return 0


def _host_name() -> str:
    """Return this machine's name as one level of a topic."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname().partition(".")[0]).strip("-.") or "gateway"


def _quoted(text: str) -> str:
    """Return a text as a value of YAML."""
    return text if re.fullmatch(r"[A-Za-z][A-Za-z0-9_./:-]*[A-Za-z0-9]", text) else orjson.dumps(text).decode()
