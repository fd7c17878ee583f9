"""Commands that look at a broker: tail."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="GATEWAY_CONFIG",
        metavar="DIR",
        show_default=False,
        help="The gateway's configuration: its broker, its login, and the topics of its layouts. Other options win.",
    ),
]
Broker = Annotated[
    str,
    typer.Option(
        metavar="URL", show_default="mqtt://127.0.0.1:1883", help="mqtt://host:1883, mqtts:// for TLS, ws://, wss://."
    ),
]
Sink = Annotated[
    str,
    typer.Option(metavar="NAME", show_default="the first that can be followed", help="With --config: one of several sinks."),
]
Root = Annotated[
    str, typer.Option(show_default="plant", help="mqtt.root: the first level or levels of the contract's topics.")
]
Template = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEMPLATE",
        help="Gateways with layout tag: follow their publish.topic, too. A field such as {site} stands for one level; "
        "write the value of one with several.",
    ),
]
Topic = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILTER",
        show_default="ROOT/v1/# and spBv1.0/#, or what --config says",
        help="Follow this and nothing else; may stand several times.",
    ),
]
Username = Annotated[
    str, typer.Option(show_default=False, help="User name at the broker; the password comes from GATEWAY_MQTT_PASSWORD.")
]
Ca = Annotated[
    str, typer.Option(metavar="FILE", show_default="those of the system", help="PEM file of the CA to trust, for mqtts://.")
]
MqttVersion = Annotated[str, typer.Option(metavar="VERSION", show_default="5", help="MQTT version: 5 or 3.1.1.")]
ClientId = Annotated[
    str, typer.Option(metavar="ID", show_default="a new one", help="For brokers that only let some client ids in.")
]
Seconds = Annotated[
    float | None, typer.Option(min=0, max=10**8, metavar="N", show_default=False, help="End after N seconds.")
]
Rates = Annotated[
    bool, typer.Option("--rates", help="Instead of messages a table of all topics and how much comes on each.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per message; the proof goes to standard error.")]


def tail(
    config: Config = None,
    broker: Broker = "",
    sink: Sink = "",
    root: Root = "",
    template: Template = None,
    topic: Topic = None,
    username: Username = "",
    ca: Ca = "",
    mqtt: MqttVersion = "",
    client_id: ClientId = "",
    seconds: Seconds = None,
    rates: Rates = False,
    json: Json = False,
) -> None:
    """Print live what gateways publish, in any layout and format; at the end prove that nothing is missing.

    Without a configuration it follows the contract's topics below --root and all of Sparkplug; topics of layout tag need
    --config, --template or --topic. When its own connection breaks, the broker keeps for it what comes meanwhile, for ten
    minutes and as many messages as that allows (MQTT 5).

    Exit codes: 0 when every sequence number is there or declared lost; 3 when that holds but for what was sent while
    tail itself was disconnected; 1 when numbers are missing or none came; 2 when the broker cannot be reached or an
    option is wrong.
    """
    from gateway.cli.tail import TailOptions, run_tail

    if rates and json:
        raise typer.BadParameter("prints a table, and --json messages: choose one", param_hint="--rates")
    options = TailOptions(
        config=config,
        broker=broker,
        root=root,
        sink=sink,
        topics=tuple(topic or ()),
        templates=tuple(template or ()),
        username=username,
        ca=ca,
        version=mqtt,
        client_id=client_id,
        seconds=seconds,
        rates=rates,
        json=json,
    )
    raise typer.Exit(run_tail(options))
