"""All commands, with what they say of themselves. Their work is imported only when they are called."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from gateway import __version__
from gateway.cli import cert
from gateway.cli.logs import LogFormat, LogLevel

app = typer.Typer(
    name="gateway",
    help="Field devices in, honest one-second windows out over MQTT.\n\n"
    "Start with [bold]gateway demo[/bold]; then copy the config folder, edit it, [bold]gateway check[/bold] it and "
    "[bold]gateway run[/bold] it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(cert.app, name="cert")

ConfigDir = Annotated[
    Path,
    typer.Option(
        "--config", "-c", envvar="GATEWAY_CONFIG", metavar="DIR", help="Folder with gateway.yaml, devices/ and tags/."
    ),
]
DEFAULT_CONFIG = Path("config")

Security = Annotated[str, typer.Option(help="OPC UA, as in a device file: auto, none, or a policy's name.")]
SecurityMode = Annotated[str, typer.Option(metavar="MODE", help="OPC UA: SignAndEncrypt or Sign.")]
CheckHost = Annotated[
    bool, typer.Option("--check-host/--no-check-host", help="OPC UA: the server's certificate must name the URL's host.")
]
OpcUaUser = Annotated[
    str, typer.Option("--username", show_default=False, help="OPC UA; the password comes from GATEWAY_OPCUA_PASSWORD.")
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gateway {__version__}")
        raise typer.Exit


def _print(work: Callable[[], int]) -> NoReturn:
    """Do what is nothing but printing, and end with its exit code."""
    from gateway.cli.output import printing

    with printing():
        code = work()
    raise typer.Exit(code)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    config: ConfigDir = DEFAULT_CONFIG,
    log_level: Annotated[LogLevel, typer.Option(help="Least important message to log.")] = LogLevel.info,
    log_format: Annotated[
        LogFormat, typer.Option(help="auto: colours on a terminal, key=value elsewhere.")
    ] = LogFormat.auto,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    Exit codes: 0 after an orderly stop, 2 when the configuration cannot be used, 1 for anything unexpected.
    """
    from gateway.cli.run import run_gateway

    raise typer.Exit(run_gateway(config, log_level, log_format))


@app.command()
def check(config: ConfigDir = DEFAULT_CONFIG) -> None:
    """Check a configuration without touching a device; print what would be read and published.

    Exit codes: 0 when it can be used, 2 when not; then every problem is listed with file, line and key.
    """
    from gateway.cli.check import check_config

    _print(lambda: check_config(config))


@app.command()
def plan(
    config: ConfigDir = DEFAULT_CONFIG,
    answer_ms: Annotated[
        float, typer.Option(min=0, metavar="MS", help="How long a device takes to begin its reply, for the estimate.")
    ] = 10.0,
) -> None:
    """Print the Modbus requests of a configuration: their spans, fill and rate, and how busy each connection will be.

    Exit codes: 0, or 2 when the configuration cannot be used.
    """
    from gateway.cli.plan import print_plan

    _print(lambda: print_plan(config, answer_ms / 1e3))


@app.command()
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
        float | None, typer.Option(min=0.01, metavar="SECONDS", show_default="1, 10 for OPC UA, or the device's")
    ] = None,
    security: Security = "auto",
    security_mode: SecurityMode = "SignAndEncrypt",
    username: OpcUaUser = "",
    check_host: CheckHost = True,
    pki: cert.Folder = cert.DEFAULT,
    config: ConfigDir = DEFAULT_CONFIG,
) -> None:
    """Read once and show what comes: raw words and every sensible decoding side by side, or tags as they are configured.

    gateway read tcp://192.168.0.10 --unit 1 --address holding:100 --count 4

    gateway read press oil_temperature running

    gateway read opc.tcp://192.168.0.11 "ns=2;s=Line.Speed" --security none

    Exit codes: 0, 1 when something could not be read, 2 when the question or the configuration cannot be used.
    """
    from gateway.cli.read import read_address, read_tags

    if what.startswith("opc.tcp:"):  # each of these ends the command
        from gateway.cli.opcua import device, nodes, read_opcua

        server = device(
            what, **_login(security, security_mode, username, check_host, pki), timeout=timeout and f"{timeout:.3f}s"
        )
        if not tags:
            raise typer.BadParameter('expected NodeIds or browse paths, such as "ns=2;s=Line.Speed"', param_hint="TAG...")
        _print(lambda: read_opcua(server, nodes(tags)))
    if "://" in what:
        _print(lambda: read_address(what, unit, address, count, 1.0 if timeout is None else timeout))
    if not config.is_dir() and (":" in what or "." in what):
        raise typer.BadParameter(f"{what} is no configured device; an address is tcp://{what}", param_hint="DEVICE|URL")
    _print(lambda: read_tags(config, what, tags or [], timeout))


