"""An OPC UA server that can be killed and is back at once: `python -m tests.support.opcua_mortal PORT NODES`.

The address space is built once; each life is a fork of it, killed with SIGKILL. So twenty deaths of a server with thousands
of nodes cost seconds. Lines on standard input: `live` begins a life, `kill` ends it. It prints `ready LIFE` when clients may
connect and `dead LIFE` when they no longer can.

Nodes are the Doubles ns=2;s=v0 ... of value 1000 x life + k: k counts from 0, and goes up for all nodes at once every 200 ms
once somebody watches them.
"""

import asyncio
import logging
import os
import signal
import sys
from datetime import UTC, datetime

from asyncua import Server, ua
from asyncua.server.address_space import AddressSpace

from tests.support.opcua_space import quick_servers

PERIOD_S = 0.2
PER_FOLDER = 100


async def build(port: int, count: int) -> Server:
    quick_servers()
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace("urn:gateway:mortal")
    for i in range(count):
        if i % PER_FOLDER == 0:  # asyncua's folders are slow when they are large
            folder = await server.nodes.objects.add_folder(index, f"Line{i // PER_FOLDER}")
        await folder.add_variable(ua.NodeId(f"v{i}", index), f"v{i}", 0.0)
    return server


async def live(server: Server, count: int, life: int) -> None:
    space: AddressSpace = server.iserver.aspace
    await show(space, count, life, 0)
    await server.start()
    print(f"ready {life}", flush=True)
    k = 0
    while True:
        await asyncio.sleep(PERIOD_S)
        watched = server.iserver.subscription_service.subscriptions.values()
        if sum(len(one.monitored_item_srv._monitored_items) for one in watched) >= count:
            k += 1
            await show(space, count, life, k)


async def show(space: AddressSpace, count: int, life: int, k: int) -> None:
    now = datetime.now(UTC)
    value = ua.DataValue(ua.Variant(1000.0 * life + k), SourceTimestamp=now, ServerTimestamp=now)
    for i in range(count):
        await space.write_attribute_value(ua.NodeId(f"v{i}", 2), ua.AttributeIds.Value, value)


def main(port: int, count: int) -> None:
    server = asyncio.run(build(port, count))
    child = life = 0
    print("built", flush=True)
    for line in sys.stdin:
        if line.strip() == "live":
            life += 1
            child = os.fork()
            if not child:
                asyncio.run(live(server, count, life))
        elif child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            print(f"dead {life}", flush=True)
            child = 0
    if child:
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    main(*map(int, sys.argv[1:3]))
