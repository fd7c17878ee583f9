"""Requests over MQTT: which wait, where their answers go, and how fast these are sent."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson
import structlog

from gateway.core.clock import Clock
from gateway.core.errors import NotConnected, Permanent, Retryable
from gateway.core.log_throttle import LogThrottle
from gateway.core.ports.layout import Properties
from gateway.core.ports.requests import PastRequests
from gateway.core.ports.sink import Ending
from gateway.core.wait_first import first
from gateway.sinks.mqtt.packet_sender import PublishingClient
from gateway.sinks.mqtt.request_config import MqttRequests
from gateway.sinks.mqtt.request_properties import RequestProperties, read_properties
from gateway.sinks.mqtt.types import ReceivedMessage

log = structlog.get_logger("requests")

LARGEST_BYTES: Final = 64 * 1024
_MOST_ANSWER_BYTES: Final = 128 * 1024
_LONGEST_TOPIC_BYTES: Final = 1_024
_LONGEST_CORRELATION_BYTES: Final = 1_024
_MOST_REFUSALS: Final = 20
_SHARE: Final = 3
"""After a part that took a second to be acknowledged, the line is left to others for three."""
_LONGEST_REST_S: Final = 30.0
_MOST_BROKEN: Final = 2


class RequestClient(PublishingClient, Protocol):
    """What requests need of the MQTT client."""

    async def subscribe(self, topic_filter: str) -> None:
        """Receive what matches. Raises Permanent when the broker refuses, NotConnected."""
        ...

    async def receive(self) -> ReceivedMessage:
        """Return the next message. Raises NotConnected."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    """A request that waits."""

    document: bytes
    answer_topic: str
    correlation: bytes
    until_s: float
    """Monotonic time until which the answer is wanted."""
    refusal: str = ""
    """Why it is not answered."""
    expected: str = ""


class RequestDesk:
    """Takes requests and answers one after the other, beside the messages and never in their way.

    One part is on its way at a time, so that a message waits for one part at most; after each the line is left to others
    for three times as long as it took. Nothing of it is stored: a lost connection ends the answer that is under way, and
    requests that wait go on with the next connection. What is not answered is counted.
    """

    def __init__(self, client: RequestClient, past: PastRequests, config: MqttRequests, clock: Clock) -> None:
        self._client = client
        self._past = past
        self._config = config
        self._clock = clock
        self._waiting: deque[_Request] = deque()
        self._refusals: deque[_Request] = deque()
        self._arrival = asyncio.Event()
        self._broken = 0
        self._throttle = LogThrottle(clock)
        self._counts = dict.fromkeys(("received", "answered", "refused", "expired", "aborted", "ignored", "parts"), 0)

    @property
    def counters(self) -> Mapping[str, int]:
        """Return what was counted since the start."""
        return {f"requests_{name}": count for name, count in self._counts.items()} | {"requests_waiting": len(self._waiting)}

    async def serve(self, *, listens: bool) -> Ending:
        """Subscribe and answer for as long as the connection stands. listens: nobody else receives messages."""
        if not await self._subscribe():
            await asyncio.Future()
        return await (first(self._listen(), self._answer_all()) if listens else self._answer_all())

    async def _subscribe(self) -> bool:
        """Return whether requests come. Where they may not, messages go on without them."""
        if self._broken >= _MOST_BROKEN:
            return False
        try:
            await self._client.subscribe(self._past.topic)
        except Permanent as error:
            if self._throttle.is_due(str(error)):
                log.warning("no requests", topic=self._past.topic, reason=str(error))
            return False
        except NotConnected as error:
            self._broken += 1  # some brokers hang up for what an access list forbids
            if self._broken >= _MOST_BROKEN:
                log.warning("no requests: connections end with the subscription", topic=self._past.topic, reason=str(error))
            await asyncio.Future()  # whoever serves the connection has its end
        self._broken = 0
        return True

    async def _listen(self) -> Ending:
        while True:
            try:
                message = await self._client.receive()
            except NotConnected as error:
                return Ending(str(error))
            self.take(message)
            await asyncio.sleep(0)  # thousands may be waiting, and `receive` does not wait for any of them

    def take(self, message: ReceivedMessage) -> bool:
        """Take a message if it is a request; returns whether it is one. Trusts nothing, never raises."""
        if message.topic != self._past.topic:
            return False
        self._counts["received"] += 1
        if message.is_kept:  # it would be asked again at each connection
            self._counts["ignored"] += 1
            return True
        request = self._read(message)
        if request.refusal:
            self._refuse(request)
        elif len(self._waiting) >= self._config.waiting:
            self._refuse(_refused(request, f"{len(self._waiting)} requests wait already", "a try later"))
        else:
            self._waiting.append(request)
            self._arrival.set()
        return True

    def _refuse(self, request: _Request) -> None:
        self._counts["refused"] += 1
        if len(self._refusals) < _MOST_REFUSALS:
            self._refusals.append(request)
            self._arrival.set()
        if self._throttle.is_due(request.refusal):
            log.warning("request refused", reason=request.refusal, refused=int(self._counts["refused"]))

    def _read(self, message: ReceivedMessage) -> _Request:
        longest_s = self._config.timeout / 1e9
        default = _Request(b"{}", self._past.answer_topic, b"", self._clock.monotonic() + longest_s)
        if (size := len(message.payload) + message.skipped_bytes) > LARGEST_BYTES:
            return _refused(default, f"the request has {size} bytes", f"at most {LARGEST_BYTES}")
        keys = _keys(message.payload)
        try:
            properties = read_properties(message.properties)
        except ValueError as error:
            return _refused(default, f"the request has {error}", "properties as MQTT 5 has them")
        topic = _response_topic(properties, keys)
        correlation = properties.correlation
        until_s = self._clock.monotonic() + min(longest_s, _expiry_s(properties, keys, longest_s))
        request = _Request(message.payload, self._past.answer_topic, correlation[:_LONGEST_CORRELATION_BYTES], until_s)
        if len(correlation) > _LONGEST_CORRELATION_BYTES:
            return _refused(request, "the correlation data is too long", f"at most {_LONGEST_CORRELATION_BYTES} bytes")
        if topic is None:
            return request
        if not _is_below(topic, self._past.answer_topic):
            expected = f"{self._past.answer_topic}, or a topic below it"
            return _refused(request, "the response topic is not the gateway's own", expected)
        return _Request(request.document, topic, request.correlation, until_s)

    async def _answer_all(self) -> Ending:
        """Answer what waits, for ever; returns with the end of the connection."""
        while True:
            while not self._waiting and not self._refusals:
                self._arrival.clear()
                await self._arrival.wait()
            try:
                if self._waiting:  # refusals go between its parts: they must not keep answers from being sent
                    await self._answer(self._waiting.popleft())
                else:
                    await self._send_refusal(self._refusals.popleft())
            except NotConnected as error:
                return Ending(str(error))

    async def _send_refusal(self, request: _Request) -> None:
        await self._send(request, self._past.refusal(request.document, request.refusal, request.expected))

    async def _answer(self, request: _Request) -> None:
        most_bytes = min(self._client.most_bytes, _MOST_ANSWER_BYTES)
        outcome = "aborted"
        parts = self._past.answer(request.document, most_bytes)
        try:
            while not self._is_over(request):
                part = await anext(parts, None)
                if part is None:
                    outcome = "answered"
                    return
                if not await self._send(request, part):
                    outcome = "refused"
                    return
                if self._refusals:
                    await self._send_refusal(self._refusals.popleft())
            outcome = "expired"
        finally:
            self._counts[outcome] += 1
            if isinstance(parts, AsyncGenerator):
                await parts.aclose()

    def _is_over(self, request: _Request) -> bool:
        return self._clock.monotonic() >= request.until_s

    async def _send(self, request: _Request, payload: bytes) -> bool:
        """Send one part and rest. Returns whether the broker has taken it. Raises NotConnected."""
        begun_s = self._clock.monotonic()
        left_s = max(1, int(request.until_s - begun_s))
        properties = Properties("application/json", (), request.correlation)
        is_taken = True
        try:
            await self._client.publish(request.answer_topic, payload, properties=properties, expiry_s=left_s)
            self._counts["parts"] += 1
        except (Permanent, Retryable) as error:
            is_taken = False
            if self._throttle.is_due(str(error)):
                log.warning("answer refused", topic=request.answer_topic, reason=str(error))
        took_s = self._clock.monotonic() - begun_s
        await self._clock.sleep(min(_LONGEST_REST_S, max(1 / self._config.per_second - took_s, _SHARE * took_s)))
        return is_taken


def _refused(request: _Request, why: str, expected: str) -> _Request:
    return _Request(request.document, request.answer_topic, request.correlation, request.until_s, why, expected)


def _keys(payload: bytes) -> Mapping[str, Any]:
    """Return the keys of a request that are the sink's; none where it is no JSON, which its answer says."""
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _response_topic(properties: RequestProperties, keys: Mapping[str, Any]) -> str | None:
    """Return where the answer is wanted, empty for what is no topic, None where nothing is said."""
    found = properties.response_topic if properties.response_topic is not None else keys.get("response_topic")
    return found if found is None or isinstance(found, str) else ""


def _expiry_s(properties: RequestProperties, keys: Mapping[str, Any], longest_s: float) -> float:
    found = properties.expiry_s if properties.expiry_s is not None else keys.get("expiry_s")
    return float(found) if isinstance(found, int | float) and 0 <= found < longest_s else longest_s


def _is_below(topic: str, root: str) -> bool:
    if topic != root and not topic.startswith(f"{root}/"):
        return False
    is_short = len(topic.encode(errors="replace")) <= _LONGEST_TOPIC_BYTES
    return is_short and topic.isprintable() and not any(character in topic for character in "+#\0")