@app.command()
def scan(
    url: Annotated[str, typer.Argument(metavar="URL", help="tcp://host:502, rtu:///dev/ttyUSB0?baudrate=19200 ...")],
    first: Annotated[int, typer.Option(min=1, max=255, help="First unit id.")] = 1,
    last: Annotated[int, typer.Option(min=1, max=255, help="Last unit id.")] = 247,
    until: Annotated[int, typer.Option(min=0, max=65535, help="Last address to try in each table.")] = 999,
    per_second: Annotated[float, typer.Option(min=0.1, max=1000, help="Most requests a second.")] = 10.0,
    timeout: Annotated[float, typer.Option(min=0.01, metavar="SECONDS", help="Wait for each reply.")] = 0.5,
) -> None:
    """Find the Modbus units that answer and the addresses that can be read, slowly and only by reading.

    Some devices act when registers are read: ask whoever runs the plant. Ctrl-C ends it with what was found so far.
    Exit codes: 0 when a unit answered, 1 when none did, 2 when the URL is wrong.
    """
    from gateway.cli.scan import scan as run_scan

    _print(lambda: run_scan(url, (first, last), until, per_second, timeout))


@app.command()
def schema(
    messages: Annotated[
        bool, typer.Option("--messages", help="Of the MQTT payloads instead, for those who read them.")
    ] = False,
) -> None:
    """Print the JSON Schema of the configuration, for editors that complete and check while you type."""
    from gateway.cli.schema import print_schema

    _print(lambda: print_schema(messages))


@app.command()
def demo(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="DIR",
            show_default="the shipped example",
            help="Folder with gateway.yaml, devices/ and tags/. Its devices are simulated.",
        ),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=1, metavar="N", show_default=False, help="End after N seconds and judge the run.")
    ] = None,
) -> None:
    """Run everything on this machine, nothing else needed: broker, simulated devices, gateway, subscriber.

    Exit codes: 0 when it ended well, 1 when not, and it says why; 2 when the configuration cannot be used. With --seconds
    a good end means: windows of every device, an alarm or anomaly (from 60 s on), and no sequence number missing.
    """
    from gateway.cli.demo import run_demo

    raise typer.Exit(run_demo(config, seconds))


@app.command()
def discover(url: Annotated[str, typer.Argument(metavar="URL", help="opc.tcp://host or opc.tcp://host:4840.")]) -> None:
    """List an OPC UA server's endpoints: policies, modes, logins, certificates. Exit code 1 when it does not answer."""
    from gateway.cli.opcua import discover as run_discover

    _print(lambda: run_discover(url))


