"""Whether the primary host listens: its STATE messages (Sparkplug 3.0.0, 5.4 and 6.4.27). Pure but for waiting."""

import asyncio
from typing import Final

import orjson
import structlog

from gateway.core.clock import Clock
from gateway.core.log_throttle import LogThrottle
from gateway.core.wait_first import first
from gateway.layouts.sparkplug.topics import NAMESPACE

log = structlog.get_logger("sparkplug")

_LARGEST_STATE_BYTES: Final = 1_024
_MOST_AHEAD_MS: Final = 300_000
_LOOK_S: Final = 1.0
_MS_NS: Final = 1_000_000
_LEGACY: Final = {b"ONLINE": True, b"OFFLINE": False}


class PrimaryHost:
    """The newest state of one host over one connection. Without a name there is none, and nobody to wait for.

    A state from more than five minutes ahead of this machine's clock changes nothing: accepted, it would outrank for ever
    what the host says. The last one of these is kept and judged again: it may be this machine's clock that is wrong.
    """

    def __init__(self, name: str, clock: Clock, *, takes_legacy: bool = False) -> None:
        """Begin with a host that is offline.

        name: its id, empty for none. takes_legacy: the host speaks Sparkplug 2.2, whose states are the bare words ONLINE and
        OFFLINE and have no time stamp.
        """
        self.topic = f"{NAMESPACE}/STATE/{name}" if name else ""
        self.legacy_topic = f"STATE/{name}" if name else ""
        """Where a host of Sparkplug 2.2 says its state (2.2, 10)."""
        self.online = not name
        self.ignored = 0
        """States from ahead of the clock."""
        self._clock = clock
        self._takes_legacy = takes_legacy
        self._stamp = 0
        self._ahead: tuple[int, bool] | None = None
        self._change = asyncio.Event()
        self._throttle = LogThrottle(clock)

    def forget(self) -> None:
        """Forget the state: on a new connection the broker sends it again."""
        self._set(not self.topic)
        self._stamp = 0
        self._ahead = None

    def received(self, topic: str, payload: bytes) -> None:
        """Take a STATE message. One that is older than what is known, or not understood, changes nothing."""
        if len(payload) > _LARGEST_STATE_BYTES:
            return
        if topic == self.legacy_topic:
            self._received_legacy(payload)
            return
        try:
            body = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return
        online, stamp = (body.get("online"), body.get("timestamp")) if isinstance(body, dict) else (None, None)
        if isinstance(online, bool) and type(stamp) is int and stamp >= self._stamp:
            self._judge(stamp, online)

    async def until(self, online: bool) -> None:
        """Return once the host is online, or once it is not."""
        while self.online != online:
            self._change.clear()
            if self._ahead is None:
                await self._change.wait()
            else:
                await first(self._change.wait(), self._clock.sleep(_LOOK_S))
                self._judge_again()

    def _judge(self, stamp: int, online: bool) -> None:
        ahead_ms = stamp - self._clock.now_ns() // _MS_NS
        if ahead_ms <= _MOST_AHEAD_MS:
            self._stamp = stamp
            self._set(online)
            return
        self.ignored += 1
        self._ahead = stamp, online
        self._change.set()
        if self._throttle.is_due("ahead"):
            log.warning(
                "a state of the primary host is ignored: its time stamp is ahead of this machine's clock",
                topic=self.topic, ahead_s=ahead_ms // 1000, ignored=self.ignored, hint="check both clocks",
            )  # fmt: skip

    def _judge_again(self) -> None:
        """Take the state from ahead of the clock once it is not any more."""
        if self._ahead is not None and self._ahead[0] - self._clock.now_ns() // _MS_NS <= _MOST_AHEAD_MS:
            (stamp, online), self._ahead = self._ahead, None
            if stamp >= self._stamp:
                self._judge(stamp, online)

    def _received_legacy(self, payload: bytes) -> None:
        online = _LEGACY.get(payload.strip())
        if online is None:
            return
        if self._takes_legacy:
            self._set(online)
        elif not self._stamp and self._throttle.is_due("legacy", "legacy"):
            log.warning(
                "the primary host speaks Sparkplug 2.2", topic=self.legacy_topic, state=payload.strip().decode(),
                hint="let it speak 3.0, or set publish.sparkplug.legacy_state: true",
            )  # fmt: skip

    def _set(self, online: bool) -> None:
        self.online = online
        self._change.set()
