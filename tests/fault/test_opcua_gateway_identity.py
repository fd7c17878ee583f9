"""A server that numbers its nodes anew while the gateway is down as well: no value under another node's name."""

import asyncio

from tests.integration.test_opcua_identity import VALUES, NumberingServer
from tests.support.gateway import GatewayProcess, Subscriber, write_config
from tests.support.line import EVERY_WINDOW, impatient
from tests.support.mosquitto import Mosquitto
from tests.support.network import free_port, until

DEVICE = "protocol: opcua\nurl: {url}\nsecurity: none\ninterval: 100ms\nsampling: 20ms\ntimeout: 2s\nfound: {folder}\n"
BROWSED = "browse: {root: /Objects/2:Line/2:Cell}\n"
NUMBERED = "tags:\n" + "".join(f"  - {{name: {name}, node: ns=2;i={1001 + i}}}\n" for i, name in enumerate(VALUES))


async def test_numbers_swapped_while_gateway_and_server_were_down_give_no_wrong_value(tmp_path, mosquitto):
    """Found nodes are read under their right names; configured numbers are bad. With the server back before the gateway,
    and after it."""
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    await broker.start()
    async with NumberingServer(free_port()) as server:
        device = DEVICE.format(url=server.url, folder=tmp_path / "found")
        files = {"found.yaml": device + BROWSED, "own.yaml": device + NUMBERED}
        config = write_config(tmp_path, broker.url, [], root=EVERY_WINDOW, files=files)
        process = GatewayProcess(config)
        process.program = ("-c", impatient())
        with Subscriber(broker.port) as subscriber, process as gateway:

            def since(count: int, device: str) -> list[dict]:
                windows = [m.payload["tags"] for m in subscriber.of(f"/{device}/window")[count:]]
                return [{name: row["last"] for name, row in tags.items() if row.get("last") is not None} for tags in windows]

            async def shown(device: str, count: int, wanted: dict[str, float]) -> None:
                what = f"{device} shows {wanted}"
                await until(lambda: wanted in since(count, device)[-1:], 60, what)

            for device in ("found", "own"):
                await shown(device, 0, VALUES)
            for names, first in ((["Cycles", "Temp", "Press"], "server"), (["Press", "Cycles", "Temp"], "gateway")):
                assert await asyncio.to_thread(gateway.terminate) == 0
                await server.stop()
                server.names = names
                counts = {device: len(subscriber.of(f"/{device}/window")) for device in ("found", "own")}
                if first == "server":
                    await server.start()
                    gateway.start()
                else:
                    gateway.start()
                    await until(lambda: "state=down" in gateway.log(), 60, "the server is away")
                    await server.start()
                await shown("found", counts["found"], VALUES)
                await until(lambda: "gives this NodeId to another node" in gateway.log(), 60, "the reason")
            for device in ("found", "own"):
                for values in since(0, device):
                    assert values.items() <= VALUES.items()
    broker.stop()