@app.command()
def browse(
    what: Annotated[
        str, typer.Argument(metavar="URL|DEVICE", help="opc.tcp://host:4840, or a configured device with browse:.")
    ],
    root: Annotated[
        str, typer.Option(metavar="NODE", help="Where to begin: a NodeId, or a browse path such as /Objects/2:Line.")
    ] = "i=85",
    include: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Only variables of these names: Motor*.Speed.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="None of these.")] = None,
    depth: Annotated[int, typer.Option(min=1, max=32, metavar="N", help="Levels below the root.")] = 32,
    of_type: Annotated[str, typer.Option("--type", metavar="NODE", help="Only in objects of this type.")] = "",
    csv: Annotated[bool, typer.Option("--csv", help="A tag file of all numeric variables, for config/tags/.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="With --csv also texts, dates, arrays and structures.")] = False,
    most: Annotated[int, typer.Option(min=1, metavar="N", help="Nodes at most.")] = 10_000,
    security: Security = "auto",
    security_mode: SecurityMode = "SignAndEncrypt",
    username: OpcUaUser = "",
    check_host: CheckHost = True,
    pki: cert.Folder = cert.DEFAULT,
    config: ConfigDir = DEFAULT_CONFIG,
) -> None:
    """Show what an OPC UA server has: a tree with types, values and units, or with --csv a tag file; what this leaves out is
    counted and named beside it.

    Of a configured device: find its tags anew now, as each start of the gateway does, and say what has changed.

    Exit codes: 0 when all of it was shown, 1 when the server cannot be reached or has more than --most nodes, 2 when an
    option is wrong.
    """
    from gateway.cli.opcua import browse as run_browse
    from gateway.cli.opcua import device, entry, find

    if "://" not in what:
        _print(lambda: find(config, what))
    values = "all" if everything else "numbers"
    wanted = entry(root=root, include=include, exclude=exclude, depth=depth, type=of_type, values=values)
    server = device(what, **_login(security, security_mode, username, check_host, pki))
    _print(lambda: run_browse(server, wanted, most, as_csv=csv))


def _login(security: str, mode: str, username: str, check_host: bool, pki: Path) -> dict[str, str | bool | None]:
    password = os.environ.get("GATEWAY_OPCUA_PASSWORD") if username else None
    if username and password is None:
        raise typer.BadParameter("there is no password: set GATEWAY_OPCUA_PASSWORD", param_hint="--username")
    keys = {"security": security, "security_mode": mode, "username": username, "password": password, "pki": str(pki)}
    return keys | {"check_host": None if check_host else False}


@app.command()
def tail(
    broker: Annotated[
        str, typer.Option(metavar="URL", help="mqtt://host:1883, or mqtts://host:8883 for TLS.")
    ] = "mqtt://127.0.0.1:1883",
    root: Annotated[str, typer.Option(help="First level or levels of the topics.")] = "plant",
    topic: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILTER",
            show_default="ROOT/v1/#",
            help="Follow this instead, may stand several times: your own topics of layout tag, or spBv1.0/GROUP/#.",
        ),
    ] = None,
    username: Annotated[
        str, typer.Option(show_default=False, help="User name at the broker; the password comes from GATEWAY_MQTT_PASSWORD.")
    ] = "",
    ca: Annotated[
        str,
        typer.Option(metavar="FILE", show_default="those of the system", help="PEM file of the CA to trust, for mqtts://."),
    ] = "",
    mqtt: Annotated[str, typer.Option(metavar="VERSION", help="MQTT version: 5 or 3.1.1.")] = "5",
    seconds: Annotated[
        float | None, typer.Option(min=0, metavar="N", show_default=False, help="End after N seconds.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object per message; the proof goes to standard error.")
    ] = False,
) -> None:
    """Print live what gateways publish; at the end prove that no message is missing and none came twice.

    Exit codes: 0 when every sequence number is there or declared lost, 1 when not or when none came, 2 when the broker
    cannot be reached or an option is wrong.
    """
    from gateway.cli.tail import TailOptions, run_tail

    options = TailOptions(
        broker=broker,
        root=root,
        topics=tuple(topic or ()),
        username=username,
        ca=ca,
        version=mqtt,
        seconds=seconds,
        json=json,
    )
    raise typer.Exit(run_tail(options))


outbox = typer.Typer(help="Look into an outbox, whether its gateway runs or not. Nothing is changed.", no_args_is_help=True)
app.add_typer(outbox, name="outbox")
OutboxKey = Annotated[
    str, typer.Option(metavar="KEY", envvar="GATEWAY__OUTBOX__KEY_FILE", show_default=False, help="As outbox.key_file.")
]
OutboxFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="The database, or the configuration folder that names it (and its key).")
]


@outbox.command("stats")
def outbox_stats(
    file: OutboxFile, json: Annotated[bool, typer.Option("--json", help="For machines.")] = False, key_file: OutboxKey = ""
) -> None:
    """Print what waits, by lane, how old it is, and the losses not yet announced. Exit code 2 when it cannot be read."""
    from gateway.cli.outbox import stats

    _print(lambda: stats(file, key_file, json))


@outbox.command("export")
def outbox_export(
    file: OutboxFile,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A new file of JSON lines; - is standard output.")],
    key_file: OutboxKey = "",
) -> None:
    """Write all that waits as JSON lines. Exit codes: 0, 1 when some rows are unreadable, 2 when the file or target is."""
    from gateway.cli.outbox import export

    _print(lambda: export(file, target, key_file))


@outbox.command("verify")
def outbox_verify(file: OutboxFile, key_file: OutboxKey = "") -> None:
    """Check every row, and of each boot and topic that nothing is both there and declared lost; say where holes are.

    Exit codes: 0 when whole, 1 when not, 2 when the file cannot be read.
    """
    from gateway.cli.outbox import verify

    _print(lambda: verify(file, key_file))


@outbox.command("peek")
def outbox_peek(
    file: OutboxFile,
    count: Annotated[int, typer.Option("--count", "-n", min=1, metavar="N", help="So many of each topic.")] = 1,
    whole: Annotated[bool, typer.Option("--whole", help="Do not cut long payloads.")] = False,
    key_file: OutboxKey = "",
) -> None:
    """Show the newest messages of each topic. Exit code 2 when the file cannot be read."""
    from gateway.cli.outbox import peek

    _print(lambda: peek(file, count, whole, key_file))
