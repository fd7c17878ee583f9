"""An OPC UA server that can be killed and is back at once: `python -m tests.support.opcua_mortal PORT NODES [FOLDER]`.

The address space is built once; each life is a fork of it, killed with SIGKILL. So twenty deaths of a server with thousands
of nodes cost seconds. Lines on standard input: `live` begins a life, `kill` ends it. It prints `ready LIFE` when clients may
connect and `dead LIFE` when they no longer can.

Nodes are the Doubles ns=2;s=v0 ... of value 1000 x life + k: k counts from 0, and goes up for all nodes at once every 200 ms
once somebody watches them all.

With FOLDER it is a server with security: Basic256Sha256, SignAndEncrypt, by `server.der` and `server.pem` there, and
nothing else. Its nodes change every 700 ms whether somebody watches or not, each life begins with a second of its own,
and it keeps the `ledger` of `tests/support/opcua_ledger.py` there.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from asyncua import Server, ua
from asyncua.server.address_space import AddressSpace
from asyncua.server.internal_subscription import InternalSubscription

from tests.support.opcua_space import quick_servers

PERIOD_S = 0.2
SECURE_PERIOD_S = 0.7
PER_FOLDER = 100
URI = "urn:test:server"


async def build(port: int, count: int, folder: Path | None) -> Server:
    quick_servers()
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    if folder is None:
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    else:
        await server.set_application_uri(URI)
        server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
        await server.load_certificate(folder / "server.der")
        await server.load_private_key(folder / "server.pem")
    index = await server.register_namespace("urn:gateway:mortal")
    for i in range(count):
        if i % PER_FOLDER == 0:  # asyncua's folders are slow when they are large
            line = await server.nodes.objects.add_folder(index, f"Line{i // PER_FOLDER}")
        await line.add_variable(ua.NodeId(f"v{i}", index), f"v{i}", 0.0)
    return server


async def live(server: Server, count: int, life: int) -> None:
    space: AddressSpace = server.iserver.aspace
    await show(space, count, 1000.0 * life, datetime.now(UTC))
    await server.start()
    print(f"ready {life}", flush=True)
    k = 0
    while True:
        await asyncio.sleep(PERIOD_S)
        watched = server.iserver.subscription_service.subscriptions.values()
        if sum(len(one.monitored_item_srv._monitored_items) for one in watched) >= count:
            k += 1
            await show(space, count, 1000.0 * life + k, datetime.now(UTC))


async def live_by_the_book(server: Server, count: int, life: int, ledger: TextIO) -> None:
    """No second holds values of two lives."""
    note_acknowledgements(ledger)
    await asyncio.sleep(1.0 - time.time() % 1.0)
    k = 0
    while True:
        value, now = 1000.0 * life + k, datetime.now(UTC)
        ledger.write(f"show {value:.0f} {now.timestamp():.6f}\n")
        await show(server.iserver.aspace, count, value, now)
        if k == 0:
            await server.start()
            print(f"ready {life}", flush=True)
        k += 1
        await asyncio.sleep(SECURE_PERIOD_S)


def note_acknowledgements(ledger: TextIO) -> None:
    publish: Any = InternalSubscription.publish

    def noted(self: InternalSubscription, acks: Iterable[int]) -> None:
        numbers = list(acks)
        for number in numbers:
            handles = defaultdict(list)
            told = self._not_acknowledged_results.get(number)
            for change in told.NotificationMessage.NotificationData if told else ():
                for item in change.MonitoredItems if isinstance(change, ua.DataChangeNotification) else ():
                    handles[item.Value.Value.Value].append(item.ClientHandle)
            for value, some in handles.items():
                ledger.write(f"acked {value:.0f} {','.join(map(str, some))}\n")
        publish(self, numbers)

    InternalSubscription.publish = noted  # type: ignore[method-assign]


async def show(space: AddressSpace, count: int, number: float, now: datetime) -> None:
    value = ua.DataValue(ua.Variant(number), SourceTimestamp=now, ServerTimestamp=now)
    for i in range(count):
        await space.write_attribute_value(ua.NodeId(f"v{i}", 2), ua.AttributeIds.Value, value)


def main(port: int, count: int, folder: Path | None = None) -> None:
    server = asyncio.run(build(port, count, folder))
    child = life = 0
    print("built", flush=True)
    for line in sys.stdin:
        if line.strip() == "live":
            life += 1
            child = os.fork()
            if child:
                continue
            if folder is None:
                asyncio.run(live(server, count, life))
            else:
                with (folder / "ledger").open("a", buffering=1) as ledger:
                    asyncio.run(live_by_the_book(server, count, life, ledger))
        elif child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            print(f"dead {life}", flush=True)
            child = 0
    if child:
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    main(int(sys.argv[1]), int(sys.argv[2]), *map(Path, sys.argv[3:4]))
