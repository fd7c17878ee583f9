"""Commands that look at devices: read, scan, discover, browse."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli import cert
from gateway.cli.commands.options import DEFAULT_CONFIG, ConfigDir, exit_with

Security = Annotated[str, typer.Option(help="OPC UA, as in a device file: auto, none, or a policy's name.")]
SecurityMode = Annotated[str, typer.Option(metavar="MODE", help="OPC UA: SignAndEncrypt or Sign.")]
CheckHost = Annotated[
    bool, typer.Option("--check-host/--no-check-host", help="OPC UA: the server's certificate must name the URL's host.")
]
Accept = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FINGERPRINT=OBJECTION,...",
        show_default=False,
        help="OPC UA: objections to one certificate that are accepted, as the refusal names them.",
    ),
]
OpcUaUser = Annotated[
    str, typer.Option("--username", show_default=False, help="OPC UA; the password comes from GATEWAY_OPCUA_PASSWORD.")
]

Root = Annotated[str, typer.Option(metavar="NODE", help="Where to begin: a NodeId or a browse path (/Objects/2:Line).")]
Include = Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="Only variables of these names: Motor*.Speed.")]
Exclude = Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="None of these.")]
OfType = Annotated[
    str, typer.Option("--type", metavar="TYPE", help="Only in objects of this type: MachineToolType, 4:Name, a NodeId.")
]
Members = Annotated[
    str, typer.Option(metavar="WHERE", help="Variables below structures and arrays: instead of these, also, none.")
]


def read(
    what: Annotated[
        str, typer.Argument(metavar="DEVICE|URL", help="A configured device, or tcp://host:502, opc.tcp://host:4840.")
    ],
    tags: Annotated[
        list[str] | None,
        typer.Argument(metavar="TAG...", help="Tags; NodeIds or browse paths with an opc.tcp URL.", show_default="all"),
    ] = None,
    unit: Annotated[int, typer.Option(min=0, max=255, help="Unit id, with a URL.")] = 1,
    address: Annotated[str, typer.Option(help="First register or bit, with a URL: holding:100 or 40101.")] = "holding:0",
    count: Annotated[int, typer.Option(min=1, max=2000, help="How many registers or bits, with a URL.")] = 4,
    timeout: Annotated[
        float | None, typer.Option(min=0.01, max=3600, metavar="SECONDS", show_default="1, 10 for OPC UA, or the device's")
    ] = None,
    identified: Annotated[
        bool, typer.Option("--identify", help="Ask for vendor, product and revision instead (Modbus function 43/14).")
    ] = False,
    security: Security = "auto",
    security_mode: SecurityMode = "SignAndEncrypt",
    username: OpcUaUser = "",
    check_host: CheckHost = True,
    accept: Accept = None,
    pki: cert.Folder = None,
    config: ConfigDir = DEFAULT_CONFIG,
) -> None:
    """Read once and show what comes: raw words and every sensible decoding side by side, or tags as they are configured.

    Where nobody answers at a Modbus device's url, its backup is asked.

    Exit codes: 0, 1 when something could not be read, 2 when the question or the configuration cannot be used.
    """
    from gateway.cli.read import identify, read_tags, read_url
    from gateway.cli.reports import is_url

    if identified:
        exit_with(lambda: identify(config, what, {"unit": unit, "timeout": timeout}))
    if is_url(what):
        options: dict[str, Any] = {"unit": unit, "address": address, "count": count, "timeout": timeout}
        options |= login(security, security_mode, username, check_host, pki) | {"accept": accept or []}
        exit_with(lambda: read_url(what, tags or [], options))
    if not config.is_dir() and (":" in what or "." in what):
        raise typer.BadParameter(f"{what} is no configured device; an address is tcp://{what}", param_hint="DEVICE|URL")
    exit_with(lambda: read_tags(config, what, tags or [], timeout))


def scan(
    what: Annotated[
        str,
        typer.Argument(
            metavar="URL|DEVICE", help="tcp://host:502, rtu:///dev/ttyUSB0?baudrate=19200 ..., or a configured device."
        ),
    ],
    first: Annotated[
        int | None, typer.Option(min=1, max=255, show_default="1, or the device's", help="First unit id.")
    ] = None,
    last: Annotated[
        int | None, typer.Option(min=1, max=255, show_default="247, or the device's", help="Last unit id.")
    ] = None,
    until: Annotated[int, typer.Option(min=0, max=65535, help="Last address to try in each table.")] = 999,
    per_second: Annotated[float, typer.Option(min=0.1, max=1000, help="Most requests a second.")] = 10.0,
    timeout: Annotated[float, typer.Option(min=0.01, max=3600, metavar="SECONDS", help="Wait for each reply.")] = 0.5,
    config: ConfigDir = DEFAULT_CONFIG,
) -> None:
    """Find the Modbus units that answer and the addresses that can be read, slowly and only by reading.

    Some devices act when registers are read: ask whoever runs the plant. Ctrl-C ends it with what was found so far. Where
    nobody answers at a configured device's url, its backup is asked.

    Exit codes: 0 when a unit answered, 1 when none did, 2 when the question or the configuration cannot be used.
    """
    from gateway.cli.scan import scan as run_scan

    options = {"first": first, "last": last, "until": until, "per_second": per_second, "timeout": timeout}
    exit_with(lambda: run_scan(what, config, options))


def discover(url: Annotated[str, typer.Argument(metavar="URL", help="opc.tcp://host or opc.tcp://host:4840.")]) -> None:
    """List an OPC UA server's endpoints: policies, modes, logins, certificates. Exit code 1 when it does not answer."""
    from gateway.cli.browse import discover as run_discover

    exit_with(lambda: run_discover(url))


