"""An OPC UA server that can deliver: `python -m tests.bench.opcua_replay PORT NODES PERIOD_MS`.

Sessions, subscriptions and monitored items are asyncua's; the notifications are encoded once and replayed with new sequence
numbers, timestamps and values, NODES Doubles every PERIOD_MS. Reads are answered by asyncua.
"""

import asyncio
import logging
import struct
import sys
import time

import numpy as np
from asyncua import Server, ua
from asyncua.server import uaprocessor
from asyncua.ua.ua_binary import struct_to_binary

ITEM = np.dtype([("handle", "<u4"), ("mask", "u1"), ("kind", "u1"), ("value", "<f8"), ("source", "<i8")])
PER_NOTIFICATION = 5000
_EPOCH_TICKS = 116_444_736_000_000_000


def ticks() -> int:
    """Now, in 100 ns since 1601."""
    return _EPOCH_TICKS + time.time_ns() // 100


def notification(handles: np.ndarray, sequence: int, subscription: int, request_handle: int) -> bytes:
    """A PublishResponse with one DataChangeNotification."""
    items = np.zeros(handles.size, ITEM)
    items["handle"], items["mask"], items["kind"] = handles, 5, 11
    items["value"], items["source"] = sequence + handles / 1e5, ticks()
    body = struct.pack("<i", handles.size) + items.tobytes() + struct.pack("<i", -1)
    response = ua.PublishResponse()
    response.ResponseHeader.RequestHandle = request_handle
    response.Parameters.SubscriptionId = subscription
    response.Parameters.NotificationMessage.SequenceNumber = sequence
    response.Parameters.NotificationMessage.NotificationData = [ua.ExtensionObject(ua.NodeId(811), body)]
    return struct_to_binary(response)


class Replay:
    """Takes over the publish requests of all connections once their items are there."""

    def __init__(self, nodes: int, period_s: float) -> None:
        self._handles = np.arange(nodes, dtype=np.uint32)
        self._period_s = period_s
        self._sequence = 0
        self.skipped = 0

    async def run(self, processors: list[uaprocessor.UaProcessor], subscriptions: list[int]) -> None:
        due = time.monotonic()
        while True:
            due += self._period_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            for begin in range(0, self._handles.size, PER_NOTIFICATION):
                if not processors or not subscriptions or not processors[-1]._publish_requests:
                    self.skipped += bool(subscriptions)
                    continue
                await self._send(processors[-1], subscriptions[-1], self._handles[begin : begin + PER_NOTIFICATION])

    async def _send(self, to: uaprocessor.UaProcessor, subscription: int, handles: np.ndarray) -> None:
        asked = to._publish_requests.popleft()
        self._sequence += 1
        data = notification(handles, self._sequence, subscription, asked.requesthdr.RequestHandle)
        to._transport.write(
            to._connection.message_to_binary(
                data, message_type=ua.MessageType.SecureMessage, request_id=asked.seqhdr.RequestId
            )
        )


async def main(port: int, nodes: int, period_ms: int) -> None:
    processors: list[uaprocessor.UaProcessor] = []
    subscriptions: list[int] = []
    send = uaprocessor.UaProcessor.send_response

    def watch(self: uaprocessor.UaProcessor, handle: int, header: object, response: object, *more: object) -> None:
        send(self, handle, header, response, *more)
        if isinstance(response, ua.CreateSubscriptionResponse):
            processors.append(self)
            subscriptions.append(response.Parameters.SubscriptionId)

    async def silent(self: uaprocessor.UaProcessor, result: object, asked: object) -> None:
        """asyncua's own notifications are not wanted: the request goes back to the queue."""
        self._publish_requests.appendleft(asked)

    uaprocessor.UaProcessor.send_response = watch
    uaprocessor.UaProcessor.forward_publish_response = silent
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    space = await server.register_namespace("bench")
    folder = await server.nodes.objects.add_folder(space, "bench")
    for i in range(nodes):
        await folder.add_variable(ua.NodeId(f"n{i}", space), f"n{i}", float(i))
    async with server:
        print("ready", flush=True)
        await Replay(nodes, period_ms / 1e3).run(processors, subscriptions)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(main(*map(int, sys.argv[1:4])))
