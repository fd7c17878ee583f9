"""Commands for first steps: init, add, templates."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli import cert
from gateway.cli.commands.devices import Accept, CheckHost, OpcUaUser, Security, SecurityMode, login
from gateway.cli.commands.options import DEFAULT_CONFIG, ConfigDir, exit_with


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Made if it is not there.")] = DEFAULT_CONFIG,
    name: Annotated[
        str, typer.Option(show_default="this machine's", help="Name of the gateway: a level of its topics.")
    ] = "",
    broker: Annotated[
        str, typer.Option(metavar="URL", help="mqtt://host:1883, mqtts:// for TLS.")
    ] = "mqtt://localhost:1883",
) -> None:
    """Make a configuration folder with comments, to be filled by `gateway add`. Nothing that is there is changed.

    Exit codes: 0, 2 when there is a gateway.yaml already or the folder cannot be made.
    """
    from gateway.cli.init_folder import init_folder

    exit_with(lambda: init_folder(folder, name, broker))


def add(
    protocol: Annotated[str, typer.Argument(metavar="PROTOCOL", help="modbus or opcua.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="tcp://host:502, rtu:///dev/ttyUSB0, opc.tcp://host:4840 ...")],
    name: Annotated[str, typer.Option(show_default=False, help="Name of the device and of its files.")] = "",
    template: Annotated[
        str,
        typer.Option(metavar="NAME", show_default=False, help="Known device (gateway templates); nothing is searched."),
    ] = "",
    unit: Annotated[
        int | None, typer.Option(min=0, max=255, show_default="the first that answers", help="Modbus: unit id.")
    ] = None,
    until: Annotated[int, typer.Option(min=0, max=65535, help="Modbus: last address to try in each table.")] = 199,
    per_second: Annotated[float, typer.Option(min=0.1, max=1000, help="Modbus: most requests a second.")] = 10.0,
    most: Annotated[int, typer.Option(min=1, metavar="N", help="OPC UA: nodes at most.")] = 10_000,
    security: Security = "auto",
    security_mode: SecurityMode = "SignAndEncrypt",
    username: OpcUaUser = "",
    check_host: CheckHost = True,
    accept: Accept = None,
    pki: cert.Folder = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigDir = DEFAULT_CONFIG,
) -> None:
    """Look at a device, write its file and its tags into the configuration, and read it once.

    It scans or browses, only by reading, and shows the file before it writes it. Files that are there are never changed.

    Exit codes: 0 when written and read, 1 when the device could not be read, 2 when nothing was written.
    """
    from gateway.cli.add_device import NewDevice, add_device

    keys = {} if unit is None else {"unit": unit}
    options: dict[str, Any] = {"unit": unit, "until": until, "per_second": per_second, "timeout": 0.5, "most": most}
    options |= {
        "root": None,
        "include": [],
        "exclude": [],
        "depth": None,
        "type": "",
        "everything": False,
        "members": "instead",
    }
    options |= {"properties": False, "json": False}
    options |= login(security, security_mode, username, check_host, pki) | {"accept": accept or []}
    exit_with(lambda: add_device(config, NewDevice(protocol, url, name, template, keys, yes), options))


def templates(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[show NAME]", show_default=False, help="Print this template instead of the list."),
    ] = None,
    config: ConfigDir = DEFAULT_CONFIG,
) -> None:
    """List the templates of known devices, those that come with the gateway and those in the configuration's templates/.

    Exit codes: 0, 2 when there is no such template.
    """
    from gateway.cli.templates import list_templates, show_template

    words = [word for word in what or [] if word != "show"]
    if len(words) > 1 or (what and not words):
        raise typer.BadParameter("expected no words, or show and the name of one template", param_hint="show NAME")
    exit_with(lambda: show_template(config, words[0]) if words else list_templates(config))
