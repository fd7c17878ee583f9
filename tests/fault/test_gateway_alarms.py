"""Active alarms are known to whoever comes later, through a lost connection, a reload and a restart."""

import asyncio
import signal
from pathlib import Path

from tests.support.gateway import GatewayProcess, Modbus, Subscriber, write_config
from tests.support.line import QUEUES, impatient
from tests.support.modbus_server import ScriptedServer
from tests.support.mosquitto import Mosquitto
from tests.support.network import free_port, until

FAR = 1e30
TAGS = "name,address,type,lo,off_delay\n" + "".join(f"t{n},holding:{2 * n},float32,{FAR},0s\n" for n in range(3))


def alarms(subscriber: Subscriber, tag: str) -> list[tuple]:
    """State, reason and refresh of each event of a tag's alarm."""
    events = [m.payload for m in subscriber.of("/press/event") if m.payload["kind"] == "alarm" and m.payload["tag"] == tag]
    return [(one["state"], one.get("reason"), one.get("refresh", False)) for one in events]


async def test_active_alarms_are_said_again_and_end_with_a_reason(tmp_path: Path, mosquitto: str) -> None:
    """Upstream came back: refresh. A reload: a changed limit decides anew, a removed alarm ends. A restart: refresh."""
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(mosquitto, tmp_path / "broker", persistent=True)
    await broker.start(QUEUES)
    async with ScriptedServer(free_port()) as device:
        config = write_config(tmp_path, broker.url, [Modbus("press", f"tcp://127.0.0.1:{device.port}", 3, interval="200ms")])
        tags = config / "tags" / "press.csv"
        tags.write_text(TAGS)
        subscriber = await asyncio.to_thread(lambda: Subscriber(broker.port).wait_ready())
        gateway = GatewayProcess(config)
        gateway.program = ("-c", impatient())
        gateway.start()

        async def seen(tag: str, *expected: tuple) -> None:
            await until(lambda: {*expected} <= {*alarms(subscriber, tag)}, 60, lambda: f"{tag}: {gateway.log()[-2000:]}")

        try:
            for tag in ("t0", "t1", "t2"):
                await seen(tag, ("active", None, False))
            broker.kill()
            await broker.start()
            await seen("t2", ("active", None, True))
            tags.write_text(
                TAGS.replace(f"t0,holding:0,float32,{FAR}", f"t0,holding:0,float32,-{FAR}").replace(
                    f"t1,holding:2,float32,{FAR}", "t1,holding:2,float32,"
                )
            )
            assert gateway.process is not None
            gateway.process.send_signal(signal.SIGHUP)
            await seen("t1", ("cleared", "removed", False))
            await seen("t0", ("cleared", None, False))
            assert "cleared" not in {state for state, *_ in alarms(subscriber, "t2")}
            before = len(alarms(subscriber, "t2"))
            await asyncio.to_thread(gateway.terminate)
            gateway.start()
            await until(lambda: ("active", None, True) in alarms(subscriber, "t2")[before:], 60, gateway.log)
        finally:
            gateway.kill()
            subscriber.close()
            broker.stop()
