"""Examples at the end of each command's `--help`."""

from typing import Final

EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "demo": ("gateway demo --seconds 90",),
    "check": ("gateway check --config myplant",),
    "run": ("gateway run --config myplant",),
    "reload": ("gateway reload --config myplant", "gateway reload --dry-run --config myplant"),
    "purge": ("gateway purge --config myplant",),
    "log-level": ("gateway log-level", "gateway log-level opcua debug", "gateway log-level all info"),
    "status": ("gateway status --config myplant",),
    "top": ("gateway top --config myplant", "gateway top --tags oil"),
    "schema": (
        "gateway schema > gateway.schema.json",
        "gateway schema --devices > device.schema.json",
        "gateway schema --templates > template.schema.json",
    ),
    "init": ("gateway init myplant --name press-shop --broker mqtts://broker.example",),
    "add": (
        "gateway add modbus tcp://192.168.0.10 --unit 1 --config myplant",
        "gateway add modbus tcp://192.168.0.20 --template meters/siemens-pac3200.yaml --name main-meter --yes",
        "gateway add opcua opc.tcp://192.168.0.11 --config myplant",
    ),
    "templates": ("gateway templates", "gateway templates show meters/eastron-sdm630.yaml"),
    "plan": ("gateway plan --config myplant",),
    "read": (
        "gateway read tcp://192.168.0.10 --unit 1 --address holding:100 --count 4",
        "gateway read press oil_temperature running --config myplant",
        'gateway read opc.tcp://192.168.0.11 "ns=2;s=Line.Speed" --security none',
    ),
    "scan": ("gateway scan tcp://192.168.0.10 --last 20 --until 199", "gateway scan press --config myplant"),
    "discover": ("gateway discover opc.tcp://192.168.0.11",),
    "browse": (
        'gateway browse opc.tcp://192.168.0.11 --include "Motor*.Speed"',
        "gateway browse opc.tcp://192.168.0.11 --csv > myplant/tags/line.csv",
    ),
    "cert list": ("gateway cert list",),
    "cert trust": ("gateway cert trust 3f9a12bc", "gateway cert trust server.der"),
    "cert show": ("gateway cert show",),
    "cert new": ("gateway cert new",),
    "tail": (
        "gateway tail --config myplant",
        "gateway tail --broker mqtts://broker.example --username reader --seconds 60",
        'gateway tail --template "acme/berlin/{line}/{device}/{tag}"',
    ),
    "export": (
        "gateway export hour.csv --from=-1h --config myplant",
        'gateway export may.parquet --from 2026-05-01 --to 2026-06-01 --tags "press/*" --kind minutes --format parquet',
    ),
    "outbox stats": ("gateway outbox stats myplant",),
    "outbox peek": ("gateway outbox peek myplant --count 3",),
    "outbox verify": ("gateway outbox verify /var/lib/gateway/outbox.db",),
    "outbox export": ("gateway outbox export myplant /media/stick/waiting.jsonl",),
}


def epilog(command: str) -> str:
    """Return the examples as typer prints them: a paragraph each."""
    first, *others = (line.replace("[", r"\[") for line in EXAMPLES[command])
    return "\n\n".join([f"[dim]For example:[/dim] [bold]{first}[/bold]", *(f"[bold]{line}[/bold]" for line in others)])
