"""The main loop of the process: signals, and starts and stops of a gateway."""

import asyncio
import signal
from functools import partial
from typing import Final

import structlog

from gateway.app.cancel import cancel
from gateway.app.garbage import ShortCollections
from gateway.app.gateway import Gateway
from gateway.app.loop_faults import quiet_peers
from gateway.app.tag_discovery import discover_tags
from gateway.core.clock import SystemClock
from gateway.runtime.more_time import MoreTime
from gateway.runtime.reload_requests import ReloadRequests
from gateway.runtime.watchdog import Notifier
from gateway.settings import Settings

log = structlog.get_logger("app")

IGNORED_SIGNALS: Final = (signal.SIGUSR1, signal.SIGUSR2)

_DISCOVERY_CLOSE_S = 5.0


def _log_ignored(number: signal.Signals) -> None:
    log.warning("signal ignored", signal=number.name, hint="it has no meaning here")


async def run(settings: Settings) -> None:
    """Run a gateway until SIGTERM or SIGINT. SIGHUP has it take the changed configuration, once it runs.

    Other signals that end a process by default, and that a person or a log rotation may send, are logged and do nothing.
    Raises ConfigError when a part finds the configuration unusable.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(quiet_peers)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    for number in IGNORED_SIGNALS:
        loop.add_signal_handler(number, partial(_log_ignored, number))
    requests = ReloadRequests()
    loop.add_signal_handler(signal.SIGHUP, requests.request, "SIGHUP")
    with ShortCollections() as collections:
        await _run(settings, stop, requests, collections)


async def _run(settings: Settings, stop: asyncio.Event, requests: ReloadRequests, collections: ShortCollections) -> None:
    clock, notifier = SystemClock(), Notifier()
    collections.settle()
    with MoreTime(notifier, "asking devices for their tags"):
        discovery = asyncio.create_task(discover_tags(settings, clock), name="tag discovery")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait([discovery, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
    if discovery.done():
        with MoreTime(notifier, "starting"):
            gateway = await asyncio.to_thread(Gateway, discovery.result(), clock, requests)
        notifier.send("WATCHDOG=1")
        await gateway.run(stop, notifier)
    else:
        await cancel([discovery], _DISCOVERY_CLOSE_S)
