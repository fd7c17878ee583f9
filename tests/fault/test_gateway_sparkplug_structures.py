"""The whole gateway between an OPC UA server with structures of every kind and a host with Eclipse Tahu's library."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

from tests.conftest import NODE
from tests.integration.test_opcua_shapes import CIRCLE, DRAWING
from tests.integration.test_sparkplug_foreign import through
from tests.support.absent import NODE_PACKAGES, absent
from tests.support.gateway import GatewayProcess, Subscriber, write_config
from tests.support.mosquitto import Mosquitto
from tests.support.network import free_port, until
from tests.support.opcua_shapes import Shapes

ROOT = "publish:\n  layout: sparkplug\n  sparkplug: {group: hall, structures: templates}\n"
NAMES = ("round", "drawing", "mixed", "tree", "optional", "grid", "alternative")
DEVICE = """protocol: opcua
url: {url}
security: none
interval: 200ms
tags:
"""


def read(subscriber: Subscriber) -> list[tuple[str, dict[str, Any]]]:
    """Type and payload of everything that the node has sent, as the library reads it."""
    sent = [m for m in subscriber.of("") if m.topic.startswith("spBv1.0/hall/") and m.payload]
    lines = through(NODE, [base64.b64encode(m.payload).decode() for m in sent])
    return [(m.topic.split("/")[2], json.loads(line)) for m, line in zip(sent, lines, strict=True)]


def plain(metric: dict[str, Any]) -> Any:
    """The value that a metric stands for."""
    value = metric["value"]
    if metric["type"] == "Template" and value is not None:
        return {member["name"]: plain(member) for member in value["metrics"]}
    if metric["type"] == "DataSet" and value is not None:
        return [dict(zip(value["columns"], row, strict=True)) for row in value["rows"]]
    return int(value) if metric["type"] == "Int64" and value is not None else value


async def test_structures_of_a_server_are_templates_of_the_host(tmp_path: Path, mosquitto: str) -> None:
    """Each instance in a birth has a definition in the birth of the node before it; values are those of the server."""
    if not shutil.which("node") or not (NODE / "node_modules" / "sparkplug-payload").exists():
        absent(NODE_PACKAGES)
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    await broker.start()
    async with Shapes(free_port(), 1) as server:
        tags = "".join(f'  - {{name: {name}, node: "ns=2;s={name}"}}\n' for name in NAMES)
        config = write_config(tmp_path, broker.url, [], root=ROOT, files={"plc.yaml": DEVICE.format(url=server.url) + tags})
        with Subscriber(broker.port) as subscriber, GatewayProcess(config) as gateway:

            def born() -> bool:
                births = [m for m in subscriber.of("") if "/DBIRTH/" in m.topic]
                return bool(births) and all(name.encode() in births[-1].payload for name in ("radius", "first", "children"))

            await until(born, 60, gateway.log()[-2000:])
        heard = read(subscriber)
    broker.stop()
    known: dict[str, Any] = {}
    instances = 0
    last: dict[str, Any] = {}
    for kind, body in heard:
        metrics = body.get("metrics", [])
        if kind == "NBIRTH":
            known = {m["name"]: m["value"] for m in metrics if m["type"] == "Template"}
        for metric in metrics if kind in ("DBIRTH", "DDATA") else ():
            if metric["type"] == "Template":
                instances += 1
                assert metric["value"] is None or metric["value"]["templateRef"] in known
        if kind == "DBIRTH":
            last = {m["name"]: plain(m) for m in metrics}
    assert instances >= len(NAMES) - 1
    assert last["round"] == CIRCLE
    drawing = last["drawing"]
    assert (drawing["first"], drawing["number"], drawing["any"]) == (CIRCLE, DRAWING["number"], DRAWING["any"])
    assert json.loads(drawing["many"]) == DRAWING["many"]
    assert last["tree"]["children"][0]["name"] == "b"
    assert last["alternative"] == {"shape": {"name": "b", "width": 1, "height": 2}, "number": None}
