"""Three machines of one OPC UA server over one session, under the whole gateway: one is changed and taken away."""

import signal

from tests.support.gateway import GatewayProcess, Subscriber, write_config
from tests.support.line import EVERY_WINDOW
from tests.support.mosquitto import Mosquitto
from tests.support.network import free_port, until
from tests.support.opcua_server import AsyncuaServer

DEVICE = "protocol: opcua\nurl: {url}\nsecurity: none\ninterval: {interval}\nsampling: 20ms\nshare_session: true\ntags:\n"


async def test_a_machine_is_changed_and_removed_while_the_others_keep_their_subscriptions(tmp_path, mosquitto):
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    await broker.start()
    async with AsyncuaServer(free_port(), 3) as server:

        def text(machine: int, interval: str = "100ms") -> str:
            return DEVICE.format(url=server.url, interval=interval) + f"  - {{name: level, node: ns=2;s=v{machine}}}\n"

        files = {f"m{machine}.yaml": text(machine) for machine in range(3)}
        config = write_config(tmp_path, broker.url, [], root=EVERY_WINDOW, files=files)
        with Subscriber(broker.port) as subscriber, GatewayProcess(config) as gateway:
            service = server.server.iserver.subscription_service

            async def follow(value: float, *machines: int) -> None:
                for machine in machines:
                    await server.write(machine, value + machine)
                    newest = [value + machine]
                    await until(
                        lambda machine=machine, newest=newest: (
                            [m.payload["tags"]["level"]["last"] for m in subscriber.of(f"/m{machine}/window")[-1:]] == newest
                        ),
                        60,
                        gateway.log()[-2000:],
                    )

            def applied() -> int:
                events = [m.payload for m in subscriber.of("/event") if m.payload.get("kind") == "reload"]
                return sum(event["result"] == "applied" for event in events)

            await follow(10.0, 0, 1, 2)
            before = set(service.subscriptions)
            assert (len(server.server.iserver._external_sessions), len(before)) == (1, 3)
            (config / "devices" / "m2.yaml").write_text(text(2, "150ms"))
            gateway.process.send_signal(signal.SIGHUP)
            await until(lambda: applied() == 1, 60, "the change is taken")
            await follow(20.0, 0, 1, 2)
            changed = set(service.subscriptions)
            assert (len(before & changed), len(changed)) == (2, 3)
            (config / "devices" / "m2.yaml").unlink()
            gateway.process.send_signal(signal.SIGHUP)
            await until(lambda: applied() == 2, 60, "the removal is taken")
            await until(lambda: set(service.subscriptions) == before & changed, 60, "its subscription is deleted")
            await follow(30.0, 0, 1)
            assert len(server.server.iserver._external_sessions) == 1
            states = [m.payload["state"] for machine in (0, 1) for m in subscriber.of(f"/m{machine}/event")]
            assert "down" not in states
    broker.stop()