def browse(
    what: Annotated[
        str, typer.Argument(metavar="URL|DEVICE", help="opc.tcp://host:4840, or a configured device with browse:.")
    ],
    root: Root = "i=85",
    include: Include = None,
    exclude: Exclude = None,
    depth: Annotated[int, typer.Option(min=1, max=32, metavar="N", help="Levels below the root.")] = 32,
    of_type: OfType = "",
    members: Members = "instead",
    properties: Annotated[bool, typer.Option("--properties", help="Properties of variables, too.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="A tag file of all numeric variables, for config/tags/.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The tree as one JSON object per node.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="With --csv also texts, dates, arrays and structures.")] = False,
    most: Annotated[int, typer.Option(min=1, metavar="N", help="Nodes at most.")] = 10_000,
    security: Security = "auto",
    security_mode: SecurityMode = "SignAndEncrypt",
    username: OpcUaUser = "",
    check_host: CheckHost = True,
    accept: Accept = None,
    pki: cert.Folder = None,
    config: ConfigDir = DEFAULT_CONFIG,
) -> None:
    """Show what an OPC UA server has: a tree with types, values, units and descriptions, or with --csv a tag file.

    What the tag file leaves out is counted and named beside it.

    Of a configured device: find its tags anew now, as each start of the gateway does, and say what has changed.

    Exit codes: 0 when all of it was shown, 1 when the server cannot be reached or has more than --most nodes, 2 when an
    option is wrong.
    """
    from gateway.cli.browse import browse as run_browse
    from gateway.cli.browse import discover_tags
    from gateway.cli.reports import is_url

    if not is_url(what):
        exit_with(lambda: discover_tags(config, what))
    options: dict[str, Any] = {"root": root, "include": include, "exclude": exclude, "depth": depth, "type": of_type}
    if csv and json:
        raise typer.BadParameter("writes a tag file, and --json nodes: choose one", param_hint="--csv")
    options |= {"csv": csv, "json": json, "everything": everything, "most": most}
    options |= {"members": members, "properties": properties}
    options |= login(security, security_mode, username, check_host, pki) | {"accept": accept or []}
    exit_with(lambda: run_browse(what, options))


def login(security: str, mode: str, username: str, check_host: bool, pki: Path | None) -> dict[str, Any]:
    """Return the options of a login by their names."""
    return {"security": security, "security_mode": mode, "username": username, "check_host": check_host, "pki": pki}
