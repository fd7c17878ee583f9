"""The main loop of the process: signals, and starts and stops of a gateway."""

import asyncio
import signal

from gateway.app.cancel import cancel
from gateway.app.gateway import Gateway
from gateway.app.tag_discovery import discover_tags
from gateway.core.clock import SystemClock
from gateway.runtime.restart import RestartSchedule
from gateway.runtime.watchdog import Notifier
from gateway.settings import Settings

_DISCOVERY_CLOSE_S = 5.0


async def run(settings: Settings) -> None:
    """Run a gateway until SIGTERM, SIGINT or SIGHUP (its terminal is gone), and start it anew when a device's tags change.

    Raises ConfigError when a part finds the configuration unusable.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    clock = SystemClock()
    discovery = asyncio.create_task(discover_tags(settings, clock), name="tag discovery")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait([discovery, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if discovery.done():
        restarts = RestartSchedule(clock)
        following: Settings | None = discovery.result()
        while following is not None:
            following = await Gateway(following, clock, restarts).run(stop, Notifier())
    else:
        await cancel([discovery], _DISCOVERY_CLOSE_S)
