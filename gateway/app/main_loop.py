"""From signals to starts and stops of a gateway: the life of the process."""

import asyncio
import signal

from gateway.app.cancel import cancel
from gateway.app.gateway import Gateway
from gateway.app.tag_discovery import find_tags
from gateway.core.clock import SystemClock
from gateway.runtime.restart import RestartSchedule
from gateway.runtime.watchdog import Notifier
from gateway.settings import Settings

_FINDING_CLOSE_S = 5.0


async def run(settings: Settings) -> None:
    """Run a gateway until SIGTERM, SIGINT or SIGHUP (its terminal is gone), and start it anew when a device's tags change.

    Raises ConfigError when a part finds the configuration unusable.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    clock = SystemClock()
    finding = asyncio.create_task(find_tags(settings, clock), name="finding tags")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait([finding, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if finding.done():
        restarts = RestartSchedule(clock)
        following: Settings | None = finding.result()
        while following is not None:
            following = await Gateway(following, clock, restarts).run(stop, Notifier())
    else:
        await cancel([finding], _FINDING_CLOSE_S)
